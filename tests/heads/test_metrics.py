"""Scores against scikit-learn over drawn predictions, and the baselines against many draws."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from sklearn import metrics as sklearn_metrics

from heads.metrics import (
    baselines,
    negative_log_likelihood,
    over_seeds,
    reliability,
    score,
    scores_of_confusions,
    summarise,
)

LABELS = ("joy", "anger", "neutral", "fear")

pairs = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=60)


@settings(max_examples=60, deadline=None)
@given(pairs)
def test_scores_equal_scikit_learn_over_the_fixed_labels(drawn: list[tuple[int, int]]) -> None:
    gold, predicted = np.array(drawn).T
    scores = score(gold, predicted, LABELS)
    names = np.array(LABELS)
    report = sklearn_metrics.classification_report(
        names[gold], names[predicted], labels=LABELS, output_dict=True, zero_division=0
    )
    assert scores.weighted_f1 == pytest.approx(report["weighted avg"]["f1-score"])
    assert scores.macro_f1 == pytest.approx(report["macro avg"]["f1-score"])
    assert scores.accuracy == pytest.approx(np.mean(gold == predicted))
    for label in LABELS:
        assert scores.per_class[label]["f1"] == pytest.approx(report[label]["f1-score"])
        assert scores.per_class[label]["precision"] == pytest.approx(report[label]["precision"])
        assert scores.per_class[label]["recall"] == pytest.approx(report[label]["recall"])
    assert scores.confusion.shape == (4, 4)
    assert scores.confusion[gold[0], predicted[0]] == sum(pair == drawn[0] for pair in drawn)
    assert scores.confusion.sum() == len(drawn)


def test_a_class_that_never_occurs_lowers_macro_f1_and_warns_nobody(recwarn: pytest.WarningsRecorder) -> None:
    scores = score(np.array([0, 0, 1]), np.array([0, 0, 1]), LABELS)
    assert (scores.weighted_f1, scores.macro_f1, scores.accuracy) == (1.0, 0.5, 1.0)
    assert scores.per_class["fear"] == {"precision": 0.0, "recall": 0.0, "f1": 0.0}
    assert not recwarn.list


def test_deviation_has_one_degree_of_freedom_less_and_is_null_for_one_seed() -> None:
    assert over_seeds([0.5]) == {"mean": 0.5, "std": None, "values": [0.5]}
    assert over_seeds([0.4, 0.6])["std"] == pytest.approx(np.std([0.4, 0.6], ddof=1))


def test_summary_adds_confusions_and_keeps_each_seeds_value() -> None:
    gold = np.array([0, 1, 2])
    scores = [score(gold, gold, LABELS), score(gold, np.array([0, 0, 0]), LABELS)]
    summary = summarise(scores, LABELS)
    assert summary["accuracy"]["values"] == pytest.approx([1.0, 1 / 3])
    assert summary["per_class_f1"]["joy"]["values"] == pytest.approx([1.0, 0.5])
    assert summary["per_class"]["anger"]["recall"]["mean"] == pytest.approx(0.5)
    assert summary["confusion"] == [[2, 0, 0, 0], [1, 1, 0, 0], [1, 0, 1, 0], [0, 0, 0, 0]]


def test_always_neutral_is_scikit_learns_constant_prediction() -> None:
    gold = np.array([0, 0, 1, 2, 2, 2])
    baseline = baselines(gold, LABELS, "neutral", {"joy": 9})["always-neutral"]
    constant = score(gold, np.full(6, 2), LABELS)
    assert baseline["weighted_f1"] == pytest.approx(constant.weighted_f1)
    assert baseline["macro_f1"] == pytest.approx(constant.macro_f1)
    assert baseline["accuracy"] == pytest.approx(0.5)
    assert baseline["per_class_f1"]["neutral"] == pytest.approx(constant.per_class["neutral"]["f1"])


@pytest.mark.parametrize("neutral", [None, "Neutral"])
def test_without_a_neutral_label_the_most_frequent_train_label_stands_in_and_is_called_so(neutral: str | None) -> None:
    found = baselines(np.array([0, 1, 1]), LABELS, neutral, {"joy": 2, "anger": 7})
    assert set(found) == {"majority", "class-prior"}
    assert found["majority"]["accuracy"] == pytest.approx(2 / 3)


def test_class_prior_is_the_mean_over_draws_within_half_a_point() -> None:
    generator = np.random.default_rng(0)
    counts = {"joy": 20, "anger": 10, "neutral": 60, "fear": 10}
    gold = generator.choice(4, 800, p=[0.3, 0.1, 0.5, 0.1])
    baseline = baselines(gold, LABELS, "neutral", counts)["class-prior"]
    draws = [score(gold, generator.choice(4, 800, p=[0.2, 0.1, 0.6, 0.1]), LABELS) for _ in range(100)]
    assert baseline["weighted_f1"] == pytest.approx(np.mean([item.weighted_f1 for item in draws]), abs=0.005)
    assert baseline["macro_f1"] == pytest.approx(np.mean([item.macro_f1 for item in draws]), abs=0.005)
    assert baseline["accuracy"] == pytest.approx(np.mean([item.accuracy for item in draws]), abs=0.005)


@pytest.mark.shared_data
def test_always_neutral_on_meld_is_the_known_score(shared_data) -> None:  # type: ignore[no-untyped-def]
    import polars as pl

    column = pl.read_csv(shared_data / "meld" / "dev_sent_emo.csv")["Emotion"]
    labels = sorted(column.unique())
    gold = np.array([labels.index(value) for value in column])
    baseline = baselines(gold, labels, "neutral", {"neutral": 1})["always-neutral"]
    assert round(100 * baseline["weighted_f1"], 2) == 25.23


@settings(max_examples=60, deadline=None)
@given(pairs)
def test_scores_of_confusions_are_those_of_scikit_learn(drawn: list[tuple[int, int]]) -> None:
    gold, predicted = np.array(drawn).T
    stack = np.stack([sklearn_metrics.confusion_matrix(gold, predicted, labels=range(4)), np.zeros((4, 4), int)])
    weighted, accuracy = scores_of_confusions(stack)
    expected = sklearn_metrics.f1_score(gold, predicted, labels=range(4), average="weighted", zero_division=0)
    assert weighted.tolist() == pytest.approx([expected, 0.0])
    assert accuracy.tolist() == pytest.approx([np.mean(gold == predicted), 0.0])


@settings(max_examples=60, deadline=None)
@example(seed=1, count=71, scale=20.0)  # a gold label less likely than float32's rounding
@given(st.integers(0, 2**32 - 1), st.integers(1, 80), st.sampled_from([0.1, 1.0, 20.0]))
def test_likelihood_is_scikit_learns_log_loss_even_where_classes_are_absent(
    seed: int, count: int, scale: float
) -> None:
    draw = np.random.default_rng(seed)
    gold = draw.integers(2, size=count)  # two of the four classes never occur
    chances = probabilities(draw, count, scale)
    wide = chances.astype(np.float64)
    wide = np.maximum(wide / wide.sum(axis=1, keepdims=True), np.finfo(np.float32).eps)  # it clips by the dtype given
    expected = sklearn_metrics.log_loss(np.eye(4)[gold], wide)
    assert negative_log_likelihood(gold, chances) == pytest.approx(expected, rel=1e-4, abs=1e-5)


def probabilities(draw: np.random.Generator, count: int, scale: float = 2.0) -> np.ndarray:
    scores = np.exp(draw.normal(size=(count, 4)) * min(scale, 3.0))
    return (scores / scores.sum(axis=1, keepdims=True)).astype(np.float32)


def test_a_gold_label_of_probability_0_costs_what_float32_can_tell() -> None:
    sure_and_wrong = np.array([[1.0, 0.0]], np.float32)
    assert negative_log_likelihood(np.array([1]), sure_and_wrong) == pytest.approx(-np.log(np.finfo(np.float32).eps))
    assert negative_log_likelihood(np.array([0]), np.ones((1, 1), np.float32)) == 0.0


def plain_calibration_error(gold: np.ndarray, chances: np.ndarray) -> float:
    """Guo et al. 2017, eq. 3, by a plain loop: a bin is ((m - 1) / 15, m / 15]."""
    total = 0.0
    for number in range(15):
        inside = [
            row
            for row in range(len(gold))
            if number / 15 < max(chances[row].tolist()) <= (number + 1) / 15 or (number == 14 and max(chances[row]) > 1)
        ]
        if inside:
            accuracy = sum(int(chances[row].argmax() == gold[row]) for row in inside) / len(inside)
            confidence = sum(max(chances[row].tolist()) for row in inside) / len(inside)
            total += len(inside) / len(gold) * abs(accuracy - confidence)
    return total


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 80))
def test_calibration_error_is_that_of_a_plain_loop(seed: int, count: int) -> None:
    draw = np.random.default_rng(seed)
    gold, chances = draw.integers(4, size=count), probabilities(draw, count)
    found = reliability(gold, chances)
    assert found.calibration_error == pytest.approx(plain_calibration_error(gold, chances), abs=1e-9)
    assert found.counts.sum() == count


def test_reliability_bins_end_at_their_upper_edge_and_are_added_up() -> None:
    gold = np.array([0, 1, 0, 0])
    chances = np.array([[0.75, 0.25], [0.75, 0.25], [1.0, 0.0], [0.875, 0.125]])
    found = reliability(gold, chances, bins=4)
    assert found.to_list() == [
        {"lower": 0.0, "upper": 0.25, "count": 0, "confidence": None, "accuracy": None},
        {"lower": 0.25, "upper": 0.5, "count": 0, "confidence": None, "accuracy": None},
        {"lower": 0.5, "upper": 0.75, "count": 2, "confidence": 0.75, "accuracy": 0.5},
        {"lower": 0.75, "upper": 1.0, "count": 2, "confidence": 0.9375, "accuracy": 1.0},
    ]
    assert found.calibration_error == pytest.approx(0.5 * 0.25 + 0.5 * 0.0625)
    both = found + reliability(gold, chances, bins=4)
    assert both.counts.tolist() == [0, 0, 4, 4]
    assert both.calibration_error == pytest.approx(found.calibration_error)
    assert len(reliability(gold, chances).to_list()) == 15
