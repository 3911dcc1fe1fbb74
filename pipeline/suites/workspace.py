"""The folder of normalised features that processes share, in the system's folder for temporary files."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from features.locks import NoLocksError, lock, open_lock

_PREFIX = "erc-features-"
_LOCK = ".lock"


class Workspace:
    """A new folder that only this process writes to, until it is closed. Those of processes that were killed go first:
    nobody holds their locks. Where there are no locks, they stay."""

    def __init__(self) -> None:
        for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
            _remove_leftover(folder)
        self.folder, self._descriptor = _new()

    def close(self) -> None:
        os.close(self._descriptor)  # first: Windows removes no file that is open
        shutil.rmtree(self.folder, ignore_errors=True)


@contextmanager
def workspace() -> Iterator[Path]:
    """The folder of a `Workspace` that goes with the block."""
    opened = Workspace()
    try:
        yield opened.folder
    finally:
        opened.close()


def _new() -> tuple[Path, int]:
    while True:
        folder = Path(tempfile.mkdtemp(prefix=_PREFIX))
        descriptor = open_lock(folder / _LOCK)
        try:
            if lock(descriptor) and folder.is_dir():
                return folder, descriptor
        except NoLocksError:
            return folder, descriptor
        os.close(descriptor)  # another process took it for a leftover, before it was locked


def _remove_leftover(folder: Path) -> None:
    try:
        descriptor = os.open(folder / _LOCK, os.O_RDWR)
    except OSError:  # of another user or program, or not locked yet
        return
    try:
        is_left = lock(descriptor)
        if is_left:
            shutil.rmtree(folder, ignore_errors=True)
    except OSError:
        is_left = False
    finally:
        os.close(descriptor)
    if is_left:  # Windows, and NFS, keep a file that is open
        shutil.rmtree(folder, ignore_errors=True)
