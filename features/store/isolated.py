"""Work that a damaged file may bring to a crash, or to no end, within a C library: in a process of its own."""

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

_START_LIMIT_S = 300.0
_STEP_LIMIT_S = 60.0  # of one call of `advance` to the next


class CrashedError(StoreError):
    """The process died over its work, or stood still; nothing else is known."""


def run_isolated(
    work: Callable[[Any, Advance], Result], argument: Any, advance: Advance, step_limit_s: float = _STEP_LIMIT_S
) -> Result:
    """What `work(argument, advance)` returns, done in a new process.

    work: a function of a module, which raises nothing
    Raises CrashedError where the process died over it or stood still, and WorkerError where it could not be started.
    """
    context = multiprocessing.get_context("spawn")
    connection, far_end = context.Pipe(duplex=False)
    process = context.Process(target=_serve, args=(far_end, work, argument), daemon=True)
    is_started = is_silent = False
    try:
        process.start()
        far_end.close()
        with suppress(EOFError):
            while True:
                is_silent = not connection.poll(step_limit_s if is_started else _START_LIMIT_S)
                if is_silent:
                    break
                kind, value = connection.recv()
                if kind == "result":
                    result: Result = value
                    return result
                if kind == "advance":
                    advance(value)
                is_started = True
        if is_silent:
            process.kill()
        process.join()
    finally:
        if process.pid is not None:
            process.kill()
        connection.close()
    if not is_started:
        raise WorkerError("the process that reads an export could not be started: what it printed says why")
    if is_silent:
        raise CrashedError(f"reading it came to no end: {step_limit_s:g} s without a step")
    raise CrashedError(f"reading it ended the process ({_ending(process.exitcode or 0)})")


def _serve(connection: Connection, work: Callable[[Any, Advance], Any], argument: Any) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    connection.send(("ready", None))
    connection.send(("result", work(argument, lambda number: connection.send(("advance", number)))))


def _ending(exit_code: int) -> str:
    return signal.Signals(-exit_code).name if exit_code < 0 else f"exit status {exit_code}"
