"""How much memory a process and all that it started take, seen from outside while they work."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from types import TracebackType

_EVERY_S = 0.2
_PAGE_MIB = os.sysconf("SC_PAGE_SIZE") / 2**20


class MemoryWatch:
    """A context manager; `peak_mib` is the most that was seen until then, a few times a second."""

    def __init__(self, pid: int) -> None:
        self.peak_mib = 0.0
        self._pid = pid
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> MemoryWatch:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()

    def _watch(self) -> None:
        while True:
            self.peak_mib = max(self.peak_mib, memory_mib(self._pid))
            if self._ended.wait(_EVERY_S):
                return


def memory_mib(pid: int) -> float:
    """Of a process and its descendants: each one's own pages, and the files and shared memory of the one that maps most
    of them, which the others are taken to share."""
    own, shared = 0, 0
    waiting = [pid]
    while waiting:
        process = waiting.pop()
        try:
            resident, mapped = map(int, Path(f"/proc/{process}/statm").read_text(encoding="ascii").split()[1:3])
            for thread in Path(f"/proc/{process}/task").iterdir():
                waiting += map(int, (thread / "children").read_text(encoding="ascii").split())
        except OSError:  # it has ended
            continue
        own += resident - mapped
        shared = max(shared, mapped)
    return (own + shared) * _PAGE_MIB
