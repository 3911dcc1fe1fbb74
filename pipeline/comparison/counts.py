"""Predictions of several seeds as counts of each dialogue, and the scores of sums of them.

s seeds, d dialogues, c classes, r replicates. The scores of some dialogues need no more of their confusion matrix than
its diagonal (hits) and its column and row sums (predicted, gold), and all three add up over dialogues.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import polars as pl

from features.errors import RunError

Frames = Mapping[int, pl.DataFrame]
"""Seed -> predictions of one run on one split: utterance_id, dialogue_id, gold (null where unlabelled), predicted and
p_LABEL. Rows in any order."""

COLUMNS = ("utterance_id", "dialogue_id", "gold", "predicted")


@dataclass(frozen=True)
class Scores:
    """Scores of r sets of predictions, float64 fractions: weighted_f1 [r], accuracy [r], class_f1 [r, c]."""

    weighted_f1: np.ndarray
    accuracy: np.ndarray
    class_f1: np.ndarray

    def minus(self, other: Scores) -> Scores:
        return Scores(
            self.weighted_f1 - other.weighted_f1, self.accuracy - other.accuracy, self.class_f1 - other.class_f1
        )

    def mean(self) -> Scores:
        """Of one set: the mean over the first axis."""
        return Scores(*(part.mean(axis=0, keepdims=True) for part in (self.weighted_f1, self.accuracy, self.class_f1)))


@dataclass(frozen=True)
class Arm:
    """One configuration's predictions of the labelled utterances, of several seeds.

    utterances: ids, sorted; gold_labels, utterance_dialogues: of these
    hits:       float64 [s, d, c], utterances of the class that were predicted right (whole numbers)
    predicted:  float64 [s, d, c], utterances that were given the class
    gold:       float64 [d, c], utterances of the class
    """

    utterances: pl.Series
    utterance_dialogues: pl.Series
    gold_labels: pl.Series
    hits: np.ndarray
    predicted: np.ndarray
    gold: np.ndarray

    @property
    def seeds(self) -> int:
        return len(self.hits)

    @property
    def dialogues(self) -> int:
        return len(self.gold)

    @cached_property
    def table(self) -> np.ndarray:
        """float64 [s, d, 2c]: hits, then predicted."""
        return np.concatenate([self.hits, self.predicted], axis=2)

    def seed_scores(self) -> Scores:
        """On all dialogues, of each seed: r = s."""
        return scores(self.table.sum(axis=1), self.gold.sum(axis=0))


def scores(table: np.ndarray, gold: np.ndarray) -> Scores:
    """Scores of summed counts; as scikit-learn's with zero_division 0 and all labels.

    table: float64 [..., 2c], hits and predicted; gold: float64 [c] or [..., c], with at least one utterance
    """
    classes = gold.shape[-1]
    hits, predicted = table[..., :classes], table[..., classes:]
    denominator = predicted + gold
    f1 = np.divide(2 * hits, denominator, out=np.zeros_like(denominator), where=denominator > 0)
    total = gold.sum(axis=-1)
    return Scores((f1 * gold).sum(axis=-1) / total, hits.sum(axis=-1) / total, f1)


def read_arm(frames: Frames, labels: Sequence[str]) -> Arm:
    """Count each seed's predictions by dialogue. Unlabelled utterances are left out.

    Raises RunError where there is no seed, a column is lacking, a label is not one of `labels`, no utterance is
    labelled, or the seeds' predictions are not of the same utterances.
    """
    if not frames:
        raise RunError("there are no predictions to compare: no seed is finished")
    first: pl.DataFrame | None = None
    hits, predicted = [], []
    for seed in sorted(frames):
        frame = _labelled(frames[seed], seed)
        if first is None:
            first = frame
            names = frame["dialogue_id"].unique().sort()
            dialogue = _places(frame["dialogue_id"], names.to_list(), "dialogue", seed)
            gold = _places(frame["gold"], labels, "label", seed)
        elif not all(frame[name].equals(first[name]) for name in ("utterance_id", "dialogue_id", "gold")):
            raise RunError(
                f"predictions of seed {seed} are of other utterances or labels than those of seed {min(frames)}: score"
                " the run again with `erc evaluate RUN --split SPLIT`"
            )
        given = _places(frame["predicted"], labels, "label", seed)
        right = given == gold
        hits.append(_count(dialogue[right], gold[right], len(names), len(labels)))
        predicted.append(_count(dialogue, given, len(names), len(labels)))
    if first is None or not first.height:
        raise RunError("no utterance is labelled, so there is nothing to compare")
    return Arm(
        utterances=first["utterance_id"],
        utterance_dialogues=first["dialogue_id"],
        gold_labels=first["gold"],
        hits=np.stack(hits),
        predicted=np.stack(predicted),
        gold=_count(dialogue, gold, len(names), len(labels)),
    )


def constant_arm(arm: Arm, place: int) -> Arm:
    """The arm of one head that gives every utterance the class at `place`."""
    hits, predicted = np.zeros((2, 1, *arm.gold.shape))
    hits[0, :, place] = arm.gold[:, place]
    predicted[0, :, place] = arm.gold.sum(axis=1)
    return Arm(arm.utterances, arm.utterance_dialogues, arm.gold_labels, hits, predicted, arm.gold)


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


def _labelled(frame: pl.DataFrame, seed: int) -> pl.DataFrame:
    """The columns that are counted, of labelled utterances, sorted by id."""
    lacking = [name for name in COLUMNS if name not in frame.columns]
    if lacking:
        raise RunError(
            f"predictions of seed {seed} have no column {lacking[0]}: make them again with"
            " `erc evaluate RUN --split SPLIT`"
        )
    return frame.select(COLUMNS).filter(pl.col("gold").is_not_null()).sort("utterance_id")


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
