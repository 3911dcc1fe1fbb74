"""Locks are flock's on Linux and macOS, and go by portalocker where there is no fcntl."""

from __future__ import annotations

import fcntl
import os
import platform
import subprocess
import sys
from enum import IntFlag
from pathlib import Path
from types import ModuleType

import pytest

from features import locks
from features.errors import NetworkError, StoreBusyError
from features.network.part_file import PartFile
from features.store.lock import no_writer, writer_lock
from pipeline.runs.locks import folder_lock, seed_lock

HOLD = """
import fcntl, sys, time
file = open(sys.argv[1], "a+")
fcntl.flock(file, fcntl.LOCK_SH if sys.argv[2] == "shared" else fcntl.LOCK_EX)
print("held", flush=True)
time.sleep(60)
"""


class Flags(IntFlag):
    EXCLUSIVE = 1
    SHARED = 2
    NON_BLOCKING = 4


class LockError(Exception):
    pass


class AlreadyLocked(LockError):
    pass


class Locker:
    """LockFileEx, as far as locks of whole files go: who holds an exclusive one may take a shared one, too, and of
    both the first release ends the exclusive one. On top of flock, so that other processes are met."""

    held: dict[int, list[str]]

    def __init__(self) -> None:
        pass

    def lock(self, descriptor: int, flags: Flags) -> None:
        mine = Locker.held.setdefault(descriptor, [])
        if mine:
            assert flags & Flags.SHARED, "an exclusive lock over one's own waits for ever"
            mine.append("shared")
            return
        mode = fcntl.LOCK_SH if flags & Flags.SHARED else fcntl.LOCK_EX
        try:
            fcntl.flock(descriptor, mode | (fcntl.LOCK_NB if flags & Flags.NON_BLOCKING else 0))
        except BlockingIOError as error:
            raise AlreadyLocked from error
        mine.append("shared" if flags & Flags.SHARED else "exclusive")

    def unlock(self, descriptor: int) -> None:
        mine = Locker.held[descriptor]
        mine.remove("exclusive" if "exclusive" in mine else "shared")
        fcntl.flock(descriptor, fcntl.LOCK_SH if mine else fcntl.LOCK_UN)


@pytest.fixture(params=["flock", "windows"])
def system(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """With flock, or without fcntl and with portalocker as it is on Windows."""
    if request.param == "windows":
        take_fcntl_away(monkeypatch)
        Locker.held = {}
        names = {"portalocker": {"LockFlags": Flags}, "portalocker.portalocker": {"Win32Locker": Locker}}
        names["portalocker.exceptions"] = {"AlreadyLocked": AlreadyLocked, "LockException": LockError}
        for name, content in names.items():
            module = ModuleType(name)
            module.__dict__.update(content)
            monkeypatch.setitem(sys.modules, name, module)
        close = os.close

        def forgetful(descriptor: int) -> None:
            Locker.held.pop(descriptor, None)
            close(descriptor)

        monkeypatch.setattr("features.locks.os.close", forgetful)
    return str(request.param)


def take_fcntl_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locks, "fcntl", None)


def other(path: Path, how: str = "exclusive") -> subprocess.Popen[str]:
    """A process that holds flock's lock of a file, as every version of this program takes it."""
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(path), how], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_a_lock_that_another_process_holds_is_not_taken(tmp_path: Path, system: str) -> None:
    process = other(tmp_path / "file")
    descriptor = locks.open_lock(tmp_path / "file")
    try:
        assert not locks.lock(descriptor)
        assert not locks.lock(descriptor, shared=True)
        process.kill()
        process.wait()
        assert locks.lock(descriptor)
        locks.share(descriptor)
        second = locks.open_lock(tmp_path / "file")
        assert locks.lock(second, shared=True)
        os.close(second)
    finally:
        process.kill()
        process.wait()
        os.close(descriptor)


def test_a_shared_one_is_shared_and_keeps_writers_out(tmp_path: Path, system: str) -> None:
    process = other(tmp_path / "file", "shared")
    descriptor = locks.open_lock(tmp_path / "file")
    try:
        assert not locks.lock(descriptor)
        assert locks.lock(descriptor, shared=True)
    finally:
        process.kill()
        process.wait()
        os.close(descriptor)


def test_writers_of_a_feature_keep_each_other_out(tmp_path: Path, system: str) -> None:
    with writer_lock(tmp_path) as held:
        assert held
        with no_writer(tmp_path) as free:
            assert not free
        with pytest.raises(StoreBusyError, match=f"host {platform.node()}, pid {os.getpid()}"), writer_lock(tmp_path):
            pass
        with pytest.raises(StoreBusyError, match="another run is writing it"), writer_lock(tmp_path, (1, 2), "a"):
            pass
    with writer_lock(tmp_path, (1, 2), "a"), writer_lock(tmp_path, (2, 2), "a") as held:
        assert held
        with pytest.raises(StoreBusyError, match="another run is writing it"), writer_lock(tmp_path):
            pass
        with pytest.raises(StoreBusyError, match="of another number"), writer_lock(tmp_path, (1, 3), "b"):
            pass
    with writer_lock(tmp_path) as held, no_writer(tmp_path / "absent") as free:
        assert (held, free) == (True, True)


def test_a_version_of_before_keeps_a_new_one_out(tmp_path: Path) -> None:
    """Both call flock on the same file."""
    process = other(tmp_path / ".lock")
    try:
        with pytest.raises(StoreBusyError, match="another run is writing it"), writer_lock(tmp_path):
            pass
    finally:
        process.kill()
        process.wait()


def test_a_seed_is_trained_once_and_its_lock_is_gone(tmp_path: Path, system: str) -> None:
    with seed_lock(tmp_path, 1) as first, seed_lock(tmp_path, 1) as second, seed_lock(tmp_path, 2) as third:
        assert (first, second, third) == (True, False, True)
    with folder_lock(tmp_path):
        assert [path.name for path in tmp_path.iterdir()] == [".lock"]
    assert list(tmp_path.iterdir()) == []


def test_a_part_is_written_by_one(tmp_path: Path, system: str) -> None:
    with PartFile(tmp_path / "file", "http://x/file"), pytest.raises(NetworkError, match="another process"):  # noqa: SIM117
        with PartFile(tmp_path / "file", "http://x/file"):
            pass


def test_a_file_system_without_locks_does_not_keep_a_download_from_coming(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    take_fcntl_away(monkeypatch)  # and portalocker is not here
    with PartFile(tmp_path / "file", "http://x/file") as part:
        part.write(b"all of it")
        part.finish()
    assert (tmp_path / "file").read_bytes() == b"all of it"


def test_where_nothing_locks_a_run_goes_on_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    take_fcntl_away(monkeypatch)
    with (
        pytest.warns(UserWarning, match="has no locks: never run two extractions on it"),
        writer_lock(tmp_path) as held,
    ):
        assert not held
    with seed_lock(tmp_path, 1) as held, folder_lock(tmp_path):
        assert held
    assert list(tmp_path.iterdir()) == []


def test_an_open_file_is_closed_before_it_is_renamed_where_it_must_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on Windows, which renames and removes nothing that is open."""
    monkeypatch.setattr("features.network.part_file.may_replace_open", lambda: False)
    for work in ("finish", "discard"):
        with PartFile(tmp_path / work, "http://x/file") as part:
            part.write(b"all of it")
            file = part._file
            monkeypatch.setattr(Path, "replace", closed_first(Path.replace, file))
            monkeypatch.setattr(Path, "unlink", closed_first(Path.unlink, file))
            getattr(part, work)()
        monkeypatch.undo()
        monkeypatch.setattr("features.network.part_file.may_replace_open", lambda: False)
    assert [path.name for path in tmp_path.iterdir()] == ["finish"]


def closed_first(real: object, file: object) -> object:
    def call(path: Path, *given: object, **named: object) -> object:
        if path.suffix == ".part":
            assert file.closed  # type: ignore[attr-defined]
        return real(path, *given, **named)  # type: ignore[operator]

    return call


def test_who_lives_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    assert (locks.is_alive(os.getpid()), locks.is_alive(ended.pid), locks.is_alive(1 << 80)) == (True, False, None)
    monkeypatch.setattr("features.locks.os.name", "nt")
    assert locks.is_alive(os.getpid()) is None
