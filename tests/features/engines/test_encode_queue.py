"""The thread that encodes: in order, a bounded way behind, and stopped by errors."""

from __future__ import annotations

import threading
import time

import pytest

from features.engines.encode_queue import EncodeQueue


def test_work_is_done_in_order_beside_the_caller() -> None:
    done: list[int] = []
    callers: set[int] = set()

    def work(number: int) -> None:
        callers.add(threading.get_ident())
        done.append(number)

    with EncodeQueue(threaded=True) as queue:
        for number in range(20):
            queue.put(lambda number=number: work(number))  # type: ignore[misc]
        queue.finish()
        assert done == list(range(20))
    assert threading.get_ident() not in callers


def test_the_caller_waits_where_it_is_far_ahead() -> None:
    gate = threading.Event()
    put: list[int] = []

    def fill(queue: EncodeQueue) -> None:
        for number in range(5):
            queue.put(gate.wait)  # type: ignore[arg-type]
            put.append(number)

    with EncodeQueue(threaded=True) as queue:
        filler = threading.Thread(target=fill, args=(queue,))
        filler.start()
        time.sleep(0.3)
        assert put == [0, 1]  # one in hand, one waiting
        gate.set()
        filler.join()
        queue.finish()
    assert put == list(range(5))


@pytest.mark.parametrize("threaded", [True, False])
def test_an_error_of_encoding_reaches_the_caller(threaded: bool) -> None:
    def fail() -> None:
        raise ZeroDivisionError("of the encoder")

    def run() -> None:
        with EncodeQueue(threaded) as queue:
            queue.put(fail)
            queue.finish()

    with pytest.raises(ZeroDivisionError, match="of the encoder"):
        run()


def test_an_interruption_stops_what_is_in_hand_and_drops_the_rest() -> None:
    begun = threading.Event()
    done: list[str] = []

    def long_work(queue: EncodeQueue) -> None:
        begun.set()
        assert queue.stopping.wait(10)
        done.append("stopped")

    def run() -> None:
        with EncodeQueue(threaded=True) as queue:
            queue.put(lambda: long_work(queue))
            queue.put(lambda: done.append("never"))
            begun.wait(10)
            raise KeyboardInterrupt("by the user")

    with pytest.raises(KeyboardInterrupt, match="by the user"):
        run()
    assert done == ["stopped"]
