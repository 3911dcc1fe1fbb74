"""The folder of normalised features that processes share, in the system's folder for temporary files."""

from __future__ import annotations

import glob
import os
import platform
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from features.locks import is_alive


@contextmanager
def workspace() -> Iterator[Path]:
    """A new folder that goes with the block. Those of processes that were killed on this machine go first."""
    folder = open_workspace()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def open_workspace() -> Path:
    """The folder of `workspace`, for a process that removes it itself."""
    prefix = f"erc-features-{platform.node() or 'here'}-"
    for folder in Path(tempfile.gettempdir()).glob(f"{glob.escape(prefix)}*"):
        process = folder.name.removeprefix(prefix).partition("-")[0]
        if process.isdecimal() and is_alive(int(process)) is False:
            shutil.rmtree(folder, ignore_errors=True)
    return Path(tempfile.mkdtemp(prefix=f"{prefix}{os.getpid()}-"))
