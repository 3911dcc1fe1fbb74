"""Which split selects, which one evaluates, and their order."""

from __future__ import annotations

from collections.abc import Iterable

SELECTION_SPLIT = "dev"
EVALUATION_SPLIT = "test"


def ordered_splits(splits: Iterable[str]) -> list[str]:
    """dev first, test second, then the others by name."""
    first = {SELECTION_SPLIT: 0, EVALUATION_SPLIT: 1}
    return sorted(set(splits), key=lambda split: (first.get(split, 2), split))
