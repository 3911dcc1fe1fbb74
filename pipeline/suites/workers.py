"""Heads trained one after another, or in parallel processes: one thread each, one answer to Ctrl-C."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import traceback
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import forkserver
from typing import Any

from features.errors import RunError, TrainingError
from features.hardware import pool_size
from pipeline.runs.folder import Run
from pipeline.runs.locks import seed_lock
from pipeline.runs.seed_files import SeedResult
from pipeline.suites.training import SeedTask, train_seed

# What every worker would import anyway.
_PRELOADED = [
    "sklearn.metrics",
    "heads.training.trainer",
    "heads.training.checkpoint",
    "pipeline.runs.prediction_frame",
    "pipeline.suites.workers",
]


def train_all(tasks: Sequence[SeedTask], jobs: int) -> Iterator[tuple[SeedTask, Exception | None]]:
    """Each task with its error, or None, in the order in which they end. The numbers do not depend on `jobs`."""
    if min(jobs, len(tasks)) > 1:
        yield from _in_processes(tasks, pool_size(min(jobs, len(tasks))))
        return
    for task in tasks:
        error = None
        try:
            train_alone(train_seed, task)
        except Exception as raised:
            error = raised
            _let_go(raised)
        yield task, error


def _let_go(error: BaseException) -> None:
    """Of what the frames of an error hold: a head's table and weights, which the next head may need the room of."""
    cause: BaseException | None = error
    while cause is not None:
        traceback.clear_frames(cause.__traceback__)
        cause = cause.__context__


def _in_processes(tasks: Sequence[SeedTask], jobs: int) -> Iterator[tuple[SeedTask, Exception | None]]:
    """Never by fork: torch's threads and CUDA do not survive it. A fork server imports torch once for all workers."""
    with_server = "forkserver" in multiprocessing.get_all_start_methods()
    context = multiprocessing.get_context("forkserver" if with_server else "spawn")
    stop = context.Event()
    executor = ProcessPoolExecutor(jobs, context, _start_worker, (stop,))
    try:
        with _ctrl_c_later():
            if with_server:
                context.set_forkserver_preload(_PRELOADED)
                _start_server()
            futures: dict[Future[None], SeedTask] = {
                executor.submit(train_alone, _train_in_worker, task): task for task in tasks
            }
        for future in as_completed(futures):
            error = future.exception()
            if isinstance(error, BrokenProcessPool):
                error = TrainingError("a worker process died, perhaps for want of memory: run again with fewer --jobs")
            if error is not None and not isinstance(error, Exception):
                raise error
            yield futures[future], error
    finally:
        stop.set()
        executor.shutdown(wait=True, cancel_futures=True)


def train_alone(train: Callable[[SeedTask], SeedResult], task: SeedTask) -> None:
    """Train a seed that no other process trains meanwhile; not again if one has finished it since it was planned.

    Raises RunError where another process is training it.
    """
    run = Run(task.run)
    with seed_lock(run.path, task.seed) as held:
        if not held:
            raise RunError("another process is training it: wait for it, then run the same command again")
        if not run.is_finished(task.seed):
            train(task)


_stop: Any = None  # the parent's stop event, in a worker


def _start_worker(stop: Any) -> None:
    """A worker leaves Ctrl-C to its parent, which sets `stop`, and ends when the parent is gone."""
    global _stop
    _stop = stop
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent,), daemon=True).start()


def _end_with(parent: Any) -> None:
    parent.join()
    os._exit(1)


def _train_in_worker(task: SeedTask) -> SeedResult:
    return train_seed(task, _stop.is_set)


def _start_server() -> None:
    """The fork server, and with it the workers, inherit that Ctrl-C is ignored: this process alone answers it."""
    if threading.current_thread() is not threading.main_thread():
        forkserver.ensure_running()
        return
    handler = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        forkserver.ensure_running()
    finally:
        signal.signal(signal.SIGINT, handler)


@contextmanager
def _ctrl_c_later() -> Iterator[None]:
    """Ctrl-C within is answered at the end, so that no worker is left half started."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    pressed: list[bool] = []
    before = signal.signal(signal.SIGINT, lambda *_: pressed.append(True))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if pressed:
        raise KeyboardInterrupt
