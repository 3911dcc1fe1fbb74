"""Batches that are halved where memory runs out, on a device or on this machine. Importing this loads no torch."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar

from features.hardware import is_out_of_memory

Item = TypeVar("Item")
Result = TypeVar("Result")


def release_memory() -> None:
    """Give back the memory that torch keeps for later, after it ran out."""
    import torch

    if torch.cuda.is_initialized():
        torch.cuda.empty_cache()
    if torch.backends.mps.is_available():
        torch.mps.empty_cache()


def like_lengths(items: Iterable[Item], length: Callable[[Item], int], most: int, waste: float) -> Iterator[list[Item]]:
    """Consecutive items that are run together: padded to the longest they hold no more than `most` values, and no more
    than `waste` of these are padding. An item that is longer than `most` runs alone.

    On a CPU padding costs what real values cost, and a few hundred of them fill its matrix products.
    """
    group: list[Item] = []
    longest = total = 0
    for item in items:
        number = length(item)
        padded = max(longest, number) * (len(group) + 1)
        if group and (padded > most or padded - total - number > waste * padded):
            yield group
            group, longest, total = [], 0, 0
        group.append(item)
        longest, total = max(longest, number), total + number
    if group:
        yield group


class MemoryBatches:
    """Runs items in batches of `size`. Where memory runs out the batch is halved, and later ones stay smaller."""

    def __init__(self, size: int) -> None:
        self.size = size

    def run(self, items: Sequence[Item], work: Callable[[Sequence[Item]], list[Result]]) -> list[Result]:
        """`work` of all items. work: one result per item, independent of the items beside it

        Raises what `work` raised for one item alone; that item, not the size, is then taken to be at fault.
        """
        return [result for _, results in self.each(items, work) for result in results]

    def each(
        self,
        items: Sequence[Item],
        work: Callable[[Sequence[Item]], list[Result]],
        *,
        refuse: Callable[[Item], object] | None = None,
        stopped: Callable[[], bool] = lambda: False,
    ) -> Iterator[tuple[Sequence[Item], list[Result]]]:
        """Each batch that went through, with its results; otherwise as `run`.

        refuse:  takes an item that has no room even alone, and the others go on; without it, the error is raised
        stopped: asked before every try; once it is true, the rest is left
        """
        first, proven = 0, self.size
        while first < len(items) and not stopped():
            batch = items[first : first + self.size]
            try:
                results = work(batch)
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
                self.size = len(batch) // 2 or proven  # of one item: not the size is at fault
                if len(batch) == 1 and refuse is None:
                    raise
            else:
                first, proven = first + len(batch), self.size
                yield batch, results
                continue
            release_memory()  # outside the handler, whose traceback would keep the batch's tensors alive
            if len(batch) == 1 and refuse is not None:
                refuse(batch[0])
                first += 1
