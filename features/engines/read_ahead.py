"""Items that are made once for two readers, of whom one is ahead of the other."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from typing import TypeVar

Item = TypeVar("Item")


def two_readers(items: Iterable[Item]) -> tuple[Iterator[Item], Iterator[Item]]:
    """The same items twice, for readers in one thread; whoever is ahead has them made.

    What lies between the two is held, and no more: itertools.tee lets go of items only by the 57.
    """
    source = iter(items)
    unread: tuple[deque[Item], deque[Item]] = (deque(), deque())

    def make() -> bool:
        for item in source:
            for queue in unread:
                queue.append(item)
            return True
        return False

    def read(own: deque[Item]) -> Iterator[Item]:
        while own or make():
            yield own.popleft()

    return read(unread[0]), read(unread[1])
