"""How many configurations were tried: the one place where reports, `--select`, folds and searches count them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Tried:
    """scored: configurations that have scores to be chosen by; failed: those that were started and have none."""

    scored: int
    failed: int


def count_tried(attempts: Iterable[tuple[str, bool]]) -> Tried:
    """attempts: (which configuration, whether it has the scores that choose), any number of a configuration.

    A configuration is tried when a score of it was seen, be it of one seed of several; so it may have been chosen. One
    that failed before, or is not finished, could not be.
    """
    seen: dict[str, bool] = {}
    for configuration, scored in attempts:
        seen[configuration] = scored or seen.get(configuration, False)
    return Tried(sum(seen.values()), sum(not scored for scored in seen.values()))
