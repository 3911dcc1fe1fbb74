"""Approximate randomisation: whole dialogues are swapped between the arms (Noreen 1989; Yeh 2000, COLING, section 3),
and what seeds add is drawn beside it. Scores are those that the corpus is judged by."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pipeline.comparison.counts import Arm
from pipeline.comparison.power import Spread

SHUFFLES = 100  # how often dialogues are shuffled among an arm's seeds: the mean variance is then known to about 1%
_TIE = 1e-12  # differences of fractions this close are equal: they were added up in another order


@dataclass(frozen=True)
class SwapTest:
    """observed: A - B, the difference of the means over seeds; null: float64 [r], such differences between equally good
    configurations; spread: what it varies by."""

    observed: float
    null: np.ndarray
    spread: Spread

    @property
    def p_value(self) -> float:
        """Two-sided, that A and B are equally good: (hits + 1) / (replicates + 1)."""
        return self._share(np.abs(self.null) >= abs(self.observed) - _TIE)

    def p_below(self, margin: float) -> float:
        """One-sided, that A is better than B by no more than `margin`."""
        return self._share(self.null >= self.observed - margin - _TIE)

    def _share(self, hits: np.ndarray) -> float:
        return (int(hits.sum()) + 1) / (len(self.null) + 1)


def swap_p_value(a: Arm, b: Arm, replicates: int, random: np.random.Generator) -> float:
    """The two-sided p-value of `swap_test`."""
    return swap_test(a, b, replicates, random).p_value


def swap_test(a: Arm, b: Arm, replicates: int, random: np.random.Generator) -> SwapTest:
    """The difference of the means over seeds, beside what it would be by chance.

    Null hypothesis: as configurations, A and B are equally good. Where each has one seed, this is Noreen's test with
    dialogues as units: it takes the two heads as given, and says nothing of other trainings. With more seeds it asks
    about trainings, too. Swapping dialogues alone would not: it misses what one training does to all dialogues alike,
    and in simulations with such effects two draws of one configuration differed at the 5% level in 9 to 58% of cases
    (docs/comparison.md). So the null distribution is a sum of two independent parts:

    - what the arms differ in whatever the seed: the swaps, scaled to the share of their variance that is not due to
      seeds (which is estimated by shuffling each arm's dialogues among its own seeds)
    - what seeds differ in: draws of Student's t with s_A + s_B - 2 degrees of freedom, times the standard error of a
      difference of means of s_A and s_B seeds, from the variance of the seeds' scores pooled over the arms

    It conditions on the gold labels and the dialogues that there are; with more than one seed, not on the heads.
    """
    null = swapped_differences(a, b, random.random((replicates, a.dialogues)) < 0.5)
    freedom = a.seeds + b.seeds - 2
    observed = float(a.seed_scores().headline.mean() - b.seed_scores().headline.mean())
    uneven = float((a.gold.sum(axis=1) ** 2).sum() / a.gold.sum() ** 2)
    of_swaps, between = float(null.var()), 0.0
    if freedom:
        within = 1 / a.seeds + 1 / b.seeds
        between = _pooled(a, b, [arm.seed_scores().headline.var(ddof=1) for arm in (a, b) if arm.seeds > 1])
        shuffled = _pooled(a, b, [shuffled_variance(arm, random) for arm in (a, b) if arm.seeds > 1])
        swaps = null.var()
        share = max(0.0, 1 - shuffled * within / swaps) if swaps else 0.0
        of_swaps = float(share * swaps)
        null = np.sqrt(share) * null + np.sqrt(between * within) * random.standard_t(freedom, size=replicates)
    spread = Spread(max(0.0, of_swaps - uneven * observed**2), between, freedom, uneven)
    return SwapTest(observed, null, spread)


def swapped_differences(a: Arm, b: Arm, swapped: np.ndarray) -> np.ndarray:
    """float64 [r]: the difference of the means over seeds after these dialogues changed arms.

    swapped: bool [r, d]
    Each seed of A is paired with each of B, so that the order of seeds does not matter and their numbers may differ.
    The mean difference of the pairs is the difference of the means where nothing is swapped.
    """
    mask = swapped.astype(np.float64)
    gold = a.gold.sum(axis=0)
    moved_a, moved_b = (mask @ arm.table for arm in (a, b))  # [s, r, ...]
    kept_a, kept_b = (arm.table.sum(axis=1)[:, None] - moved for arm, moved in ((a, moved_a), (b, moved_b)))
    total = np.zeros(len(mask))
    for one in range(a.seeds):
        first = a.scores(kept_a[one] + moved_b, gold).headline  # [s of B, r]
        second = a.scores(kept_b + moved_a[one], gold).headline
        total += (first - second).sum(axis=0)
    return total / (a.seeds * b.seeds)


def shuffled_variance(arm: Arm, random: np.random.Generator) -> float:
    """The variance (ddof 1) that the seeds' scores would have if a seed's luck in one dialogue said nothing of the
    next: the mean over shuffles of each dialogue's predictions among the seeds."""
    owner = random.random((SHUFFLES, arm.dialogues, arm.seeds)).argsort(axis=2)  # the seed that each place gets
    gold = arm.gold.sum(axis=0)
    shuffled = []
    for place in range(arm.seeds):
        table = np.zeros((SHUFFLES, arm.table.shape[2]))
        for seed in range(arm.seeds):
            table += (owner[:, :, place] == seed).astype(np.float64) @ arm.table[seed]
        shuffled.append(arm.scores(table, gold).headline)
    return float(np.var(shuffled, axis=0, ddof=1).mean())


def _pooled(a: Arm, b: Arm, variances: list[float]) -> float:
    """The arms' variances, weighted by their degrees of freedom; an arm of one seed has none."""
    freedoms = [arm.seeds - 1 for arm in (a, b) if arm.seeds > 1]
    return float(np.average(variances, weights=freedoms))
