"""An extra's hint names packages that an index has: this project itself is on none."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import click
import pytest
from packaging.requirements import Requirement

from features.errors import UsageError
from features.extras import for_this_python, install_extra, quoted
from pipeline.cli import erc, run

ROOT = Path(__file__).resolve().parents[2]


def declared(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[str]]:
    """pyproject.toml's extras, installed as they stand there."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras: dict[str, list[str]] = project["optional-dependencies"]
    lines = [f"{line}; extra == '{extra}'" for extra, names in extras.items() for line in names if ";" not in line]
    monkeypatch.setattr(metadata, "requires", lambda package: [*project["dependencies"], *lines])
    return extras


def test_the_command_names_the_packages_of_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    extras = declared(monkeypatch)
    assert install_extra("excel") == "pip install 'openpyxl<4,>=3.1'"
    for extra, lines in extras.items():
        names = [Requirement(line).name for line in lines]
        assert [Requirement(word).name for word in install_extra(extra).split("'")[1::2]] == names
    assert len(extras) >= 12


def test_the_extras_of_a_required_package_are_asked_for() -> None:
    assert quoted(Requirement("portalocker[win32]>=4,<5; sys_platform == 'win32'")) == "'portalocker[win32]<5,>=4'"
    assert quoted(Requirement("one[b,a]")) == "'one[a,b]'"


def test_without_an_installation_it_is_told_how_to_make_one(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(package: str) -> list[str]:
        raise metadata.PackageNotFoundError(package)

    monkeypatch.setattr(metadata, "requires", absent)
    assert install_extra("app") == "pip install --editable '.[app]' in the project's folder"
    monkeypatch.setattr(metadata, "requires", lambda package: ["click>=8"])
    assert install_extra("app") == "pip install --editable '.[app]' in the project's folder"


def test_a_hint_installs_where_this_python_finds_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """`.venv/bin/erc`, with the environment not activated: the shell's pip is another's, or there is none."""
    for name in ("own place/bin", "other/bin"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "pip").write_text("#!/bin/sh\n", encoding="utf-8")
        (tmp_path / name / "pip").chmod(0o755)
    python = tmp_path / "own place" / "bin" / "python"
    monkeypatch.setattr(sys, "executable", str(python))
    hint = "no weights: pip install 'a<2' && pip install --no-deps b==1, or pip uninstall c"
    monkeypatch.setenv("PATH", f"{python.parent}:{tmp_path / 'other' / 'bin'}")
    assert for_this_python(hint) == hint
    for path in (f"{tmp_path / 'other' / 'bin'}:{python.parent}", str(tmp_path)):
        monkeypatch.setenv("PATH", path)
        told = for_this_python(hint)
        assert told == hint.replace("pip ", f"'{python}' -m pip ")
        assert for_this_python(told) == told
        assert for_this_python("the pip of old") == "the pip of old"


def test_an_error_is_told_with_the_right_pip(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    @click.command()
    def failing() -> None:
        raise UsageError("x needs y: pip install 'y>=2'")

    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setattr(sys, "executable", "/own/bin/python")
    assert run(failing, [], "erc") == 2
    assert capsys.readouterr().err == "erc: x needs y: /own/bin/python -m pip install 'y>=2'\n"
    monkeypatch.setattr(metadata, "requires", lambda package: ["no-such-package>=1"])
    assert run(erc, ["doctor"], "erc") == 1
    assert "-> /own/bin/python -m pip install 'no-such-package>=1'\n" in capsys.readouterr().out


def test_no_hint_names_a_package_that_is_on_no_index() -> None:
    listed = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.splitlines()
    said = [name for name in listed if Path(name).suffix in {".py", ".md", ".ipynb", ".jinja", ".yaml", ".toml"}]
    texts = {name: (ROOT / name).read_text(encoding="utf-8") for name in said if not name.startswith("tests/")}
    assert len(texts) > 400
    assert [name for name, text in texts.items() if "erc-feature-store[" in text] == []
