"""A paired bootstrap over dialogues and seeds (Efron and Tibshirani 1993, chapters 8 and 13: clusters, percentiles)."""

from __future__ import annotations

import numpy as np

from pipeline.comparison.counts import Arm, Scores


def draw_dialogues(dialogues: int, replicates: int, random: np.random.Generator) -> np.ndarray:
    """float64 [r, d]: how often each dialogue is in each resample of d dialogues with replacement."""
    drawn = random.integers(dialogues, size=(replicates, dialogues))
    drawn += np.arange(replicates)[:, None] * dialogues
    counts = np.bincount(drawn.ravel(), minlength=replicates * dialogues)
    return counts.reshape(replicates, dialogues).astype(np.float64)


def draw_seeds(arm: Arm, replicates: int, random: np.random.Generator) -> np.ndarray:
    """int64 [r]: which of the arm's seeds each replicate scores."""
    return random.integers(arm.seeds, size=replicates)


def resampled_scores(arm: Arm, weights: np.ndarray, seeds: np.ndarray) -> Scores:
    """The scores of each replicate: one of the arm's seeds on resampled dialogues.

    weights: float64 [r, d], of `draw_dialogues`; seeds: int64 [r], of `draw_seeds`
    """
    table = np.empty((len(seeds), arm.table.shape[2]))
    for seed in range(arm.seeds):
        chosen = seeds == seed
        table[chosen] = weights[chosen] @ arm.table[seed]
    return arm.scores(table, weights @ arm.gold)
