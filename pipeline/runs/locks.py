"""Locks of run folders, for processes and machines that share them. A lock's file is there only while it is held.

The system releases a lock when its process dies (see `features.locks`), so that a file which a killed process left
behind locks nobody out.
On file systems without locks everyone gets them: what is written is then still written whole.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from features.locks import holding


@contextmanager
def folder_lock(*folders: Path) -> Iterator[None]:
    """Alone with files that several processes write: waits until others have let go. Folders that are not there are
    made. Who takes several, takes them in one order everywhere."""
    with ExitStack() as stack:
        for folder in folders:
            folder.mkdir(parents=True, exist_ok=True)
            stack.enter_context(holding(folder / ".lock", wait=True))
        yield


@contextmanager
def search_lock(folder: Path) -> Iterator[bool]:
    """Hold the right to draw a search's trials; gives False where another process has it. The folder is made."""
    folder.mkdir(parents=True, exist_ok=True)
    with holding(folder / ".search.lock", wait=False) as held:
        yield held


@contextmanager
def seed_lock(run: Path, seed: int) -> Iterator[bool]:
    """Hold the right to train a seed; gives False where another process has it. The run folder is made."""
    run.mkdir(parents=True, exist_ok=True)
    with holding(run / f".seed-{seed}.lock", wait=False) as held:
        yield held
