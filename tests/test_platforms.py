"""What not every system has is named in few files, each of which does without; commands run where it is taken away."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from platform_calls import platform_calls, texts_without_encoding
from test_architecture import modules

from features.hardware import pool_size

# What each of these files names, and asks for before it uses it. Others ask these files.
GUARDED = {
    "features.engines.worker": {"ctypes.CDLL", "signal.SIGKILL", "signal.pthread_sigmask"},
    "features.hardware": {"os.sched_getaffinity", "resource"},
    "features.locks": {"fcntl", "os.O_BINARY", "os.kill"},
    "features.media.limits": {"resource"},
    "features.store.placing": {"ctypes.CDLL"},
    "heads.training.memory": {"ctypes.CDLL"},
    "pipeline.doctor.machine": {"os.sysconf", "os.sysconf_names"},
    "pipeline.suites.shared_features": {"os.posix_fallocate"},
    "pipeline.suites.workers": {"forkserver"},
}


def test_what_not_every_system_has_is_named_where_it_is_asked_for() -> None:
    found = {name: platform_calls(tree) for name, tree in modules()}
    assert {name: calls for name, calls in found.items() if calls} == GUARDED


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("import fcntl", {"fcntl"}),
        ("def f():\n    from resource import getrlimit", {"resource"}),
        ("import os\nos.pread(1, 2, 3)", {"os.pread"}),
        ("import os as system\nsystem.fork()", {"os.fork"}),
        ("from os import fork", {"os.fork"}),
        ("import signal\nfor number in (signal.SIGTERM, signal.SIGHUP): ...", {"signal.SIGHUP"}),
        ("import os\ngetattr(os, 'sched_getaffinity')(0)", {"os.sched_getaffinity"}),
        ("import ctypes\nctypes.CDLL(None)", {"ctypes.CDLL"}),
        ("import multiprocessing\nmultiprocessing.get_context('fork')", {"fork"}),
        ("from multiprocessing import get_context\nget_context(method='fork')", {"fork"}),
        ("import os\nos.replace('a', 'b')\nos.getpid()", set()),
    ],
)
def test_a_call_of_few_systems_is_found(source: str, found: set[str]) -> None:
    assert platform_calls(ast.parse(source)) == found


def test_text_files_have_an_encoding() -> None:
    found = [f"{name}:{line}" for name, tree in modules() for line in texts_without_encoding(tree)]
    assert found == []


@pytest.mark.parametrize(
    ("source", "is_found"),
    [
        ("path.read_text()", True),
        ("path.write_text(text)", True),
        ("path.write_text(text, newline='')", True),
        ("path.open('w')", True),
        ("open(path)", True),
        ("open(path, 'a')", True),
        ("path.read_text('utf-8')", False),
        ("path.write_text(text, encoding='utf-8')", False),
        ("path.open('r+b')", False),
        ("open(path, 'rb')", False),
        ("path.open('w', encoding='utf-8')", False),
        ("write_text(path, text)", False),
    ],
)
def test_a_text_file_without_encoding_is_found(source: str, is_found: bool) -> None:
    assert bool(texts_without_encoding(ast.parse(source))) is is_found


def test_a_pool_of_windows_is_no_larger_than_it_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    assert pool_size(100) == 100
    monkeypatch.setattr("features.hardware.sys.platform", "win32")
    assert (pool_size(100), pool_size(8)) == (61, 8)


# Every process that starts with this on its path, workers too, is one of a system that has less. Libraries keep their
# modules: on such a system they have others.
BARE = """
import builtins, multiprocessing, os, signal
taken = {"fcntl", "resource", "termios", "pwd", "grp"}
real = builtins.__import__
def bare(name, globals=None, locals=None, fromlist=(), level=0):
    importer = str((globals or {}).get("__name__"))
    if name in taken and importer.partition(".")[0] in ("features", "heads", "pipeline"):
        raise ModuleNotFoundError(f"No module named {name!r}", name=name)
    return real(name, globals, locals, fromlist, level)
builtins.__import__ = bare
multiprocessing.get_all_start_methods = lambda: ["spawn"]
for name in ("SIGHUP", "SIGUSR1", "SIGALRM", "pthread_sigmask"):
    delattr(signal, name)
for name in ("sched_getaffinity", "pread", "pwrite", "fork"):
    delattr(os, name)
"""


@pytest.fixture
def bare(tmp_path: Path) -> dict[str, str]:
    """The environment of a process on such a system."""
    (tmp_path / "bare").mkdir()
    (tmp_path / "bare" / "sitecustomize.py").write_text(BARE, encoding="utf-8")
    here = str(Path(__file__).resolve().parents[1])
    return os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path / "bare"), here])}


def erc(environment: dict[str, str], *arguments: str) -> str:
    command = [sys.executable, "-c", "from pipeline.cli import main; main()", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def test_the_bare_system_is_bare(bare: dict[str, str]) -> None:
    """Else the tests below would pass for nothing."""
    code = "exec('import fcntl', {'__name__': 'features.x'})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=bare)
    assert "No module named 'fcntl'" in done.stderr
    code = "import signal, os; print(hasattr(signal, 'SIGHUP'), hasattr(os, 'sched_getaffinity'))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=bare, check=True)
    assert done.stdout == "False False\n"


def test_help_on_a_bare_system(bare: dict[str, str]) -> None:
    assert "Usage: erc" in erc(bare, "--help")


@pytest.mark.slow
def test_from_a_sample_to_a_report_on_a_bare_system(bare: dict[str, str], tmp_path: Path) -> None:
    corpus, manifest, store = tmp_path / "corpus", tmp_path / "manifest.parquet", tmp_path / "store"
    erc(bare, "doctor", "--store", str(store))
    erc(bare, "sample", str(corpus), "--dialogues", "6")
    erc(bare, "ingest", "meld", str(corpus), "--out", str(manifest))
    both = ["--store", str(store), "--manifest", str(manifest)]
    said = erc(bare, "extract", "--modality", "text", "--encoder", "surface", *both)
    assert "has no locks" in said  # portalocker is not installed here: a run goes on without, and says so
    erc(bare, "extract", "--modality", "visual", "--encoder", "hog-colour", "--workers", "2", *both)
    defaults = {
        "feedforward": {"sizes": [], "dropout": 0.0},
        "optim": {"lr": 1e-2},
        "stop": {"epochs": 2, "patience": 2},
        "loss": [{"name": "cross-entropy"}],
    }
    inputs = {
        "words": {"inputs": {"text": ["surface"]}},
        "both": {"inputs": {"text": ["surface"], "visual": ["hog-colour"]}},
    }
    suite = {"title": "Small", "description": "Two heads.", "defaults": defaults, "experiments": inputs}
    (tmp_path / "suite.yaml").write_text(json.dumps(suite), encoding="utf-8")
    runs = tmp_path / "runs"
    erc(bare, "ablate", str(tmp_path / "suite.yaml"), *both, "--out", str(runs), "--jobs", "2", "--seeds", "2")
    erc(bare, "report", str(runs), "--out", str(tmp_path / "report"))
    assert (tmp_path / "report" / "report.html").stat().st_size > 10_000
