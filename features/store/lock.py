"""Locks against two writers of one feature: exclusive for a plain run; for --shard shared, and exclusive for its slice.

The system releases a lock when its process dies, so none is ever left behind (see `features.locks`); host and pid are
only for the message, emptied when the lock is released, and not believed where that process is gone.
Some network file systems have no locks. There a run goes on without, since a commit never rests on them, and says so.
"""

from __future__ import annotations

import errno
import os
import platform
import re
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from features.errors import ErcWarning, StoreBusyError
from features.locks import NoLocksError, is_alive, lock, open_lock, share

SLICES = ".slices"  # what the slices that are at work have agreed on

_FIRST_SLICE_S = 2.0
_RETRY_S = 0.02
_HOLDER = re.compile(r"host (?P<host>.*), pid (?P<pid>[1-9]\d*)")


@contextmanager
def writer_lock(folder: Path, shard: tuple[int, int] | None = None, agreement: str = "") -> Iterator[bool]:
    """Hold the right to write a feature folder; `shard` is (I, N). Gives False where the file system has no locks.

    agreement: a digest of the manifest and the number of slices. Slices that are at work at once must have the same:
               the first one writes it into SLICES, the others compare; an empty one fits all
    Raises StoreBusyError where another run holds the folder, or its slices are others; OSError where the lock's file
    cannot be made.
    """
    if shard is None:
        whole, locked = _acquire(folder / ".lock", folder)
        try:
            yield locked
        finally:
            _release(whole)
        return
    index, count = shard
    whole, locked = _share(folder, agreement)
    try:
        own, _ = _acquire(folder / f".lock-{index}-of-{count}", folder)
        try:
            yield locked
        finally:
            _release(own)
    finally:
        _release(whole)


def _share(folder: Path, agreement: str) -> tuple[int, bool]:
    """The shared lock of slices. Who finds nobody at work writes what is agreed, and lets others in."""
    deadline = time.monotonic() + _FIRST_SLICE_S
    while True:
        try:
            whole, locked = _acquire(folder / ".lock", folder)
        except StoreBusyError:
            pass
        else:
            with _released_on_error(whole):
                (folder / SLICES).write_text(agreement, encoding="ascii")
                if locked:
                    os.ftruncate(whole, 0)  # slices are told by their own locks
                    share(whole)
            return whole, locked
        try:
            whole, locked = _acquire(folder / ".lock", folder, shared=True)
        except StoreBusyError:
            if time.monotonic() > deadline:
                raise
            time.sleep(_RETRY_S)  # another slice may be the first one in this very moment
            continue
        with _released_on_error(whole):
            agreed = (folder / SLICES).read_text(encoding="ascii")
        if agreed in ("", agreement):
            return whole, locked
        os.close(whole)
        raise StoreBusyError(
            f"{folder}: slices of another manifest, or of another number, are at work on it: give all of them the same"
            " --manifest and N of --shard I/N, or wait until they are done"
        )


@contextmanager
def no_writer(folder: Path) -> Iterator[bool]:
    """Keep writers out for a moment; gives False where that cannot be: one is at work, or there are no locks.

    Writes nothing, so that it serves a store that is read-only.
    """
    try:
        descriptor = _open_for_lock(folder / ".lock")
    except FileNotFoundError:  # whoever writes makes it first
        yield True
        return
    try:
        try:
            is_held = lock(descriptor)
        except OSError:
            is_held = False
        yield is_held
    finally:
        os.close(descriptor)


def _open_for_lock(path: Path) -> int:
    try:
        return os.open(path, os.O_RDWR)  # network file systems lock exclusively only what is open for writing
    except PermissionError:
        return os.open(path, os.O_RDONLY)
    except OSError as error:
        if error.errno != errno.EROFS:
            raise
        return os.open(path, os.O_RDONLY)


def _acquire(path: Path, folder: Path, shared: bool = False) -> tuple[int, bool]:
    descriptor = open_lock(path)
    try:
        is_held = lock(descriptor, shared=shared)
    except NoLocksError:
        warnings.warn(
            f"{folder}: its file system has no locks: never run two extractions on it", ErcWarning, stacklevel=2
        )
        return descriptor, False
    except OSError:
        os.close(descriptor)
        raise
    if not is_held:
        holder = None
        with suppress(OSError):
            holder = _living_holder(os.read(descriptor, 200).decode("utf-8", "replace"))
        os.close(descriptor)
        raise StoreBusyError(
            f"{folder}: another run is writing it ({holder or 'which one is not known'}): wait for it, or split the"
            " work with --shard I/N"
        )
    with suppress(OSError):  # the lock is held, whether or not its file can say by whom
        os.ftruncate(descriptor, 0)  # a killed run's
        if not shared:
            os.write(descriptor, f"host {platform.node()}, pid {os.getpid()}\n".encode())
    return descriptor, True


@contextmanager
def _released_on_error(descriptor: int) -> Iterator[None]:
    try:
        yield
    except BaseException:
        os.close(descriptor)
        raise


def _release(descriptor: int) -> None:
    """Empty the lock's text, so that it names nobody who has left, and let go."""
    with suppress(OSError):
        os.ftruncate(descriptor, 0)
    os.close(descriptor)


def _living_holder(text: str) -> str | None:
    """What a lock's file says of its holder, where that can be: on this host, a process that lives.

    Whoever was killed left its text behind, and one that shares the lock with others leaves none.
    """
    match = _HOLDER.fullmatch(text.strip())
    if not match or match["host"] != platform.node():
        return None
    return match[0] if is_alive(int(match["pid"])) else None
