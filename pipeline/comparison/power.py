"""What a comparison could have shown: its power, the smallest difference that it finds, and the seeds that one takes.

The test of `permutation` finds a difference where it is beyond a bound that follows from two variances: of what the
arms differ in whatever the seed (swapped dialogues), and of seeds. The second is estimated from few seeds, so that the
bound moves from suite to suite: power is the mean over where it may lie (the noncentral t of textbooks, with a part
whose variance is known added; Cohen 1988, chapter 2).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

LEVEL = 0.05
WANTED = 0.8  # power that counts as being able to show a difference
POINT = 0.01
MOST_SEEDS = 100
_FINE, _COARSE = 200, 30


@dataclass(frozen=True)
class Spread:
    """What the difference of the means of two arms varies by, as variances of fractions.

    dialogues: of the difference over other dialogues, whatever the seed; it stays with any number of seeds
    seeds:     of one training's score, pooled over the arms; freedom: degrees of freedom of that estimate. Where both
               arms have one seed, nothing is known of it: both are 0, and `dialogues` is of these two heads
    uneven:    sum of the squared shares that dialogues have in the split. Swaps take the true difference itself for
               noise: to the first variance they add its square, times this
    """

    dialogues: float
    seeds: float = 0.0
    freedom: int = 0
    uneven: float = 0.0


def power(difference: float, spread: Spread, seeds: tuple[int, int], level: float = LEVEL) -> float:
    """The chance that arms of so many seeds each, whose true difference this is, differ with p at most `level`."""
    return _found(difference, *_bounds(spread, seeds, level, difference))


def smallest_difference(
    spread: Spread, seeds: tuple[int, int], level: float = LEVEL, wanted: float = WANTED
) -> float | None:
    """The smallest true difference that is found with this power, as a fraction; None where not even 1 is."""
    found = 0.0
    for _ in range(8):  # the bound moves a little with the difference itself
        bounds, before = _bounds(spread, seeds, level, found), found
        low, high = 0.0, 1.0
        if _found(high, *bounds) < wanted:
            return None
        for _ in range(20):
            middle = (low + high) / 2
            low, high = (low, middle) if _found(middle, *bounds) >= wanted else (middle, high)
        found = high
        if not spread.uneven or abs(found - before) < 1e-5:
            break
    return found


def seeds_needed(
    spread: Spread, difference: float = POINT, level: float = LEVEL, wanted: float = WANTED, most: int = MOST_SEEDS
) -> int | None:
    """How many seeds each arm takes to find this difference with this power; None where more than `most` do not
    suffice, or where seeds' spread is not known."""
    if not spread.freedom or power(difference, spread, (most, most), level) < wanted:
        return None
    low, high = 1, most  # one too few, and enough
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if power(difference, spread, (middle, middle), level) >= wanted else (middle, high)
    return high


def _found(difference: float, bounds: np.ndarray, weights: np.ndarray, deviation: float) -> float:
    """The chance that a difference lies beyond its bound. Arguments as of `_bounds`."""
    if deviation == 0:
        return float(difference != 0)
    above, below = (_beyond((bounds - sign * abs(difference)) / deviation) for sign in (1, -1))
    return float(((above + below) * weights).sum())


def _bounds(
    spread: Spread, seeds: tuple[int, int], level: float, difference: float
) -> tuple[np.ndarray, np.ndarray, float]:
    """(bounds [k], weights [k], deviation): beyond what a difference is called one, for each of k estimates of the
    seeds' variance and how likely these are; and the deviation of what is observed."""
    within = spread.seeds * (1 / seeds[0] + 1 / seeds[1])
    freedom = seeds[0] + seeds[1] - 2 if spread.freedom else 0
    ratios, chances = _estimates(freedom, _COARSE) if freedom else (np.ones(1), np.ones(1))
    scales, shares = _estimates(freedom, _FINE) if freedom else (np.ones(1), np.ones(1))
    fixed = spread.dialogues + spread.uneven * difference**2
    variances = fixed + within * ratios[:, None] / scales  # [k, m]: Student's t is a mixture of normals
    deviations = np.sqrt(np.maximum(variances, 1e-300))
    low, high = np.zeros(len(ratios)), np.ones(len(ratios))
    for _ in range(24):
        middle = (low + high) / 2
        beyond = 2 * (_beyond(middle[:, None] / deviations) * shares).sum(axis=1)
        low, high = np.where(beyond > level, middle, low), np.where(beyond > level, high, middle)
    return high, chances, float(np.sqrt(spread.dialogues + within))


@lru_cache(maxsize=64)
def _estimates(freedom: int, size: int) -> tuple[np.ndarray, np.ndarray]:
    """(ratios [size], weights [size]) of chi-squared / freedom, by quadrature on an even grid of logarithms."""
    wide = 12 / np.sqrt(freedom)
    places = np.linspace(-wide - 12 / freedom, min(wide, 5.0), size)
    log_weights = freedom / 2 * (places - np.exp(places))
    weights = np.exp(log_weights - log_weights.max())
    return np.exp(places), weights / weights.sum()


def _beyond(value: np.ndarray) -> np.ndarray:
    """P(standard normal > value): Abramowitz and Stegun 1964, 7.1.26, right to 1e-7."""
    size = np.abs(value) / np.sqrt(2)
    t = 1 / (1 + 0.3275911 * size)
    series = t * (0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429))))
    tail = series * np.exp(-size * size) / 2
    return np.asarray(np.where(value >= 0, tail, 1 - tail))
