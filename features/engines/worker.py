"""A process that does one task after another for this one, and may hang, be stopped or die at any moment.

Each has a pipe of its own, so that nothing that happens to one holds up another: in a pool whose processes share a
queue, one that dies while it sends a result takes the queue's lock with it (docs/LOG.md). Times are monotonic.
"""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection
from typing import Any

from features.errors import WorkerError

_START_LIMIT_S = 300.0
_STARTS = 3  # a start may be killed by chance, where memory is scarce
_END_LIMIT_S = 5.0  # a killed process that is still there after this long waits for a disk: it is left behind
_PR_SET_PDEATHSIG = 1  # of prctl

_starting = threading.Lock()


class TaskTimedOutError(Exception):
    """The task took longer than its limit. Its process was killed."""


class TaskDiedError(Exception):
    """The process died while it did the task."""


class TaskFaultError(Exception):
    """The task raised, or its result cannot be sent from one process to the other.

    kind: the type of what was raised; `MemoryError` for all that are one
    """

    def __init__(self, kind: str, said: str) -> None:
        super().__init__(said)
        self.kind = kind


class Worker:
    """One process, started when it is first needed and again after it failed: what a failure left behind in it (memory
    that is not given back, half a result) is no later task's. It ends with the thread that started it.

    All but `end` is for one thread at a time.

    work:      called with each task, in the process
    start:     called there once, with `arguments`, before the first task
    """

    def __init__(self, work: Callable[[Any], Any], start: Callable[..., None], arguments: tuple[Any, ...]) -> None:
        self._work = work
        self._start = start
        self._arguments = arguments
        self._process: multiprocessing.process.BaseProcess | None = None
        self._connection: Connection | None = None
        self._socket: socket.socket | None = None
        self._ended = False

    def do(self, task: Any, limit_s: float) -> Any:
        """What `work` returns. The limit counts from when the task is sent to a process that is ready for it.

        Raises TaskTimedOutError, TaskDiedError, TaskFaultError; WorkerError where no process can be started.
        """
        connection = self._connection or self._launch()
        expired = threading.Event()

        def give_up() -> None:
            expired.set()
            self._kill()

        timer = threading.Timer(limit_s, give_up)
        timer.daemon = True
        timer.start()
        result, fault, is_whole = None, None, False
        try:
            connection.send(task)
            result, fault = _receive(connection)
            is_whole = fault is None
        except (EOFError, OSError):
            pass
        finally:
            timer.cancel()
            timer.join()
            if not is_whole or expired.is_set():
                self.close()
        if fault is not None:
            raise TaskFaultError(*fault)
        if not is_whole:
            raise TaskTimedOutError if expired.is_set() else TaskDiedError
        return result

    def end(self) -> None:
        """Kill the process, from any thread, and start no other."""
        self._ended = True
        self._kill()

    def close(self) -> None:
        """Kill the process and forget it. One that does not die (it waits for a disk) is left behind."""
        self._kill()
        if self._process is not None:
            self._process.join(_END_LIMIT_S)
        for end in (self._connection, self._socket):
            if end is not None:
                end.close()
        self._process = self._connection = self._socket = None

    def _launch(self) -> Connection:
        for _ in range(_STARTS):
            connection = self._launch_once()
            with suppress(EOFError, OSError):
                if connection.poll(_START_LIMIT_S):
                    connection.recv()
                    return connection
            self.close()
            if self._ended:
                raise TaskDiedError
        raise WorkerError(
            f"a process that decodes clips ended {_STARTS} times before its first clip: --workers 0 shows why"
        )

    def _launch_once(self) -> Connection:
        context = multiprocessing.get_context("spawn")
        connection, far_end = context.Pipe()
        self._connection = connection
        self._socket = None if sys.platform == "win32" else socket.socket(fileno=os.dup(connection.fileno()))
        process = context.Process(
            target=_serve, args=(far_end, self._work, self._start, self._arguments), name="decode", daemon=True
        )
        with _starting, _ctrl_c_blocked():
            process.start()
        far_end.close()
        self._process = process
        if self._ended:
            self._kill()
        return connection

    def _kill(self) -> None:
        """Nothing more comes from the process, whether or not it can die at once."""
        process, end = self._process, self._socket
        if process is not None:
            process.kill()
        if end is not None:
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)


@contextmanager
def _ctrl_c_blocked() -> Iterator[None]:
    """A process that is started within does not get Ctrl-C, so that it cannot die of it before it says that it ignores
    it. Windows has no such masks: there it may, and is started again."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    resource_tracker.ensure_running()  # it lets Ctrl-C through again: first, then
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # which the process inherits
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _serve(
    connection: Connection, work: Callable[[Any], Any], start: Callable[..., None], arguments: tuple[Any, ...]
) -> None:
    """The process: do what comes until nothing more does."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    _end_with_parent()
    start(*arguments)
    with suppress(EOFError, OSError):
        connection.send("ready")
        while True:
            task = connection.recv()
            try:
                connection.send((work(task), None))
            except Exception as error:
                connection.send((None, _fault(error)))


def _fault(error: Exception) -> tuple[str, str]:
    """(kind, what it says), for a TaskFaultError."""
    kind = MemoryError if isinstance(error, MemoryError) else type(error)
    return kind.__name__, f"{type(error).__name__}: {error}"


def _receive(connection: Connection) -> tuple[Any, tuple[str, str] | None]:
    """What `_serve` sent: (result, fault). Raises EOFError or OSError where nothing whole comes."""
    try:
        answer: tuple[Any, tuple[str, str] | None] = connection.recv()
    except (EOFError, OSError):
        raise
    except Exception as error:  # a result that makes no sense here
        return None, _fault(error)
    return answer


def _end_with_parent() -> None:
    """However the parent ends, this process ends with it, in the middle of a clip too.

    Linux kills it, stopped or not, when the thread that started it ends; elsewhere a thread of its own sees to it.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    threading.Thread(target=_wait_for_parent, daemon=True).start()


def _wait_for_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
