"""One process fetches and unpacks into a corpus's folder: two would remove each other's half-unpacked files."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from features.errors import DownloadError
from features.locks import holding

_NAME = ".downloading.lock"
_READ_ONLY = {errno.EACCES, errno.EPERM, errno.EROFS}


@contextmanager
def corpus_lock(folder: Path) -> Iterator[None]:
    """Hold a folder, which is made. One that can only be read is held by nobody: what is there is looked at.

    Raises DownloadError where another process has it, or it cannot be made.
    """
    with ExitStack() as stack:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            held = stack.enter_context(holding(folder / _NAME, wait=False))
        except OSError as error:
            held = folder.is_dir() and error.errno in _READ_ONLY
            if not held:
                raise DownloadError(
                    f"{folder}: cannot be made: {error.strerror or error}: choose another folder with --to"
                ) from error
        if not held:
            raise DownloadError(f"{folder}: another `erc download` is at work there: wait for it")
        yield
