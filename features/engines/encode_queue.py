"""Encoding beside decoding: a thread that encodes while the caller goes on taking decoded clips."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Self

_WAITING = 1  # groups of inputs, beside the one that is being encoded: what they hold in memory is bounded


class EncodeQueue:
    """Runs what it is given, one after the other, in a thread of its own (`threaded`) or at once.

    stopping: set where an error or an interruption ends the run; a group in hand then stops after its batch
    """

    def __init__(self, threaded: bool) -> None:
        self.stopping = threading.Event()
        self._thread = ThreadPoolExecutor(1, "encode") if threaded else None
        self._groups: deque[Future[None]] = deque()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            self.stopping.set()
        if self._thread is not None:
            self._thread.shutdown(wait=True, cancel_futures=True)

    def put(self, work: Callable[[], None]) -> None:
        """Run `work` after what was put before. Raises what earlier work raised."""
        if self._thread is None:
            work()
            return
        while len(self._groups) > _WAITING:
            self._groups.popleft().result()
        self._groups.append(self._thread.submit(work))

    def finish(self) -> None:
        """Wait for all that was put. Raises what it raised."""
        while self._groups:
            self._groups.popleft().result()
