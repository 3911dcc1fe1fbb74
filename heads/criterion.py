"""The scores that corpora are judged by: which one, and how each is computed.

Scores are fractions, by scikit-learn. Legend: n utterances, c labels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from features.cards import HEADLINES, WEIGHTED_F1, DatasetCard
from features.errors import UsageError, nearest


@dataclass(frozen=True)
class Criterion:
    """The score that a corpus is judged by (its dataset card's `headline`), and what its scores need to know.

    neutral: the label that micro F1 leaves out; None where the corpus has none
    negative, positive: labels of the two sides of the accuracy of two classes; () where the card gives none
    """

    name: str = WEIGHTED_F1
    neutral: str | None = None
    negative: tuple[str, ...] = ()
    positive: tuple[str, ...] = ()

    @classmethod
    def of(cls, name: str, neutral: str | None, polarity: Mapping[str, Sequence[str]]) -> Criterion:
        return cls(name, neutral, tuple(polarity.get("negative", ())), tuple(polarity.get("positive", ())))

    @classmethod
    def of_card(cls, card: DatasetCard) -> Criterion:
        return cls.of(card.headline, card.neutral, card.polarity)

    @property
    def words(self) -> str:
        """As people read it: `weighted F1`."""
        return HEADLINES.get(self.name, self.name)

    def key(self) -> list[object]:
        """What of it decides a run's numbers. Empty for weighted F1, the score of runs that recorded none."""
        if self.name == WEIGHTED_F1:
            return []
        needs: dict[str, list[object]] = {
            "micro_f1_without_neutral": [self.neutral],
            "binary_accuracy": [sorted(self.negative), sorted(self.positive)],
        }
        return [self.name, *needs.get(self.name, [])]

    def counted(self, labels: Sequence[str]) -> np.ndarray:
        """bool [c]: the labels that micro F1 without neutral is of; none where there is no neutral label."""
        known = self.neutral in labels
        return np.array([known and label != self.neutral for label in labels], dtype=bool)

    def sides(self, labels: Sequence[str]) -> np.ndarray:
        """int8 [c]: -1 for a negative label, 1 for a positive one, 0 for one of neither side."""
        return np.array([(label in self.positive) - (label in self.negative) for label in labels], dtype=np.int8)


def weighted_f1(gold: np.ndarray, predicted: np.ndarray, num_classes: int) -> float:
    """F1 of each class, weighted by its gold utterances. gold, predicted: int [n]."""
    from sklearn.metrics import f1_score

    return float(f1_score(gold, predicted, labels=range(num_classes), average="weighted", zero_division=0))


def unweighted_average_recall(gold: np.ndarray, predicted: np.ndarray) -> float:
    """Mean recall of the classes that occur in gold (scikit-learn's balanced accuracy). gold, predicted: int [n]."""
    from sklearn.metrics import recall_score

    return float(recall_score(gold, predicted, labels=np.unique(gold), average="macro", zero_division=0))


def micro_f1_without_neutral(
    gold: np.ndarray, predicted: np.ndarray, labels: Sequence[str], criterion: Criterion
) -> float | None:
    """F1 of the hits of all labels but neutral, counted together, as DailyDialog is scored; None without such labels.

    A neutral utterance counts only where it is predicted as something else. gold, predicted: int [n]
    """
    from sklearn.metrics import f1_score

    counted = np.flatnonzero(criterion.counted(labels))
    if not len(counted):
        return None
    return float(f1_score(gold, predicted, labels=counted, average="micro", zero_division=0))


def predicted_positive(probabilities: np.ndarray, labels: Sequence[str], criterion: Criterion) -> np.ndarray:
    """bool [n]: whether the positive labels' probabilities sum to at least as much as the negative ones'.

    Sums, and not the side of the label predicted: they decide every utterance, also one whose likeliest label is of
    neither side, as the sign of a regression does for the corpora that are scored so. A tie is positive, as a
    regression's 0 is in "negative or not": so is what always predicts a label of neither side.

    probabilities: float [n, c]
    """
    sides = criterion.sides(labels)
    exact = probabilities.astype(np.float64)
    positive: np.ndarray = exact[:, sides > 0].sum(axis=1) >= exact[:, sides < 0].sum(axis=1)
    return positive


def binary_accuracy(
    gold: np.ndarray, probabilities: np.ndarray, labels: Sequence[str], criterion: Criterion
) -> float | None:
    """Share of the utterances of either side whose side is predicted (`predicted_positive`). Those whose gold label is
    of neither are left out; None where that leaves none.

    gold: int [n]; probabilities: float [n, c]
    """
    from sklearn.metrics import accuracy_score

    of_gold = criterion.sides(labels)[gold]
    sided = of_gold != 0
    if not sided.any():
        return None
    return float(accuracy_score(of_gold[sided] > 0, predicted_positive(probabilities[sided], labels, criterion)))


def headline(
    gold: np.ndarray, predicted: np.ndarray, probabilities: np.ndarray, labels: Sequence[str], criterion: Criterion
) -> float | None:
    """The score that the corpus is judged by; None where gold has no label of either side.

    gold, predicted: int [n], places in `labels`; probabilities: float [n, c]
    """
    from sklearn.metrics import accuracy_score, f1_score

    places = range(len(labels))
    match criterion.name:
        case "weighted_f1":
            return weighted_f1(gold, predicted, len(labels))
        case "macro_f1":
            return float(f1_score(gold, predicted, labels=places, average="macro", zero_division=0))
        case "accuracy":
            return float(accuracy_score(gold, predicted))
        case "micro_f1_without_neutral":
            return micro_f1_without_neutral(gold, predicted, labels, criterion)
        case "unweighted_average_recall":
            return unweighted_average_recall(gold, predicted)
        case "binary_accuracy":
            return binary_accuracy(gold, probabilities, labels, criterion)
    raise UsageError(f"no score {criterion.name!r}: {nearest(criterion.name, HEADLINES)}")
