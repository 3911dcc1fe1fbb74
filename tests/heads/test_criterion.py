"""The scores that corpora are judged by: against scikit-learn or a plain count, and whatever the labels' order is."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sklearn_metrics

from features.cards import HEADLINES
from features.errors import UsageError
from heads.criterion import Criterion, headline, predicted_positive
from heads.metrics import SCORES, baselines, score, summarise

LABELS = ("joy", "anger", "neutral", "fear", "calm")
SIDES = {"negative": ("anger", "fear"), "positive": ("joy", "calm")}
JUDGED = Criterion.of("weighted_f1", "neutral", SIDES)

rows = st.lists(
    st.tuples(st.integers(0, 4), st.lists(st.integers(1, 50), min_size=5, max_size=5)), min_size=1, max_size=40
)


def drawn(values: list[tuple[int, list[int]]]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(gold, predicted, probabilities float32)"""
    gold = np.array([label for label, _ in values])
    weights = np.array([weights for _, weights in values], dtype=np.float64)
    probabilities = (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)
    return gold, probabilities.argmax(axis=1), probabilities


def of(name: str) -> Criterion:
    return Criterion.of(name, "neutral", SIDES)


def by_hand(gold: np.ndarray, predicted: np.ndarray, probabilities: np.ndarray) -> dict[str, float | None]:
    names = np.array(LABELS)
    others = [label for label in LABELS if label != "neutral"]
    right = sided = 0
    for label, chances in zip(names[gold], probabilities.astype(np.float64), strict=True):
        chance = dict(zip(LABELS, chances, strict=True))
        side = next((side for side, members in SIDES.items() if label in members), None)
        if side is not None:
            sided += 1
            positive = chance["joy"] + chance["calm"] >= chance["anger"] + chance["fear"]
            right += positive == (side == "positive")
    return {
        "weighted_f1": sklearn_metrics.f1_score(names[gold], names[predicted], average="weighted", zero_division=0),
        "macro_f1": sklearn_metrics.f1_score(
            names[gold], names[predicted], labels=LABELS, average="macro", zero_division=0
        ),
        "accuracy": sklearn_metrics.accuracy_score(gold, predicted),
        "micro_f1_without_neutral": sklearn_metrics.f1_score(
            names[gold], names[predicted], labels=others, average="micro", zero_division=0
        ),
        "unweighted_average_recall": np.mean([np.mean(predicted[gold == one] == one) for one in set(gold.tolist())]),
        "binary_accuracy": right / sided if sided else None,
    }


@settings(max_examples=60)
@given(rows)
def test_each_score_is_scikit_learns_or_a_plain_count(values: list[tuple[int, list[int]]]) -> None:
    gold, predicted, probabilities = drawn(values)
    expected = by_hand(gold, predicted, probabilities)
    scores = score(gold, predicted, LABELS, JUDGED, probabilities)
    assert set(expected) == set(SCORES) == set(HEADLINES)
    for name, value in expected.items():
        found = headline(gold, predicted, probabilities, LABELS, of(name))
        if value is None:
            assert found is getattr(scores, name) is None
        else:
            assert found == getattr(scores, name) == pytest.approx(value, abs=1e-12)


@settings(max_examples=60)
@given(rows, st.permutations(range(5)))
def test_no_score_depends_on_the_order_of_the_labels(values: list[tuple[int, list[int]]], order: list[int]) -> None:
    gold, predicted, probabilities = drawn(values)
    place = np.argsort(order)
    labels = [LABELS[old] for old in order]
    for name in HEADLINES:
        before = headline(gold, predicted, probabilities, LABELS, of(name))
        after = headline(place[gold], place[predicted], probabilities[:, order], labels, of(name))
        assert after == (None if before is None else pytest.approx(before, abs=1e-12))


def test_a_neutral_utterance_costs_micro_f1_only_where_it_is_called_something_else() -> None:
    gold = np.array([2, 2, 2, 2, 0, 1])
    assert score(gold, np.array([2, 2, 2, 2, 0, 1]), LABELS, JUDGED).micro_f1_without_neutral == 1.0
    assert score(gold, np.array([0, 2, 2, 2, 0, 1]), LABELS, JUDGED).micro_f1_without_neutral == pytest.approx(4 / 5)
    assert score(gold, np.full(6, 2), LABELS, JUDGED).micro_f1_without_neutral == 0.0


def test_average_recall_is_of_the_classes_that_are_there() -> None:
    scores = score(np.array([0, 0, 0, 1]), np.array([0, 0, 4, 2]), LABELS)
    assert scores.unweighted_average_recall == pytest.approx((2 / 3 + 0) / 2)
    with pytest.warns(UserWarning, match="y_pred contains classes not in y_true"):
        balanced = sklearn_metrics.balanced_accuracy_score([0, 0, 0, 1], [0, 0, 4, 2])
    assert scores.unweighted_average_recall == pytest.approx(balanced)


def test_a_side_is_decided_by_all_its_labels_and_ties_are_positive() -> None:
    chances = np.array(
        [
            [0.25, 0.30, 0.10, 0.05, 0.30],  # anger is likeliest; joy and calm together are likelier
            [0.20, 0.15, 0.50, 0.15, 0.00],  # neutral is likeliest, and negative is likelier than positive
            [0.00, 0.00, 1.00, 0.00, 0.00],  # of neither side
        ]
    )
    assert predicted_positive(chances, LABELS, JUDGED).tolist() == [True, False, True]
    gold = np.array([0, 3, 1, 2])
    binary = score(gold, gold, LABELS, JUDGED, chances[[0, 1, 2, 2]]).binary_accuracy
    assert binary == pytest.approx(2 / 3)  # the neutral utterance is left out


def test_what_a_corpus_does_not_say_is_not_scored() -> None:
    gold, chances = np.array([0, 1]), np.eye(5)[[0, 1]]
    scores = score(gold, gold, LABELS, Criterion(), chances)
    assert scores.micro_f1_without_neutral is scores.binary_accuracy is None
    assert summarise([scores], LABELS)["binary_accuracy"] is None
    only_neutral = score(np.array([0]), np.array([0]), ("neutral",), Criterion(neutral="neutral"))
    assert only_neutral.micro_f1_without_neutral is None
    neither = score(np.array([2]), np.array([2]), LABELS, JUDGED, np.eye(5)[[2]])
    assert neither.binary_accuracy is None
    with pytest.raises(UsageError, match="no score 'macro_f2': did you mean 'macro_f1'"):
        headline(gold, gold, chances, LABELS, Criterion("macro_f2"))


@pytest.mark.parametrize("neutral", ["neutral", None])
def test_baselines_have_the_scores_of_what_they_predict(neutral: str | None) -> None:
    """A constant rule exactly; draws by the prior as the mean over many draws."""
    draw = np.random.default_rng(0)
    gold = draw.choice(5, 3000, p=[0.3, 0.25, 0.2, 0.15, 0.1])
    train = dict(zip(LABELS, (300, 250, 200, 150, 100), strict=True))
    criterion = Criterion.of("accuracy", neutral, SIDES)
    constant, prior = baselines(gold, LABELS, neutral, train, criterion).values()
    place = LABELS.index(neutral or "joy")

    def scored(predicted: np.ndarray) -> dict[str, Any]:
        return vars(score(gold, predicted, LABELS, criterion, np.eye(5)[predicted]))

    exact = scored(np.full(3000, place))
    drawn_ones = [scored(draw.choice(5, 3000, p=np.array(list(train.values())) / 1000)) for _ in range(40)]
    for name in SCORES:
        if exact[name] is None:
            assert constant[name] is prior[name] is None
            continue
        assert constant[name] == pytest.approx(exact[name])
        assert prior[name] == pytest.approx(np.mean([one[name] for one in drawn_ones]), abs=0.006)
    assert sum(exact[name] is None for name in SCORES) == (neutral is None)


def test_only_another_score_than_weighted_f1_changes_a_runs_key() -> None:
    assert Criterion.of("weighted_f1", "neutral", SIDES).key() == []
    keys = [str(of(name).key()) for name in HEADLINES]
    assert len(set(keys)) == len(HEADLINES) == 6
    other = Criterion.of("binary_accuracy", "neutral", SIDES | {"positive": ("joy",)})
    assert other.key() != of("binary_accuracy").key()
    assert Criterion.of("accuracy", None, {}).key() == of("accuracy").key()
