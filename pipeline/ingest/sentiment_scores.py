"""Scores of sentiment as classes, as the field makes them: MMSA's metrics for CMU-MOSEI and CH-SIMS."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

SEVEN = (
    "highly negative", "negative", "weakly negative", "neutral", "weakly positive", "positive", "highly positive",
)  # fmt: skip
FIVE = ("negative", "weakly negative", "neutral", "weakly positive", "positive")
THREE = ("negative", "neutral", "positive")
TWO = ("negative", "positive")


@dataclass(frozen=True)
class Scale:
    """A corpus' scores, from -limit to limit, and its ways to make classes of them.

    classes: number of classes -> (labels in order, label of a score or None where it belongs to none)
    """

    limit: float
    classes: dict[int, tuple[tuple[str, ...], Callable[[float], str | None]]]


def sign_of(score: float) -> str:
    """negative, neutral or positive: below, at or above 0."""
    return THREE[(score > 0) - (score < 0) + 1]


def _rounded(score: float) -> str:
    """The nearest whole number from -3 to 3; halves go to the even one (0.5 to 0, 1.5 to 2), as numpy rounds."""
    return SEVEN[round(score) + 3]


def _below(labels: tuple[str, ...], edges: tuple[float, ...]) -> Callable[[float], str]:
    """Classes that include their upper edge: (-inf, edges[0]], (edges[0], edges[1]], ..."""
    return lambda score: labels[sum(score > edge for edge in edges)]


# mosei: accuracy of seven classes rounds; that of two leaves 0 out ("non-0"), as the score that most papers print.
# ch-sims: edges of MMSA's metrics; its two classes count 0 as negative.
SCALES: dict[str, Scale] = {
    "mosei": Scale(
        3.0,
        {
            7: (SEVEN, _rounded),
            3: (THREE, sign_of),
            2: (TWO, lambda score: None if score == 0 else sign_of(score)),
        },
    ),
    "ch-sims": Scale(
        1.0,
        {
            5: (FIVE, _below(FIVE, (-0.7, -0.1, 0.1, 0.7))),
            3: (THREE, _below(THREE, (-0.1, 0.1))),
            2: (TWO, _below(TWO, (0.0,))),
        },
    ),
}
