"""Predictions of several seeds as counts of each dialogue, and the scores of sums of them.

s seeds, d dialogues, c classes, r replicates. The scores of some dialogues need no more of their confusion matrix than
its diagonal (hits) and its column and row sums (predicted, gold), and all three add up over dialogues. The accuracy of
two classes is of the probabilities and not of the label predicted: it has a count of its own, which adds up as well.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
import polars as pl

from features.cards import HEADLINES, WEIGHTED_F1
from features.errors import RunError, nearest
from heads.criterion import Criterion, predicted_positive

Frames = Mapping[int, pl.DataFrame]
"""Seed -> predictions of one run on one split: utterance_id, dialogue_id, gold (null where unlabelled), predicted and
p_LABEL. Rows in any order."""

COLUMNS = ("utterance_id", "dialogue_id", "gold", "predicted")


@dataclass(frozen=True)
class Scores:
    """Scores of r sets of predictions, float64 fractions: weighted_f1 [r], accuracy [r], class_f1 [r, c], and headline
    [r], the score that the corpus is judged by."""

    weighted_f1: np.ndarray
    accuracy: np.ndarray
    class_f1: np.ndarray
    headline: np.ndarray

    @property
    def macro_f1(self) -> np.ndarray:
        """float64 [r]: over all labels, those that do not occur among them."""
        return np.asarray(self.class_f1.mean(axis=-1))

    def minus(self, other: Scores) -> Scores:
        return Scores(*(one - two for one, two in zip(self._parts(), other._parts(), strict=True)))

    def mean(self) -> Scores:
        """Of one set: the mean over the first axis."""
        return Scores(*(part.mean(axis=0, keepdims=True) for part in self._parts()))

    def _parts(self) -> tuple[np.ndarray, ...]:
        return self.weighted_f1, self.accuracy, self.class_f1, self.headline


@dataclass(frozen=True)
class Arm:
    """One configuration's predictions of the labelled utterances, of several seeds.

    utterances: ids, sorted; gold_labels, utterance_dialogues: of these
    hits:       float64 [s, d, c], utterances of the class that were predicted right (whole numbers)
    predicted:  float64 [s, d, c], utterances that were given the class
    gold:       float64 [d, c], utterances of the class
    sided:      float64 [s, d], utterances of either side whose side was predicted; None where no score needs them
    labels, criterion: the classes' names, and the score that the corpus is judged by
    """

    utterances: pl.Series
    utterance_dialogues: pl.Series
    gold_labels: pl.Series
    hits: np.ndarray
    predicted: np.ndarray
    gold: np.ndarray
    labels: tuple[str, ...] = ()
    criterion: Criterion = field(default_factory=Criterion)
    sided: np.ndarray | None = None

    @property
    def seeds(self) -> int:
        return len(self.hits)

    @property
    def dialogues(self) -> int:
        return len(self.gold)

    @cached_property
    def table(self) -> np.ndarray:
        """float64 [s, d, 2c]: hits, then predicted; [s, d, 2c + 1] with `sided` where that is counted."""
        parts = [self.hits, self.predicted] + ([] if self.sided is None else [self.sided[:, :, None]])
        return np.concatenate(parts, axis=2)

    def scores(self, table: np.ndarray, gold: np.ndarray) -> Scores:
        """`scores` by this arm's labels and criterion."""
        return scores(table, gold, self.labels, self.criterion)

    def seed_scores(self) -> Scores:
        """On all dialogues, of each seed: r = s."""
        return self.scores(self.table.sum(axis=1), self.gold.sum(axis=0))


def scores(
    table: np.ndarray, gold: np.ndarray, labels: Sequence[str] = (), criterion: Criterion | None = None
) -> Scores:
    """Scores of summed counts; as scikit-learn's with zero_division 0 and all labels, and as `heads.criterion`'s.

    table: float64 [..., 2c or more], of `Arm.table`; gold: float64 [c] or [..., c], with at least one utterance
    """
    classes = gold.shape[-1]
    hits, predicted = table[..., :classes], table[..., classes : 2 * classes]
    denominator = predicted + gold
    f1 = np.divide(2 * hits, denominator, out=np.zeros_like(denominator), where=denominator > 0)
    total = gold.sum(axis=-1)
    weighted_f1, accuracy = (f1 * gold).sum(axis=-1) / total, hits.sum(axis=-1) / total
    judged = criterion or Criterion()
    if judged.name in (WEIGHTED_F1, "accuracy"):
        headline = weighted_f1 if judged.name == WEIGHTED_F1 else accuracy
    else:
        headline = _headline(table, gold, denominator, labels, judged)
    return Scores(weighted_f1, accuracy, f1, headline)


def _headline(
    table: np.ndarray, gold: np.ndarray, both: np.ndarray, labels: Sequence[str], criterion: Criterion
) -> np.ndarray:
    """float64 [...]: the score that the corpus is judged by. both: float64 [..., c], predicted and gold together."""
    hits = table[..., : gold.shape[-1]]
    match criterion.name:
        case "macro_f1":
            return np.asarray(_shares(2 * hits, both).mean(axis=-1))
        case "unweighted_average_recall":
            recall = _shares(hits, gold).sum(axis=-1)
            return np.asarray(recall / (gold > 0).sum(axis=-1))
        case "micro_f1_without_neutral":
            counted = criterion.counted(labels)
            return _shares(2 * hits[..., counted].sum(axis=-1), both[..., counted].sum(axis=-1))
        case "binary_accuracy":
            return _shares(table[..., -1], gold[..., criterion.sides(labels) != 0].sum(axis=-1))
    raise RunError(f"no score {criterion.name!r}: {nearest(criterion.name, HEADLINES)}")


def _shares(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """part / whole, 0 where whole is 0."""
    whole = np.broadcast_to(whole, part.shape)
    return np.divide(part, whole, out=np.zeros_like(part), where=whole > 0)


def read_arm(frames: Frames, labels: Sequence[str], criterion: Criterion | None = None) -> Arm:
    """Count each seed's predictions by dialogue. Unlabelled utterances are left out.

    Raises RunError where there is no seed, a column is lacking, a label is not one of `labels`, no utterance is
    labelled, or the seeds' predictions are not of the same utterances.
    """
    if not frames:
        raise RunError("there are no predictions to compare: no seed is finished")
    first: pl.DataFrame | None = None
    judged, hits, predicted, sided = criterion or Criterion(), [], [], []
    columns = columns_of(labels, judged)
    for seed in sorted(frames):
        frame = _labelled(frames[seed], seed, columns)
        if first is None:
            first = frame
            names = frame["dialogue_id"].unique().sort()
            dialogue = _places(frame["dialogue_id"], names.to_list(), "dialogue", seed)
            gold = _places(frame["gold"], labels, "label", seed)
        elif not all(frame[name].equals(first[name]) for name in ("utterance_id", "dialogue_id", "gold")):
            raise RunError(
                f"predictions of seed {seed} are for other utterances or labels than those of seed {min(frames)}: score"
                " the run again with `erc evaluate RUN --split SPLIT`"
            )
        given = _places(frame["predicted"], labels, "label", seed)
        right = given == gold
        hits.append(_count(dialogue[right], gold[right], len(names), len(labels)))
        predicted.append(_count(dialogue, given, len(names), len(labels)))
        if judged.name == "binary_accuracy":
            of_gold = judged.sides(labels)[gold]
            chances = frame.select(columns[len(COLUMNS) :]).to_numpy()
            right = (of_gold != 0) & (predicted_positive(chances, labels, judged) == (of_gold > 0))
            sided.append(np.bincount(dialogue[right], minlength=len(names)).astype(np.float64))
    if first is None or not first.height:
        raise RunError("no utterance is labelled, so there is nothing to compare")
    return Arm(
        utterances=first["utterance_id"],
        utterance_dialogues=first["dialogue_id"],
        gold_labels=first["gold"],
        hits=np.stack(hits),
        predicted=np.stack(predicted),
        gold=_count(dialogue, gold, len(names), len(labels)),
        labels=tuple(labels),
        criterion=judged,
        sided=np.stack(sided) if sided else None,
    )


def columns_of(labels: Sequence[str], criterion: Criterion) -> list[str]:
    """The columns of predictions that are counted."""
    return [*COLUMNS, *(f"p_{label}" for label in labels if criterion.name == "binary_accuracy")]


def constant_arm(arm: Arm, place: int) -> Arm:
    """The arm of one head that gives every utterance the class at `place`."""
    hits, predicted = np.zeros((2, 1, *arm.gold.shape))
    hits[0, :, place] = arm.gold[:, place]
    predicted[0, :, place] = arm.gold.sum(axis=1)
    sided = None
    if arm.sided is not None:
        sides = arm.criterion.sides(arm.labels)
        wanted = sides < 0 if sides[place] < 0 else sides > 0  # of neither side counts as positive
        sided = arm.gold[:, wanted].sum(axis=1)[None]
    return replace(arm, hits=hits, predicted=predicted, sided=sided)


def check_same_utterances(a: Arm, b: Arm) -> None:
    """Raises RunError unless both arms are of the same labelled utterances, with the same dialogues and labels."""
    if not a.utterances.equals(b.utterances):
        only_a, only_b = (
            one.filter(~one.is_in(other.to_list()))
            for one, other in ((a.utterances, b.utterances), (b.utterances, a.utterances))
        )
        example = (only_a if len(only_a) else only_b)[0]
        raise RunError(
            f"A and B have predictions of other labelled utterances ({len(only_a)} only in A, {len(only_b)} only in B,"
            f" such as {example!r}): score both with one manifest (`erc evaluate RUN --split SPLIT --manifest M`)"
        )
    for name, one, other in (
        ("labels", a.gold_labels, b.gold_labels),
        ("dialogues", a.utterance_dialogues, b.utterance_dialogues),
    ):
        differ = one != other
        if differ.any():
            place = int(differ.arg_max() or 0)
            raise RunError(
                f"A and B have other {name} for {int(differ.sum())} utterances, such as {a.utterances[place]!r}"
                f" ({one[place]!r} and {other[place]!r}): score both with one manifest"
                " (`erc evaluate RUN --split SPLIT --manifest M`)"
            )


def _labelled(frame: pl.DataFrame, seed: int, columns: Sequence[str]) -> pl.DataFrame:
    """The columns that are counted, of labelled utterances, sorted by id."""
    lacking = [name for name in columns if name not in frame.columns]
    if lacking:
        raise RunError(
            f"predictions of seed {seed} have no column {lacking[0]}: make them again with"
            " `erc evaluate RUN --split SPLIT`"
        )
    return frame.select(columns).filter(pl.col("gold").is_not_null()).sort("utterance_id")


def _places(names: pl.Series, known: Sequence[str], what: str, seed: int) -> np.ndarray:
    """int64 [n]: the place of each name in `known`."""
    place = {name: index for index, name in enumerate(known)}
    found = names.replace_strict(place, default=None, return_dtype=pl.Int64)
    if found.null_count():
        unknown = names.filter(found.is_null())[0]
        raise RunError(
            f"predictions of seed {seed} hold the {what} {unknown!r}, which is not one of: {', '.join(known)}"
        )
    return found.to_numpy()


def _count(dialogue: np.ndarray, label: np.ndarray, dialogues: int, labels: int) -> np.ndarray:
    """float64 [d, c]: how often each label occurs in each dialogue."""
    flat = np.bincount(dialogue * labels + label, minlength=dialogues * labels)
    return flat.reshape(dialogues, labels).astype(np.float64)
