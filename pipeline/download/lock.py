"""One process fetches and unpacks into a corpus's folder: two would remove each other's half-unpacked files."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from features.errors import DownloadError
from features.locks import NoLocksError, lock, open_lock, remove_lock

_NAME = ".downloading.lock"


@contextmanager
def corpus_lock(folder: Path) -> Iterator[None]:
    """Raises DownloadError where another process has the folder, which is made. Without locks everyone gets it."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / _NAME
    descriptor = open_lock(path)
    try:
        held = lock(descriptor)
    except NoLocksError:
        held = True
    if not held:
        os.close(descriptor)
        raise DownloadError(f"{folder}: another `erc download` is at work there: wait for it")
    try:
        yield
    finally:
        remove_lock(descriptor, path)
