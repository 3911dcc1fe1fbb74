"""The folder of normalised features: it goes with its process, and a disk without room is told."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest
from suite_shell import Shell

from pipeline.suites import shared_features
from pipeline.suites import workspace as module
from pipeline.suites.workspace import Workspace, workspace

HOUSE = Path(__file__).resolve().parents[3]
KILLED = """
import os, signal
from pipeline.suites.workspace import workspace
with workspace() as folder:
    (folder / "0.npy").write_bytes(b"values")
    print(folder, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_a_killed_process_left_goes_with_the_next_and_that_of_the_living_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    environment = os.environ | {"TMPDIR": str(tmp_path), "PYTHONPATH": str(HOUSE)}
    done = subprocess.run([sys.executable, "-c", KILLED], env=environment, capture_output=True, text=True, check=False)
    left = Path(done.stdout.strip())
    assert left.parent == tmp_path
    assert (left / "0.npy").is_file()
    not_locked_yet = tmp_path / "erc-features-new"
    not_locked_yet.mkdir()
    mine = Workspace()
    assert not left.exists()
    with workspace() as other:
        assert {*tmp_path.iterdir()} == {mine.folder, other, not_locked_yet}
    assert {*tmp_path.iterdir()} == {mine.folder, not_locked_yet}
    mine.close()
    assert {*tmp_path.iterdir()} == {not_locked_yet}


def test_one_that_was_taken_for_a_leftover_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between its making and its lock another process may have come by."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    own, taken = module.open_lock, []

    def slow(path: Path) -> int:
        descriptor = own(path)
        if not taken:
            taken.append(path.parent)
            module._remove_leftover(path.parent)
        return descriptor

    monkeypatch.setattr(module, "open_lock", slow)
    with workspace() as folder:
        assert taken
        assert folder not in taken
        assert {*tmp_path.iterdir()} == {folder}


@pytest.mark.skipif(not hasattr(os, "posix_fallocate"), reason="this system cannot reserve a file's place")
def test_a_disk_without_room_is_told_and_other_experiments_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without its place on the disk, a write to a mapped page ends the process without a word."""
    shell, own = Shell(tmp_path, capsys), os.posix_fallocate
    asked: list[int] = []

    def full(descriptor: int, start: int, size: int) -> None:
        asked.append(size)
        if len(asked) == 1:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        own(descriptor, start, size)

    monkeypatch.setattr(shared_features.os, "posix_fallocate", full)
    status, _, err = shell.ablate("--seeds", 1)
    assert status == 1
    assert "text: text/sentence-" in err
    assert "has no room for its normalised rows: free some, or name another folder for temporary files" in err
    assert list(tmp_path.glob("runs/both-*/seed-0/result.json"))
    assert not list(tmp_path.glob("runs/text-*/seed-0/result.json"))
    assert all(size > 84 * 4 for size in asked)
