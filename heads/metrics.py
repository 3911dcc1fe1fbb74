"""Scores with scikit-learn, over a fixed list of labels. Scores are fractions; a class that never occurs and is never
predicted scores 0."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from features.cards import WEIGHTED_F1
from heads import criterion as judged
from heads.criterion import Criterion, weighted_f1

CALIBRATION_BINS = 15
SCORES = (
    WEIGHTED_F1,
    "macro_f1",
    "accuracy",
    "micro_f1_without_neutral",
    "unweighted_average_recall",
    "binary_accuracy",
)
"""Names of the scores that are one number; the last three of `heads.criterion`."""
ALWAYS_NEUTRAL, MAJORITY = "always-neutral", "majority"


@dataclass(frozen=True)
class Scores:
    """One prediction's scores.

    per_class: label -> precision, recall, f1
    confusion: int [c, c], rows gold, columns predicted
    micro_f1_without_neutral, binary_accuracy: None where the corpus has no neutral label, or no two sides in gold
    """

    weighted_f1: float
    macro_f1: float
    accuracy: float
    per_class: dict[str, dict[str, float]]
    confusion: np.ndarray
    unweighted_average_recall: float
    micro_f1_without_neutral: float | None = None
    binary_accuracy: float | None = None


def score(
    gold: np.ndarray,
    predicted: np.ndarray,
    labels: Sequence[str],
    criterion: Criterion | None = None,
    probabilities: np.ndarray | None = None,
) -> Scores:
    """gold, predicted: int [n], places in `labels`; every gold label is known.

    criterion:     says which label is neutral and which are of either side
    probabilities: float [n, c], for the accuracy of two classes
    """
    from sklearn.metrics import accuracy_score, confusion_matrix, precision_recall_fscore_support

    places = range(len(labels))
    each = precision_recall_fscore_support(gold, predicted, labels=places, zero_division=0)
    return Scores(
        weighted_f1=weighted_f1(gold, predicted, len(labels)),
        macro_f1=float(np.mean(each[2])),
        accuracy=float(accuracy_score(gold, predicted)),
        per_class={
            label: {"precision": float(each[0][place]), "recall": float(each[1][place]), "f1": float(each[2][place])}
            for place, label in enumerate(labels)
        },
        confusion=confusion_matrix(gold, predicted, labels=places),
        unweighted_average_recall=judged.unweighted_average_recall(gold, predicted),
        micro_f1_without_neutral=judged.micro_f1_without_neutral(gold, predicted, labels, criterion or Criterion()),
        binary_accuracy=None
        if probabilities is None
        else judged.binary_accuracy(gold, probabilities, labels, criterion or Criterion()),
    )


def scores_of_confusions(confusions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(weighted F1, accuracy), float64 [...], of confusion matrices [..., c, c], rows gold; 0 where one is empty.

    The same numbers as `score`'s, for hundreds of slices at once.
    """
    hits = np.diagonal(confusions, axis1=-2, axis2=-1).astype(np.float64)
    gold, predicted = confusions.sum(axis=-1), confusions.sum(axis=-2)
    f1 = np.divide(2 * hits, gold + predicted, out=np.zeros_like(hits), where=gold + predicted > 0)
    total = gold.sum(axis=-1)
    sums = np.stack([(f1 * gold).sum(axis=-1), hits.sum(axis=-1)])
    weighted, accuracy = np.divide(sums, total, out=np.zeros_like(sums), where=total > 0)
    return weighted, accuracy


def negative_log_likelihood(gold: np.ndarray, probabilities: np.ndarray) -> float:
    """Mean of -ln p(gold), in nats per utterance.

    Clipped as scikit-learn clips: at the rounding of the dtype. A gold label of float32 probability 0 costs 15.9 nats.

    gold: int [n]; probabilities: float [n, c], rows that sum to 1
    """
    from sklearn.metrics import log_loss

    num_classes = probabilities.shape[1]
    if num_classes < 2:
        return 0.0
    return float(log_loss(gold, probabilities, labels=range(num_classes)))


@dataclass(frozen=True)
class Reliability:
    """Predictions by their confidence, which is the highest probability, in bins of equal width over (0, 1].

    counts:      int64 [bins], utterances; a bin holds what lies above its lower edge and not above its upper edge
    confidences: float64 [bins], sum of the confidences
    hits:        int64 [bins], utterances predicted right
    """

    counts: np.ndarray
    confidences: np.ndarray
    hits: np.ndarray

    def __add__(self, other: Reliability) -> Reliability:
        """Of both sets of predictions together."""
        return Reliability(self.counts + other.counts, self.confidences + other.confidences, self.hits + other.hits)

    @property
    def calibration_error(self) -> float:
        """Expected calibration error: sum over bins of n_bin / n * |accuracy - confidence| (Guo et al. 2017, eq. 3)."""
        return float(np.abs(self.hits - self.confidences).sum() / self.counts.sum())

    def to_list(self) -> list[dict[str, Any]]:
        """lower, upper, count, confidence and accuracy of each bin; the last two are null where it is empty."""
        edges = _edges(len(self.counts))
        return [
            {
                "lower": float(lower),
                "upper": float(upper),
                "count": int(count),
                "confidence": float(confidence / count) if count else None,
                "accuracy": float(hits / count) if count else None,
            }
            for lower, upper, count, confidence, hits in zip(
                edges, edges[1:], self.counts, self.confidences, self.hits, strict=False
            )
        ]


def reliability(gold: np.ndarray, probabilities: np.ndarray, bins: int = CALIBRATION_BINS) -> Reliability:
    """gold: int [n]; probabilities: float [n, c]. The prediction is the first class of the highest probability."""
    confidence = probabilities.max(axis=1).astype(np.float64)
    right = probabilities.argmax(axis=1) == gold
    place = np.clip(np.searchsorted(_edges(bins)[1:], confidence, side="left"), 0, bins - 1)
    return Reliability(
        np.bincount(place, minlength=bins),
        np.bincount(place, confidence, minlength=bins),
        np.bincount(place[right], minlength=bins),
    )


def _edges(bins: int) -> np.ndarray:
    """float64 [bins + 1], from 0 to 1."""
    return np.linspace(0.0, 1.0, bins + 1)


def over_seeds(values: Sequence[float]) -> dict[str, Any]:
    """mean, std (ddof 1; null for one seed) and the values themselves."""
    return {
        "mean": statistics.fmean(values),
        "std": statistics.stdev(values) if len(values) > 1 else None,
        "values": list(values),
    }


def over_known(values: Sequence[float | None]) -> dict[str, Any] | None:
    """`over_seeds`, or None for a score that could not be computed; all seeds are of the same gold labels."""
    known = [value for value in values if value is not None]
    return over_seeds(known) if known else None


def summarise(scores: Sequence[Scores], labels: Sequence[str]) -> dict[str, Any]:
    """The scores of several seeds: mean, std and values of each; the confusion matrices are added up."""
    parts = ("precision", "recall", "f1")
    per_class = {
        label: {part: over_seeds([item.per_class[label][part] for item in scores]) for part in parts}
        for label in labels
    }
    return {
        **{name: over_known([getattr(item, name) for item in scores]) for name in SCORES},
        "per_class_f1": {label: per_class[label]["f1"] for label in labels},
        "per_class": per_class,
        "confusion": np.sum([item.confusion for item in scores], axis=0).tolist(),
    }


def constant_baseline(neutral: str | None, labels: Sequence[str]) -> str:
    """What the rule that always says one label is called."""
    return ALWAYS_NEUTRAL if neutral in labels else MAJORITY


def baselines(
    gold: np.ndarray,
    labels: Sequence[str],
    neutral: str | None,
    train_counts: Mapping[str, int],
    criterion: Criterion | None = None,
) -> dict[str, dict[str, Any]]:
    """What needs no model. Of the first two there is the one that `constant_baseline` names.

    always-neutral: the neutral label every time
    majority:       the most frequent train label every time, where no label is known to be the neutral one
    class-prior:    labels drawn at random as often as in train. Its scores are those of the expected confusion matrix,
                    E[gold i, predicted j] = support_i * p_j. That is exact for accuracy and recall; for F1, a
                    ratio, it is within a fraction of a point of the mean over draws
    """
    counts = np.array([train_counts.get(label, 0) for label in labels], dtype=np.float64)
    support = np.bincount(gold, minlength=len(labels)).astype(np.float64)
    constant = labels.index(neutral) if neutral in labels else int(counts.argmax())
    one_hot = np.zeros(len(labels))
    one_hot[constant] = 1.0
    prior = counts / counts.sum() if counts.sum() else np.full(len(labels), 1 / len(labels))
    return {
        constant_baseline(neutral, labels): _expected_scores(support, one_hot, labels, criterion or Criterion()),
        "class-prior": _expected_scores(support, prior, labels, criterion or Criterion()),
    }


def _expected_scores(
    support: np.ndarray, chances: np.ndarray, labels: Sequence[str], criterion: Criterion
) -> dict[str, Any]:
    """Scores of predictions drawn with fixed chances. support, chances: [c]."""
    total = support.sum()
    hits = support * chances
    denominator = support + total * chances  # gold and predicted utterances of the class
    f1 = np.divide(2 * hits, denominator, out=np.zeros_like(hits), where=denominator > 0)
    return {
        "weighted_f1": float((f1 * support).sum() / total),
        "macro_f1": float(f1.mean()),
        "accuracy": float(hits.sum() / total),
        **_expected_headlines(support, chances, labels, criterion),
        "per_class_f1": {label: float(value) for label, value in zip(labels, f1, strict=True)},
    }


def _expected_headlines(
    support: np.ndarray, chances: np.ndarray, labels: Sequence[str], criterion: Criterion
) -> dict[str, float | None]:
    """The last three of SCORES, as `_expected_scores`.

    support, chances: float [c]
    """
    hits, total = support * chances, support.sum()
    counted, sides = criterion.counted(labels), criterion.sides(labels)
    both = support[counted].sum() + total * chances[counted].sum()
    sided = support[sides != 0].sum()
    negative = chances[sides < 0].sum()  # a label of neither side counts as positive
    right = support[sides < 0].sum() * negative + support[sides > 0].sum() * (1 - negative)
    return {
        "micro_f1_without_neutral": _share(2 * hits[counted].sum(), both) if counted.any() else None,
        "unweighted_average_recall": float(chances[support > 0].mean()),
        "binary_accuracy": _share(right, sided) if sided else None,
    }


def _share(part: float, whole: float) -> float:
    return float(part / whole) if whole else 0.0
