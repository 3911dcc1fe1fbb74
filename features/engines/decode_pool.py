"""A pool of processes that decode clips: the results come in order, and a bounded way ahead of who takes them."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field, replace
from queue import LifoQueue
from types import TracebackType
from typing import Self

from threadpoolctl import threadpool_limits

from features.engines.clip_task import ClipReader, ClipResult, ClipTask, process_clip
from features.engines.worker import TaskDiedError, TaskFaultError, TaskTimedOutError, Worker
from features.errors import Reason, UnavailableError
from features.media.limits import limit_memory
from features.store.plan import media_stat

_AHEAD_PER_WORKER = 8
_FEW_CLIPS = 8
_THREAD_COUNTS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")

DEFAULT_CLIP_TIMEOUT_S = 300.0


@dataclass(frozen=True)
class DecodeOptions:
    """How clips are decoded.

    workers:         processes that decode; None: as many as help, 0: the calling process, which cannot limit the time
    clip_timeout_s:  a clip that takes longer is given up; None: after DEFAULT_CLIP_TIMEOUT_S, where workers decode
    follow_symlinks: read clips, too, that symbolic links lead to out of media_root
    """

    workers: int | None = None
    clip_timeout_s: float | None = None
    follow_symlinks: bool = False

    def workers_for(self, num_clips: int) -> int:
        """Processes for so many clips: none for a few, unless their time is to be limited; else one a core."""
        if self.workers is not None:
            return self.workers
        if num_clips <= _FEW_CLIPS and self.clip_timeout_s is None:
            return 0  # to start a process takes longer
        return min(num_clips, len(os.sched_getaffinity(0)))


_readers: dict[str, ClipReader] = {}


def _start_worker(readers: dict[str, ClipReader]) -> None:
    """One thread a worker: more compete with each other, and may round otherwise. And no more memory than a clip needs.

    The limit is on memory (RLIMIT_DATA), not on addresses (RLIMIT_AS), of which libraries reserve many gigabytes.
    """
    os.environ.update(dict.fromkeys(_THREAD_COUNTS, "1"))  # for libraries that are loaded later
    threadpool_limits(1)
    limit_memory()
    _readers.update(readers)


def _work(task: ClipTask) -> ClipResult:
    return process_clip(task, _readers)


@dataclass
class DecodePool:
    """Worker processes that decode clips. With 0 workers the calling process decodes, and no time is limited.

    clip_timeout_s: a clip that takes longer is `timed-out`: its worker is killed, and another one started. Neither the
                    wait for a worker nor a worker's start counts.
    """

    readers: dict[str, ClipReader]
    workers: int
    clip_timeout_s: float | None = None
    _crew: list[Worker] = field(default_factory=list, init=False)
    _idle: LifoQueue[Worker] = field(default_factory=LifoQueue, init=False)
    _threads: ThreadPoolExecutor | None = field(default=None, init=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for worker in self._crew:
            worker.end()
        if self._threads is not None:
            self._threads.shutdown(wait=True, cancel_futures=True)
        for worker in self._crew:
            worker.close()

    def map(self, tasks: Iterable[ClipTask]) -> Iterator[ClipResult]:
        """The results in the tasks' order; at most a few tasks per worker are ahead of the one that is taken.

        A clip whose worker dies, and dies again when nothing else is decoded, becomes `failed`; the others go on.
        Raises WorkerError where no worker can be started.
        """
        if not self.workers:
            for task in tasks:
                with threadpool_limits(1):
                    result = process_clip(task, self.readers)
                yield result
            return
        threads = self._start()
        pending: deque[tuple[ClipTask, Future[ClipResult | None]]] = deque()
        for task in tasks:
            pending.append((task, threads.submit(self._decode, task)))
            if len(pending) > _AHEAD_PER_WORKER * self.workers:
                yield self._next(pending)
        while pending:
            yield self._next(pending)

    def _start(self) -> ThreadPoolExecutor:
        """A thread for each worker: it waits for it, and starts the process once there is a task for it."""
        if self._threads is None:
            self._threads = ThreadPoolExecutor(self.workers, "decode")
            self._crew = [Worker(_work, _start_worker, (self.readers,)) for _ in range(self.workers)]
            for worker in self._crew:
                self._idle.put(worker)
        return self._threads

    def _next(self, pending: deque[tuple[ClipTask, Future[ClipResult | None]]]) -> ClipResult:
        task, future = pending.popleft()
        result = future.result()
        if result is None:
            wait([other for _, other in pending])
            result = self._decode(task)
        return result or _lost(task, Reason.WORKER_DIED, "the process that decoded the clip died, twice")

    def _decode(self, task: ClipTask) -> ClipResult | None:
        """The result of a clip; None where its worker died."""
        limit_s = DEFAULT_CLIP_TIMEOUT_S if self.clip_timeout_s is None else self.clip_timeout_s
        state = media_stat(task.path)
        worker = self._idle.get()
        try:
            result: ClipResult = worker.do(task, limit_s)
            return result
        except TaskTimedOutError:
            detail = f"not decoded within {limit_s:g} s: raise --clip-timeout if it only takes long"
            return replace(_lost(task, Reason.TIMED_OUT, detail, state), seconds=limit_s)
        except TaskFaultError as error:
            return _lost(task, Reason.UNPREPARED, str(error), state)
        except TaskDiedError:
            return None
        finally:
            self._idle.put(worker)


def _lost(
    task: ClipTask, reason: Reason, detail: str, state: tuple[int | None, int | None] | None = None
) -> ClipResult:
    """The result of a clip that no worker could tell of."""
    size, mtime_ns = media_stat(task.path) if state is None else state
    return ClipResult(task, dict.fromkeys(task.readers, UnavailableError(reason, detail)), size, mtime_ns)
