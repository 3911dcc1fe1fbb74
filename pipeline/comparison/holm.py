"""Holm's step-down adjustment of several p-values (Holm 1979, Scandinavian Journal of Statistics 6, 65-70)."""

from __future__ import annotations

from collections.abc import Sequence

from features.errors import UsageError


def holm(p_values: Sequence[float]) -> list[float]:
    """The adjusted p-values, in the order given: the chance of any false rejection is at most the level.

    The i-th smallest of m (i from 0) times m - i, at least as large as its predecessor, at most 1. Raises UsageError
    for a value outside [0, 1].
    """
    for value in p_values:
        if not 0 <= value <= 1:
            raise UsageError(f"a p-value lies between 0 and 1, not at {value}")
    adjusted = [0.0] * len(p_values)
    largest = 0.0
    for rank, place in enumerate(sorted(range(len(p_values)), key=lambda place: p_values[place])):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[place]))
        adjusted[place] = largest
    return adjusted
