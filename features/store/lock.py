"""Locks against two writers of one feature: exclusive for a plain run; for --shard shared, and exclusive for its slice.

The kernel releases a flock when its process dies, so no lock is ever left behind; host and pid are only the message.
"""

from __future__ import annotations

import fcntl
import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from features.errors import StoreBusyError


@contextmanager
def writer_lock(folder: Path, shard: tuple[int, int] | None = None) -> Iterator[None]:
    """Hold the right to write a feature folder; `shard` is (I, N). Raises StoreBusyError where another run holds it."""
    whole = _acquire(folder / ".lock", fcntl.LOCK_SH if shard else fcntl.LOCK_EX, folder)
    try:
        if shard is None:
            yield
            return
        index, count = shard
        own = _acquire(folder / f".lock-{index}-of-{count}", fcntl.LOCK_EX, folder)
        try:
            yield
        finally:
            os.close(own)
    finally:
        os.close(whole)


def _acquire(path: Path, mode: int, folder: Path) -> int:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        fcntl.flock(descriptor, mode | fcntl.LOCK_NB)
    except OSError as error:
        holder = os.pread(descriptor, 200, 0).decode("utf-8", "replace").strip()
        os.close(descriptor)
        who = f" ({holder})" if holder else ""
        raise StoreBusyError(
            f"{folder}: another run is writing it{who}: wait for it, or split the work with --shard I/N"
        ) from error
    if mode == fcntl.LOCK_EX:
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"host {platform.node()}, pid {os.getpid()}\n".encode(), 0)
    return descriptor
