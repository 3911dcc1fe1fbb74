"""How long the network is waited for: a server that accepts a connection and says nothing must not hold a run up."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from contextvars import copy_context
from queue import Empty, SimpleQueue
from threading import Thread
from typing import TypeVar

from features.errors import UsageError

FIRST_BYTE_S = 4.0
"""Seconds from asking to the first byte of an answer: looking the name up, connecting and redirections among them."""
BETWEEN_BYTES_S = 10.0
"""Seconds without a byte within an answer."""
VARIABLE = "ERC_NETWORK_TIMEOUT"
_OF_THE_HUB = "HF_HUB_ETAG_TIMEOUT"  # what users of the hub know, for the same wait

Answer = TypeVar("Answer")


def first_byte_limit() -> float:
    """FIRST_BYTE_S, or what ERC_NETWORK_TIMEOUT or else HF_HUB_ETAG_TIMEOUT says. Raises UsageError for no number."""
    for variable in (VARIABLE, _OF_THE_HUB):
        value = os.environ.get(variable, "").strip()
        if not value:
            continue
        try:
            seconds = float(value)
        except ValueError:
            seconds = math.nan
        if not 0 < seconds < math.inf:
            raise UsageError(f"{variable}={value!r} is no number of seconds above 0: give one such as 30")
        return seconds
    return FIRST_BYTE_S


def in_time(call: Callable[[], Answer], limit_s: float) -> Answer:
    """What a call returns or raises, or TimeoutError once `limit_s` seconds are over.

    The call runs in a thread of its own: a look-up of a name has no limit of its own, and a server that sends a header
    a second never comes to one between two bytes. A call that is given up goes on in that thread, unheard.
    """
    answers: SimpleQueue[tuple[Answer | None, BaseException | None]] = SimpleQueue()
    context = copy_context()

    def work() -> None:
        try:
            answers.put((context.run(call), None))
        except BaseException as error:  # told to who waits
            answers.put((None, error))

    Thread(target=work, daemon=True, name="network").start()
    try:
        answer, error = answers.get(timeout=limit_s)
    except Empty:
        raise TimeoutError(f"no answer within {limit_s:g} s") from None
    if error is not None:
        raise error
    return answer  # type: ignore[return-value]  # None only where the call returns it
