"""What a refused run says of the one that holds the lock: a process that lives, or nothing."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from features.errors import StoreBusyError
from features.store.lock import writer_lock

HOLD = """
import sys, time
from pathlib import Path
from features.store.lock import writer_lock
with writer_lock(Path(sys.argv[1]), (1, 2) if sys.argv[2] == "slice" else None):
    print("held", flush=True)
    time.sleep(60)
"""


def hold(folder: Path, how: str) -> subprocess.Popen[str]:
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(folder), how], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def refusal(folder: Path, shard: tuple[int, int] | None = None) -> str:
    with pytest.raises(StoreBusyError, match="another run is writing it") as caught, writer_lock(folder, shard):
        pass
    return str(caught.value)


def test_the_holder_is_named(tmp_path: Path) -> None:
    process = hold(tmp_path, "whole")
    try:
        assert f"writing it (host {platform.node()}, pid {process.pid}): wait" in refusal(tmp_path)
    finally:
        process.kill()
        process.wait()


def test_one_of_another_user_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def not_ours(pid: int, signal: int) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "kill", not_ours)
    with writer_lock(tmp_path):
        assert f"pid {os.getpid()})" in refusal(tmp_path)


def test_a_process_that_is_gone_is_not_named(tmp_path: Path) -> None:
    """A run was killed, which left its text behind; then another took the lock as a slice, which writes none."""
    killed = hold(tmp_path, "whole")
    killed.kill()
    killed.wait()
    text = (tmp_path / ".lock").read_text()
    assert text == f"host {platform.node()}, pid {killed.pid}\n"
    process = hold(tmp_path, "slice")
    try:
        (tmp_path / ".lock").write_text(text)
        assert "writing it (which one is not known): wait" in refusal(tmp_path)
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize(
    "text", ["host elsewhere.org, pid 1", "", "host x", "host {here}, pid -1", "host {here}, pid 0"]
)
def test_who_cannot_be_known_is_not_named(tmp_path: Path, text: str) -> None:
    with writer_lock(tmp_path):
        (tmp_path / ".lock").write_text(text.format(here=platform.node()))
        assert "writing it (which one is not known): wait" in refusal(tmp_path)


def test_the_text_is_emptied(tmp_path: Path) -> None:
    with writer_lock(tmp_path):
        assert (tmp_path / ".lock").read_text() == f"host {platform.node()}, pid {os.getpid()}\n"
    assert (tmp_path / ".lock").read_text() == ""
    with writer_lock(tmp_path, (1, 2)):
        assert (tmp_path / ".lock-1-of-2").read_text() == f"host {platform.node()}, pid {os.getpid()}\n"
        assert f"pid {os.getpid()})" in refusal(tmp_path, (1, 2))
        assert "which one is not known" in refusal(tmp_path)
    assert (tmp_path / ".lock-1-of-2").read_text() == ""
    (tmp_path / ".lock").write_text(f"host {platform.node()}, pid {os.getpid()}\n")
    with writer_lock(tmp_path, (1, 2)):
        assert "which one is not known" in refusal(tmp_path)
