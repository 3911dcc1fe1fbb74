"""Which place each of several runs would take on other dialogues, with other trainings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from pipeline.comparison.bootstrap import draw_dialogues, draw_seeds, resampled_scores
from pipeline.comparison.compare import REPLICATES
from pipeline.comparison.counts import Arm, check_same_utterances


@dataclass(frozen=True)
class Places:
    """A 95% interval of a place; 1 is the best."""

    low: int
    high: int


def places_of(arms: Mapping[str, Arm], *, replicates: int = REPLICATES, seed: int = 0) -> dict[str, Places]:
    """By the score that the corpus is judged by: each replicate draws dialogues, the same for all, and one seed of each
    run. Equal scores share the better place.

    Raises RunError where the arms are not of the same labelled utterances.
    """
    first, *others = arms.values()
    for other in others:
        check_same_utterances(first, other)
    random = np.random.default_rng(seed)
    weights = draw_dialogues(first.dialogues, replicates, random)
    drawn = [resampled_scores(arm, weights, draw_seeds(arm, replicates, random)).headline for arm in arms.values()]
    low, high = np.quantile(_places(np.stack(drawn, axis=1)), [0.025, 0.975], axis=0, method="inverted_cdf")
    return {name: Places(int(low[place]), int(high[place])) for place, name in enumerate(arms)}


def _places(scores: np.ndarray) -> np.ndarray:
    """int64 [r, k]: 1 and how many of the k scores are higher. scores: float64 [r, k]"""
    order = np.sort(-scores, axis=1)
    return np.stack([1 + np.searchsorted(row, values) for row, values in zip(order, -scores, strict=True)])
