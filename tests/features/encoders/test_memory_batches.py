"""Batches that are halved where memory runs out, and go on."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from features.encoders.memory_batches import MemoryBatches, like_lengths
from features.hardware import is_out_of_memory


class Room:
    """Work that has room for so many items at once, and for none that is negative."""

    def __init__(self, room: int, message: str = "CUDA error: out of memory") -> None:
        self.room = room
        self.message = message
        self.tried: list[int] = []

    def __call__(self, items: Sequence[int]) -> list[int]:
        self.tried.append(len(items))
        if len(items) > self.room or min(items) < 0:
            raise RuntimeError(self.message)
        return [2 * item for item in items]


def test_batches_are_halved_where_memory_runs_out_and_stay_so() -> None:
    batches, work = MemoryBatches(16), Room(5)
    assert batches.run(list(range(20)), work) == [2 * item for item in range(20)]
    assert work.tried == [16, 8, 4, 4, 4, 4, 4]
    work.tried.clear()
    assert batches.run(list(range(8)), work) == [2 * item for item in range(8)]
    assert work.tried == [4, 4]


def test_one_item_without_room_does_not_shrink_the_batches_of_others() -> None:
    batches = MemoryBatches(8)
    with pytest.raises(RuntimeError, match="out of memory"):
        batches.run([0, 1, -1, 3], Room(8))
    assert batches.size == 2  # what [0, 1] went through with
    with pytest.raises(RuntimeError, match="out of memory"):
        batches.run([-1], Room(8))
    assert batches.size == 2


def test_an_item_without_room_is_refused_and_the_others_go_on() -> None:
    batches, work = MemoryBatches(8), Room(4)
    refused: list[int] = []
    found = list(batches.each([0, 1, 2, -3, 4, 5], work, refuse=refused.append))
    assert found == [([0, 1, 2], [0, 2, 4]), ([4, 5], [8, 10])]
    assert refused == [-3]
    assert work.tried == [6, 3, 3, 1, 2]
    assert batches.size == 3


@pytest.mark.parametrize(("tries", "expected"), [(0, []), (1, []), (2, [[0, 1]])])
def test_what_is_stopped_leaves_the_rest_also_between_two_tries(tries: int, expected: list[list[int]]) -> None:
    work = Room(2)
    found = MemoryBatches(4).each(list(range(6)), work, stopped=lambda: len(work.tried) == tries)
    assert [list(items) for items, _ in found] == expected
    assert len(work.tried) == tries


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"), True),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate(handle)"), True),
        (RuntimeError("[enforce fail at alloc_cpu.cpp:117] DefaultCPUAllocator: can't allocate memory"), True),
        (MemoryError(), True),
        (RuntimeError("CUDA error: device-side assert triggered"), False),
        (ValueError("CUDA error: out of memory"), False),
    ],
)
def test_what_counts_as_out_of_memory(error: Exception, expected: bool) -> None:
    assert is_out_of_memory(error) is expected


def test_another_error_is_raised_at_once() -> None:
    work = Room(1, "device-side assert triggered")
    with pytest.raises(RuntimeError, match="device-side assert"):
        MemoryBatches(4).run([1, 2, 3, 4], work)
    assert work.tried == [4]


@given(lengths=st.lists(st.integers(1, 40)), most=st.integers(1, 100), waste=st.floats(0, 1))
def test_items_of_like_length_run_together(lengths: list[int], most: int, waste: float) -> None:
    groups = list(like_lengths(lengths, int, most, waste))
    assert [length for group in groups for length in group] == lengths
    for group in groups:
        padded = len(group) * max(group)
        assert len(group) == 1 or (padded <= most and padded - sum(group) <= waste * padded)
    for group, after in pairwise(groups):  # the next one had no room
        padded = (len(group) + 1) * max(*group, after[0])
        assert padded > most or padded - sum(group) - after[0] > waste * padded
