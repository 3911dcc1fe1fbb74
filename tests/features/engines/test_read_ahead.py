"""Items for two readers: made once, in order, and let go once both have them."""

from __future__ import annotations

import weakref
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.engines.read_ahead import two_readers


@given(st.lists(st.booleans(), min_size=60, max_size=60), st.integers(0, 20))
def test_both_read_all_of_them_whoever_is_ahead(turns: list[bool], count: int) -> None:
    made: list[int] = []

    def make() -> Iterator[int]:
        for number in range(count):
            made.append(number)
            yield number

    readers = two_readers(make())
    read: tuple[list[int], list[int]] = ([], [])
    for second in turns:
        read[second].extend(item for item in [next(readers[second], None)] if item is not None)
        assert len(made) == max(map(len, read)), "made before anyone asked"
    for reader, found in zip(readers, read, strict=True):
        assert [*found, *reader] == list(range(count))
    assert made == list(range(count))


def test_only_what_lies_between_the_two_is_held() -> None:
    class Item:
        pass

    alive: weakref.WeakSet[Item] = weakref.WeakSet()

    def make() -> Iterator[Item]:
        for _ in range(200):
            item = Item()
            alive.add(item)
            yield item
            del item

    ahead, behind = two_readers(make())
    for _ in range(7):
        next(ahead)
    for _ in range(150):
        assert len(alive) == 7
        next(behind)
        assert len(alive) == 6
        next(ahead)


def test_an_error_in_the_making_reaches_the_reader() -> None:
    def make() -> Iterator[int]:
        yield 1
        raise ZeroDivisionError("of the maker")

    ahead, behind = two_readers(make())
    assert next(ahead) == 1
    with pytest.raises(ZeroDivisionError, match="of the maker"):
        next(ahead)
    assert list(behind) == [1]
