"""Work that a damaged file may end with a crash of a C library, in a process of its own."""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import Any, TypeVar

from features.errors import StoreError, WorkerError

Advance = Callable[[int], object]
Result = TypeVar("Result")

_READY = "ready"


class CrashedError(StoreError):
    """The process died over its work; nothing else is known."""


def run_isolated(work: Callable[[Any, Advance], Result], argument: Any, advance: Advance) -> Result:
    """What `work(argument, advance)` returns, done in a new process.

    work: a function of a module, which raises nothing
    Raises CrashedError where the process died over it, and WorkerError where it could not be started.
    """
    context = multiprocessing.get_context("spawn")
    connection, far_end = context.Pipe(duplex=False)
    process = context.Process(target=_serve, args=(far_end, work, argument), daemon=True)
    is_started = False
    try:
        process.start()
        far_end.close()
        with suppress(EOFError):
            is_started = connection.recv() == _READY
            while True:
                is_done, value = connection.recv()
                if is_done:
                    result: Result = value
                    return result
                advance(value)
        process.join()
    finally:
        process.kill()
        connection.close()
    if not is_started:
        raise WorkerError("the process that reads an export could not be started: what it printed says why")
    raise CrashedError(f"reading it ended the process ({_ending(process.exitcode or 0)})")


def _serve(connection: Connection, work: Callable[[Any, Advance], Any], argument: Any) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    connection.send(_READY)
    connection.send((True, work(argument, lambda number: connection.send((False, number)))))


def _ending(exit_code: int) -> str:
    return signal.Signals(-exit_code).name if exit_code < 0 else f"exit status {exit_code}"
