"""Two runs on the same utterances: the differences of their scores with intervals, and a p-value."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from features.cards import WEIGHTED_F1
from features.errors import UsageError, nearest
from heads.criterion import Criterion
from pipeline.comparison.bootstrap import draw_dialogues, draw_seeds, resampled_scores
from pipeline.comparison.counts import Arm, Frames, check_same_utterances, constant_arm, read_arm
from pipeline.comparison.permutation import swap_test
from pipeline.comparison.power import LEVEL, Spread, seeds_needed, smallest_difference

REPLICATES = 2000
HEADLINE = "headline"


@dataclass(frozen=True)
class Interval:
    """A 95% interval, as fractions."""

    low: float
    high: float


@dataclass(frozen=True)
class Difference:
    """A - B: the difference of the means over seeds, and the interval of one training's difference; fractions."""

    value: float
    interval: Interval


@dataclass(frozen=True)
class Reach:
    """What a comparison on this split, of so many seeds, can show in the score that the corpus is judged by.

    smallest: the smallest true difference that has p at most `level` in four of five cases, as a fraction; None where
              there is none
    level:    0.05, or its part where several contrasts are asked and Holm's p decides
    point_takes: how many seeds of each arm a true difference of one point takes; None where 100 do not suffice, or
              where each arm has one seed, so that nothing is known of other trainings
    spread:   what both follow from
    """

    smallest: float | None
    level: float
    point_takes: int | None
    spread: Spread

    @classmethod
    def of(cls, spread: Spread, seeds: tuple[int, int], level: float = LEVEL) -> Reach:
        return cls(smallest_difference(spread, seeds, level), level, seeds_needed(spread, level=level), spread)


@dataclass(frozen=True)
class Comparison:
    """What two runs differ in. utterances, dialogues: labelled ones, and those that hold any.

    score, headline: name of the score that the corpus is judged by, and the difference in it, which p_value is of
    reach: what such a comparison can show
    p_below: one-sided, that A is better by no more than the margin that was asked for; None without one
    """

    utterances: int
    dialogues: int
    replicates: int
    weighted_f1: Difference
    p_value: float
    accuracy: Difference
    per_class_f1: dict[str, Difference]
    score: str
    headline: Difference
    macro_f1: Difference
    reach: Reach
    p_below: float | None = None


def compare(
    a: Frames,
    b: Frames,
    labels: Sequence[str],
    *,
    criterion: Criterion | None = None,
    replicates: int = REPLICATES,
    seed: int = 0,
    margin: float | None = None,
) -> Comparison:
    """Compare two runs' predictions of one split.

    The intervals are of a paired bootstrap: each replicate draws dialogues with replacement, the same for both arms,
    and one seed of each arm. They answer for another sample of dialogues and for one training of each arm. The p-value
    is of `permutation.swap_test`. Equal input gives equal numbers; the order of rows and of seeds does not matter.

    Raises RunError where the two are not of the same labelled utterances, or as `counts.read_arm`; UsageError for less
    than one replicate.
    """
    arm_a, arm_b = read_arm(a, labels, criterion), read_arm(b, labels, criterion)
    check_same_utterances(arm_a, arm_b)
    resample, swaps = _generators(replicates, seed)
    headline, weighted_f1, accuracy, macro_f1, per_class = _differences(arm_a, arm_b, replicates, resample)
    test = swap_test(arm_a, arm_b, replicates, swaps)
    return Comparison(
        utterances=len(arm_a.utterances),
        dialogues=arm_a.dialogues,
        replicates=replicates,
        weighted_f1=weighted_f1,
        p_value=test.p_value,
        accuracy=accuracy,
        per_class_f1=dict(zip(labels, per_class, strict=True)),
        score=arm_a.criterion.name,
        headline=headline,
        macro_f1=macro_f1,
        reach=Reach.of(test.spread, (arm_a.seeds, arm_b.seeds)),
        p_below=None if margin is None else test.p_below(margin),
    )


def difference_interval(
    a: Frames,
    b: Frames,
    labels: Sequence[str],
    *,
    criterion: Criterion | None = None,
    replicates: int = REPLICATES,
    seed: int = 0,
) -> Interval:
    """That of A - B in the score that the corpus is judged by, as `compare` has it. Raises as `compare`."""
    arm_a, arm_b = read_arm(a, labels, criterion), read_arm(b, labels, criterion)
    check_same_utterances(arm_a, arm_b)
    return _differences(arm_a, arm_b, replicates, _generators(replicates, seed)[0])[0].interval


def score_interval(
    frames: Frames,
    labels: Sequence[str],
    *,
    criterion: Criterion | None = None,
    replicates: int = REPLICATES,
    seed: int = 0,
) -> Interval:
    """The interval of one run's score: dialogues and one seed are resampled. Raises as `compare`."""
    return score_intervals(frames, labels, criterion=criterion, replicates=replicates, seed=seed)[HEADLINE]


def score_intervals(
    frames: Frames,
    labels: Sequence[str],
    *,
    criterion: Criterion | None = None,
    replicates: int = REPLICATES,
    seed: int = 0,
) -> dict[str, Interval]:
    """The intervals of one run's weighted F1, macro F1, accuracy and of the score that the corpus is judged by (the
    last under HEADLINE), from one set of resamples. Raises as `compare`."""
    arm = read_arm(frames, labels, criterion)
    random, _ = _generators(replicates, seed)
    weights = draw_dialogues(arm.dialogues, replicates, random)
    drawn = resampled_scores(arm, weights, draw_seeds(arm, replicates, random))
    return {name: _interval(getattr(drawn, name)) for name in (WEIGHTED_F1, "macro_f1", "accuracy", HEADLINE)}


def margin_interval(
    frames: Frames,
    constant: str,
    labels: Sequence[str],
    *,
    criterion: Criterion | None = None,
    replicates: int = REPLICATES,
    seed: int = 0,
) -> Difference:
    """One run's score minus that of always predicting `constant`, on the resamples of `score_interval`.

    Raises as `compare`, and UsageError where `constant` is no label.
    """
    if constant not in labels:
        raise UsageError(f"no label {constant!r}: {nearest(constant, labels)}")
    arm = read_arm(frames, labels, criterion)
    random, _ = _generators(replicates, seed)
    always = constant_arm(arm, list(labels).index(constant))
    return _differences(arm, always, replicates, random)[0]


def _generators(replicates: int, seed: int) -> tuple[np.random.Generator, np.random.Generator]:
    """One for the bootstrap and one for the swaps, so that neither changes the other's numbers."""
    if replicates < 1:
        raise UsageError(f"replicates ({replicates}) must be at least 1: try {REPLICATES}")
    first, second = np.random.default_rng(seed).spawn(2)
    return first, second


def _differences(
    a: Arm, b: Arm, replicates: int, random: np.random.Generator
) -> tuple[Difference, Difference, Difference, Difference, list[Difference]]:
    """A - B in the score that the corpus is judged by, weighted F1, accuracy, macro F1, and each class's F1."""
    weights = draw_dialogues(a.dialogues, replicates, random)
    drawn_a, drawn_b = (resampled_scores(arm, weights, draw_seeds(arm, replicates, random)) for arm in (a, b))
    value, drawn = a.seed_scores().mean().minus(b.seed_scores().mean()), drawn_a.minus(drawn_b)
    return (
        _difference(value.headline[0], drawn.headline),
        _difference(value.weighted_f1[0], drawn.weighted_f1),
        _difference(value.accuracy[0], drawn.accuracy),
        _difference(value.macro_f1[0], drawn.macro_f1),
        [_difference(value.class_f1[0, place], drawn.class_f1[:, place]) for place in range(a.gold.shape[1])],
    )


def _difference(value: float, drawn: np.ndarray) -> Difference:
    return Difference(float(value), _interval(drawn))


def _interval(drawn: np.ndarray) -> Interval:
    """The 95% percentile interval of the replicates' values [r]."""
    low, high = np.quantile(drawn, [0.025, 0.975])
    return Interval(float(low), float(high))
