"""Comparisons by the score that the corpus is judged by: counted sums against the scores of the predictions."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from comparison_factory import random_frames

from features.cards import HEADLINES
from features.errors import RunError
from heads.criterion import Criterion, headline
from heads.metrics import baselines
from pipeline.comparison.bootstrap import draw_dialogues, draw_seeds, resampled_scores
from pipeline.comparison.compare import compare, margin_interval, score_interval
from pipeline.comparison.counts import Frames, constant_arm, read_arm
from pipeline.comparison.permutation import swapped_differences

LABELS = ("joy", "anger", "neutral", "fear")
SIDES = {"negative": ("anger", "fear"), "positive": ("joy",)}
OTHERS = [name for name in HEADLINES if name != "weighted_f1"]


def of(name: str) -> Criterion:
    return Criterion.of(name, "neutral", SIDES)


def runs(seed: int, **more: object) -> Frames:
    """Probabilities that are drawn anew, so that the sides are not those of the labels predicted."""
    drawn = np.random.default_rng([seed, 9])
    frames = {}
    for one, frame in random_frames(seed, labels=LABELS, **more).items():  # type: ignore[arg-type]
        chances = drawn.dirichlet(np.ones(len(LABELS)), frame.height)
        frames[one] = frame.with_columns(
            pl.Series("predicted", [LABELS[place] for place in chances.argmax(axis=1)]),
            *(pl.Series(f"p_{label}", chances[:, place]) for place, label in enumerate(LABELS)),
        )
    return frames


def plain(frame: pl.DataFrame, name: str) -> float:
    """A seed's score of the predictions themselves."""
    known = frame.filter(pl.col("gold").is_not_null())
    gold, predicted = (np.array([LABELS.index(label) for label in known[key]]) for key in ("gold", "predicted"))
    chances = known.select([f"p_{label}" for label in LABELS]).to_numpy()
    value = headline(gold, predicted, chances, LABELS, of(name))
    assert value is not None
    return value


@pytest.mark.parametrize("name", HEADLINES)
def test_counts_give_the_scores_of_the_predictions(name: str) -> None:
    frames = runs(3, dialogues=12)
    arm = read_arm(frames, LABELS, of(name))
    assert arm.seed_scores().headline == pytest.approx([plain(frames[seed], name) for seed in sorted(frames)])
    if name == "weighted_f1":
        assert np.array_equal(arm.seed_scores().headline, read_arm(frames, LABELS).seed_scores().weighted_f1)


@pytest.mark.parametrize("name", OTHERS)
def test_resamples_score_resampled_dialogues(name: str) -> None:
    frames = runs(4, dialogues=6)
    arm = read_arm(frames, LABELS, of(name))
    random = np.random.default_rng(0)
    weights, seeds = draw_dialogues(arm.dialogues, 20, random), draw_seeds(arm, 20, random)
    found = resampled_scores(arm, weights, seeds).headline
    names = sorted(frames[0].filter(pl.col("gold").is_not_null())["dialogue_id"].unique())
    for one, (counts, seed) in enumerate(zip(weights, seeds, strict=True)):
        whole = frames[sorted(frames)[seed]]
        parts = [
            whole.filter(pl.col("dialogue_id") == dialogue)
            for dialogue, times in zip(names, counts, strict=True)
            for _ in range(int(times))
        ]
        assert found[one] == pytest.approx(plain(pl.concat(parts), name))


@pytest.mark.parametrize("name", OTHERS)
def test_swaps_score_swapped_dialogues_and_p_is_of_that_score(name: str) -> None:
    a, b = runs(5, seeds=(0,), dialogues=6), runs(6, seeds=(0,), dialogues=6)
    arm_a, arm_b = read_arm(a, LABELS, of(name)), read_arm(b, LABELS, of(name))
    swapped = np.random.default_rng(1).random((10, arm_a.dialogues)) < 0.5
    names = sorted(a[0].filter(pl.col("gold").is_not_null())["dialogue_id"].unique())
    for mask, value in zip(swapped, swapped_differences(arm_a, arm_b, swapped), strict=True):
        moved = [dialogue for dialogue, moves in zip(names, mask, strict=True) if moves]
        inside = pl.col("dialogue_id").is_in(moved)
        first = pl.concat([a[0].filter(~inside), b[0].filter(inside)])
        second = pl.concat([b[0].filter(~inside), a[0].filter(inside)])
        assert value == pytest.approx(plain(first, name) - plain(second, name))
    found = compare(a, b, LABELS, criterion=of(name), replicates=200)
    assert found.score == name
    assert found.headline.value == pytest.approx(plain(a[0], name) - plain(b[0], name))
    assert found.headline.interval.low <= found.headline.value <= found.headline.interval.high
    _, generator = np.random.default_rng(0).spawn(2)
    null = swapped_differences(arm_a, arm_b, generator.random((200, arm_a.dialogues)) < 0.5)
    hits = int((np.abs(null) >= abs(plain(a[0], name) - plain(b[0], name)) - 1e-12).sum())
    assert found.p_value == (hits + 1) / 201
    by_f1 = compare(a, b, LABELS, replicates=200)
    assert (found.weighted_f1, found.accuracy) == (by_f1.weighted_f1, by_f1.accuracy)
    assert by_f1.headline == by_f1.weighted_f1
    assert by_f1.score == "weighted_f1"


@pytest.mark.parametrize("name", HEADLINES)
@pytest.mark.parametrize("constant", LABELS)
def test_margins_are_over_the_constant_rule(name: str, constant: str) -> None:
    frames = runs(7, dialogues=10)
    arm = read_arm(frames, LABELS, of(name))
    gold = np.array([LABELS.index(label) for label in arm.gold_labels])
    rule = baselines(gold, LABELS, constant, {}, of(name))
    (always,) = (scores for scores in rule.values() if scores["accuracy"] == np.mean(gold == LABELS.index(constant)))
    value = constant_arm(arm, LABELS.index(constant)).seed_scores().headline
    assert value == pytest.approx([always[name]])
    margin = margin_interval(frames, constant, LABELS, criterion=of(name), replicates=100)
    mean = np.mean([plain(frame, name) for frame in frames.values()])
    assert margin.value == pytest.approx(mean - always[name])
    interval = score_interval(frames, LABELS, criterion=of(name), replicates=100)
    assert interval.low <= mean <= interval.high


def test_the_accuracy_of_two_classes_needs_the_probabilities() -> None:
    frames = {seed: frame.drop("p_fear") for seed, frame in runs(8).items()}
    read_arm(frames, LABELS, of("unweighted_average_recall"))
    with pytest.raises(RunError, match="predictions of seed 0 have no column p_fear"):
        read_arm(frames, LABELS, of("binary_accuracy"))
