"""Preparers that hang, die or send half a result, for worker processes to import."""

from __future__ import annotations

import multiprocessing
import os
import re
import resource
import signal
import time
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np

from features.encoders.protocol import Input

HANGING = ("sleep", "spin", "regex", "stop", "stop-while-sending")


@dataclass(frozen=True)
class Behaving:
    """Does what the utterance's text says; where that is nothing, the input is the process's id.

    Raises RuntimeError instead, in a process that is no worker: tests would not survive it.

    log: the file that every start of a clip is noted in
    """

    log: Path | None = None

    def __call__(self, clip: Any) -> Input:
        text = clip.utterance.text
        if self.log is not None:
            with self.log.open("a") as file:
                file.write(f"{os.getpid()} {text}\n")
        value: Any = os.getpid()
        if text in (*HANGING, "die", "die-while-sending", "hoard") and multiprocessing.parent_process() is None:
            raise RuntimeError("this is no worker")
        if text == "sleep":
            time.sleep(1000)
        elif text == "spin":
            while True:
                pass
        elif text == "regex":  # never lets another thread of the process run
            re.match("(a+)+$", "a" * 60 + "b")
        elif text == "stop":
            os.kill(os.getpid(), signal.SIGSTOP)
        elif text == "stop-while-sending":
            value = send_half(signal.SIGSTOP)
        elif text == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        elif text == "die-while-sending":
            value = send_half(signal.SIGKILL)
        elif text == "unsendable":
            value = lambda: None  # noqa: E731
        elif text == "large":
            value = bytes(30_000_000)
        elif text == "half-a-second":
            time.sleep(0.5)
        elif text == "hoard":
            hoard()
        elif text == "limit":
            value = resource.getrlimit(resource.RLIMIT_DATA)[0]
        return Input(value, 1, ("",), ({},))


_kept: list[Any] = []


def hoard() -> None:
    """Take all the memory that this process may have, and keep it: addresses, of which nothing is ever used."""
    for size in (1 << 30, 1 << 26, 1 << 22):
        with suppress(MemoryError):
            while True:
                _kept.append(np.empty(size, np.uint8))
    raise MemoryError


def send_half(how: signal.Signals) -> bytes:
    """10 MB, of which this process sends one before it gets a signal."""
    real = Connection._send  # type: ignore[attr-defined]

    def send(self: Connection, data: Any, *arguments: Any) -> None:
        if len(data) > 5_000_000:
            real(self, memoryview(data)[:1_000_000], *arguments)
            os.kill(os.getpid(), how)
        real(self, data, *arguments)

    Connection._send = send  # type: ignore[attr-defined]
    return bytes(10_000_000)
