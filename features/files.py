"""Writing a file so that it appears whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path


def write_whole(path: Path, write: Callable[[Path], object]) -> None:
    """`write` a temporary file beside `path`, force it to disk, and rename it, which replaces an older file.

    Shards are not written so: what is committed is never replaced (see `features.store.commit`).
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        write(temporary)
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_bytes_whole(path: Path, data: bytes) -> None:
    """`write_whole` of these bytes."""
    write_whole(path, lambda temporary: temporary.write_bytes(data))
