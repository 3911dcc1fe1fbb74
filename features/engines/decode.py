"""Decoding clips in worker processes: once a clip for every encoder that lacks it, in order, a bounded way ahead."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import TracebackType
from typing import Self

from threadpoolctl import threadpool_limits

from features.encoders import Input, Preparer
from features.errors import Reason, UnavailableError
from features.manifest import Utterance
from features.media import ClipNeeds, decode_clip
from features.store.plan import media_stat

_AHEAD_PER_WORKER = 8
_FEW_CLIPS = 8


@dataclass(frozen=True)
class DecodeOptions:
    """How clips are decoded.

    workers:        processes that decode; None: as many as help, 0: the calling process, which cannot limit the time
    clip_timeout_s: a clip that takes longer is given up
    """

    workers: int | None = None
    clip_timeout_s: float = 300.0

    def workers_for(self, num_clips: int) -> int:
        """Processes for so many clips: none for a few (starting them takes longer), else one a core."""
        if self.workers is not None:
            return self.workers
        return 0 if num_clips <= _FEW_CLIPS else len(os.sched_getaffinity(0))


@dataclass(frozen=True)
class ClipReader:
    """What a worker needs of one encoder: what to decode, and how to make its input."""

    needs: ClipNeeds
    prepare: Preparer


@dataclass(frozen=True)
class ClipTask:
    """One clip to decode, for the encoders whose keys are in `readers`."""

    utterance: Utterance
    path: Path
    readers: tuple[str, ...]


@dataclass(frozen=True)
class ClipResult:
    """What came of a clip: per encoder key its input, or why there is none. Size and mtime are those before reading."""

    task: ClipTask
    outcomes: dict[str, Input | UnavailableError]
    size: int | None = None
    mtime_ns: int | None = None
    digest: str | None = None
    seconds: float = 0.0

    def without_inputs(self) -> ClipResult:
        """The same without what was made of the clip, which may be many megabytes."""
        return replace(self, outcomes={})


def as_unavailable(error: Exception) -> UnavailableError:
    """Why there is no input, where `prepare` raised this: its own reason, or `unprepared` for any other error."""
    if isinstance(error, UnavailableError):
        return error
    return UnavailableError(Reason.UNPREPARED, f"{type(error).__name__}: {error}")


def process_clip(task: ClipTask, readers: Mapping[str, ClipReader]) -> ClipResult:
    """Decode one clip and prepare the inputs of its encoders. Whatever is wrong with it becomes an outcome."""
    started = time.perf_counter()
    size, mtime_ns = media_stat(task.path)
    outcomes: dict[str, Input | UnavailableError] = {}
    digest = None
    try:
        clip = decode_clip(task.path, task.utterance, [readers[key].needs for key in task.readers])
        digest = clip.digest
        for key in task.readers:
            try:
                outcomes[key] = readers[key].prepare(clip)
            except Exception as error:
                outcomes[key] = as_unavailable(error)
    except UnavailableError as error:
        outcomes = dict.fromkeys(task.readers, error)
    except Exception as error:
        odd = UnavailableError(Reason.UNDECODABLE, f"{type(error).__name__}: {error}")
        outcomes = dict.fromkeys(task.readers, odd)
    return ClipResult(task, outcomes, size, mtime_ns, digest, time.perf_counter() - started)


_readers: dict[str, ClipReader] = {}


def _start_worker(readers: dict[str, ClipReader]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    threadpool_limits(1)  # one thread a worker: more compete with each other, and may round otherwise
    _readers.update(readers)


def _work(task: ClipTask) -> ClipResult:
    return process_clip(task, _readers)


@dataclass
class DecodePool:
    """Worker processes that decode clips. With 0 workers the calling process decodes."""

    readers: dict[str, ClipReader]
    workers: int
    clip_timeout_s: float = DecodeOptions.clip_timeout_s
    _pool: ProcessPoolExecutor | None = field(default=None, init=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()

    def map(self, tasks: Iterable[ClipTask]) -> Iterator[ClipResult]:
        """The results in the tasks' order; at most a few tasks per worker are ahead of the one that is taken.

        A clip whose worker dies, alone in a fresh one as well, becomes `failed`; the others go on.
        """
        if not self.workers:
            for task in tasks:
                with threadpool_limits(1):
                    result = process_clip(task, self.readers)
                yield result
            return
        pending: deque[tuple[ClipTask, Future[ClipResult]]] = deque()
        for task in tasks:
            pending.append((task, self._submit(task)))
            if len(pending) > _AHEAD_PER_WORKER * self.workers:
                yield self._next(pending)
        while pending:
            yield self._next(pending)

    def _next(self, pending: deque[tuple[ClipTask, Future[ClipResult]]]) -> ClipResult:
        task, future = pending.popleft()
        try:
            return future.result()
        except BrokenProcessPool:
            self._stop()
        try:
            result = self._submit(task).result()
        except BrokenProcessPool:
            self._stop()
            error = UnavailableError(Reason.WORKER_DIED, "the process that decoded the clip died, twice")
            size, mtime_ns = media_stat(task.path)
            result = ClipResult(task, dict.fromkeys(task.readers, error), size, mtime_ns)
        again = [(other, self._submit(other)) for other, _ in pending]
        pending.clear()
        pending.extend(again)
        return result

    def _submit(self, task: ClipTask) -> Future[ClipResult]:
        if self._pool is None:
            context = multiprocessing.get_context("spawn")
            self._pool = ProcessPoolExecutor(self.workers, context, _start_worker, (self.readers,))
        try:
            return self._pool.submit(_work, task)
        except BrokenProcessPool as error:
            broken: Future[ClipResult] = Future()
            broken.set_exception(error)
            return broken

    def _stop(self) -> None:
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)
            self._pool = None
