"""A pool of processes that decode clips: the results come in order, and a bounded way ahead of who takes them."""

from __future__ import annotations

import os
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field, replace
from queue import LifoQueue
from types import TracebackType
from typing import Self

from threadpoolctl import threadpool_limits

from features.encoders.protocol import Input
from features.engines.clip_task import OUT_OF_MEMORY, ClipReader, ClipResult, ClipTask, process_clip
from features.engines.worker import TaskDiedError, TaskFaultError, TaskTimedOutError, Worker
from features.errors import Reason, UnavailableError
from features.files import known_size_and_mtime
from features.hardware import cores
from features.media.limits import limit_memory

_AHEAD_PER_WORKER = 8
_IN_VAIN = 8  # clips that raised an error of one kind alone, too: then it is believed
_THREAD_COUNTS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")

_TIMED_OUT, _DIED = "timed out", "died"
_OF_THE_PROCESS = frozenset({_TIMED_OUT, _DIED, OUT_OF_MEMORY})

DEFAULT_CLIP_TIMEOUT_S = 300.0


@dataclass(frozen=True)
class DecodeOptions:
    """How clips are decoded.

    workers:         processes that decode; None: as many as help, 0: the calling process, which cannot limit time or
                     memory, nor survive a clip that kills its process
    clip_timeout_s:  a clip that takes longer is given up; None: after DEFAULT_CLIP_TIMEOUT_S, where workers decode
    follow_symlinks: read clips, too, that symbolic links lead to out of media_root
    """

    workers: int | None = None
    clip_timeout_s: float | None = None
    follow_symlinks: bool = False

    def workers_for(self, num_clips: int) -> int:
        """Processes for so many clips: one a core, and no more than there are clips. None only where 0 is asked for."""
        if self.workers is not None:
            return self.workers
        return min(max(num_clips, 1), cores())


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

    What a worker's failure says of the clip is not known at once: the memory may be gone to an earlier clip or to other
    workers, the time to a busy disk. So a failure of any kind (it dies, takes too long, runs out of memory, or raises
    what is no UnavailableError) ends the worker, and the clip is tried once more, in a fresh one and while nothing else
    is decoded. What comes of that is told of it. Only a type of error (not the want of memory) that _IN_VAIN clips
    raised alone, too, is believed at once from then on: it is the encoder's own.

    clip_timeout_s: what each try may take: a clip that hangs takes twice as long. Neither the wait for a worker nor a
                    worker's start counts.
    """

    readers: dict[str, ClipReader]
    workers: int
    clip_timeout_s: float | None = None
    _crew: list[Worker] = field(default_factory=list, init=False)
    _idle: LifoQueue[Worker] = field(default_factory=LifoQueue, init=False)
    _threads: ThreadPoolExecutor | None = field(default=None, init=False)
    _in_vain: Counter[str] = field(default_factory=Counter, init=False)

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

        Raises WorkerError where no worker can be started.
        """
        if not self.workers:
            for task in tasks:
                with threadpool_limits(1):
                    result = process_clip(task, self.readers)
                yield result
            return
        threads = self._start()
        pending: deque[tuple[ClipTask, Future[ClipResult]]] = deque()
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

    def _next(self, pending: deque[tuple[ClipTask, Future[ClipResult]]]) -> ClipResult:
        task, future = pending.popleft()
        result = future.result()
        if result.fault is None or self._is_believed(result.fault):
            return result
        wait([other for _, other in pending])
        alone = self._decode(task, fresh=True)
        if alone.fault == result.fault:
            self._in_vain[result.fault] += 1
        return alone

    def _is_believed(self, fault: str) -> bool:
        return fault not in _OF_THE_PROCESS and self._in_vain[fault] >= _IN_VAIN

    def _decode(self, task: ClipTask, fresh: bool = False) -> ClipResult:
        """What comes of a clip; its worker is ended where it failed. fresh: by a process that has done nothing yet"""
        limit_s = DEFAULT_CLIP_TIMEOUT_S if self.clip_timeout_s is None else self.clip_timeout_s
        state = known_size_and_mtime(task.path)
        worker = self._idle.get()
        try:
            if fresh:
                worker.close()
            result: ClipResult = worker.do(task, limit_s)
            if result.fault is not None and not self._is_believed(result.fault):
                worker.close()
            return result
        except TaskTimedOutError:
            detail = f"not decoded within {limit_s:g} s: raise --clip-timeout if it only takes long"
            return replace(_lost(task, state, _TIMED_OUT, Reason.TIMED_OUT, detail), seconds=limit_s)
        except TaskDiedError:
            detail = "the process that decoded the clip died, while it was decoded alone"
            return _lost(task, state, _DIED, Reason.WORKER_DIED, detail)
        except TaskFaultError as error:
            reason = Reason.OUT_OF_MEMORY if error.kind == OUT_OF_MEMORY else Reason.UNPREPARED
            return _lost(task, state, error.kind, reason, str(error))
        finally:
            self._idle.put(worker)


def _lost(task: ClipTask, state: tuple[int | None, int | None], fault: str, reason: Reason, detail: str) -> ClipResult:
    """The result of a clip that no worker could tell of. state: size and mtime"""
    outcomes: dict[str, Input | UnavailableError] = dict.fromkeys(task.readers, UnavailableError(reason, detail))
    return ClipResult(task, outcomes, *state, fault=fault)
