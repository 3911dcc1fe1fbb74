"""The rows of a manifest that a head sees: who speaks where, and the labels."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import polars as pl

from features.digests import digest_of
from features.errors import ManifestError, nearest
from features.manifest import Manifest, known_speaker
from heads.criterion import Criterion

UNLABELLED = -1
HELD_OUT = "held-out"
"""What an outer fold scores and training never sees the labels of, where folds are nested."""


@dataclass(frozen=True)
class Utterances:
    """The rows that a head sees, in the manifest's order: whole dialogues, each in the order of its turns.

    ids:       utterance ids [n]
    splits:    str array [n]
    labels:    int64 [n], places in `label_names`; UNLABELLED (-1) where the manifest has none
    label_names: the dataset card's labels, in its order
    dialogue_ids: the manifest's `dialogue_id` [n]
    dialogues: int64 [n], equal for the utterances of one dialogue, ascending
    slots:     int64 [n], the speaker's slot within the dialogue: 0 for who speaks first, then 1, ...; a turn by nobody
               known has a slot of its own
    speakers:  names [n]; '' where nobody is named
    sentiments: int64 [n], places in `sentiment_names` (sorted); -1 where the manifest has none
    groups:    the manifest's `group` [n]: what must not be split between folds
    criterion: the score of the dataset card that epochs are chosen by
    """

    ids: list[str]
    splits: np.ndarray
    labels: np.ndarray
    label_names: tuple[str, ...]
    dialogue_ids: list[str]
    dialogues: np.ndarray
    slots: np.ndarray
    speakers: list[str]
    sentiments: np.ndarray
    sentiment_names: tuple[str, ...]
    groups: list[str | None]
    criterion: Criterion = field(default_factory=Criterion)

    def __len__(self) -> int:
        return len(self.ids)

    def rows(self, split: str) -> np.ndarray:
        """int64: the positions of a split's utterances."""
        return np.flatnonzero(self.splits == split)

    def take(self, rows: np.ndarray) -> Utterances:
        """The utterances at these places (int64, ascending), with the slots and dialogue numbers that they have."""
        return replace(
            self,
            ids=[self.ids[row] for row in rows],
            splits=self.splits[rows],
            labels=self.labels[rows],
            dialogue_ids=[self.dialogue_ids[row] for row in rows],
            dialogues=self.dialogues[rows],
            slots=self.slots[rows],
            speakers=[self.speakers[row] for row in rows],
            sentiments=self.sentiments[rows],
            groups=[self.groups[row] for row in rows],
        )

    def without_labels(self, split: str) -> Utterances:
        """The same utterances, those of one split unlabelled, so that nothing can be learnt from their labels."""
        hidden = self.splits == split
        return replace(
            self,
            labels=np.where(hidden, UNLABELLED, self.labels),
            sentiments=np.where(hidden, UNLABELLED, self.sentiments),
        )

    def counts(self, split: str) -> np.ndarray:
        """int64 [labels]: labelled utterances of each class."""
        labels = self.labels[self.rows(split)]
        return np.bincount(labels[labels != UNLABELLED], minlength=len(self.label_names))

    def digest(self) -> str:
        """Over all that a head is trained on and judged by, apart from the features."""
        strangers = ["strangers-apart"] if "" in self.speakers else []
        return digest_of(
            "utterances",
            self.ids,
            self.splits.tolist(),
            self.labels.tolist(),
            list(self.label_names),
            self.dialogues.tolist(),
            self.speakers,
            self.sentiments.tolist(),
            list(self.sentiment_names),
            *self.criterion.key(),
            *strangers,
        )

    def frequent_speakers(self, min_rows: int) -> tuple[str, ...]:
        """The named speakers with at least so many train utterances, the most frequent first, then by name."""
        counts = Counter(name for row in self.rows("train") if (name := self.speakers[row]))
        frequent = [name for name, count in counts.items() if count >= min_rows]
        return tuple(sorted(frequent, key=lambda name: (-counts[name], name)))


def read_utterances(manifest: Manifest, splits: Sequence[str]) -> Utterances:
    """The utterances of these splits and of no other. Raises ManifestError for a label that the dataset card lacks."""
    frame = manifest.select_splits(splits).frame
    names = manifest.card.labels
    where, card = manifest.path or "the manifest", manifest.card.dataset
    if not names:
        raise ManifestError(f"{where}: its dataset card ({card}) lists no labels: heads need their order")
    for label in frame["label"].drop_nulls().unique(maintain_order=True):
        if label not in names:
            raise ManifestError(
                f"{where}: label {label!r} is not on its dataset card ({card}): {nearest(label, names)}"
            )
    sentiments = tuple(sorted(frame["sentiment"].drop_nulls().unique()))
    speakers = frame.select(known_speaker())["speaker"].to_list()
    dialogues = frame["dialogue_id"].rle_id().to_numpy().astype(np.int64)
    return Utterances(
        ids=frame["utterance_id"].to_list(),
        splits=np.array(frame["split"].to_list(), dtype=object),
        labels=_places(frame["label"], names),
        label_names=names,
        dialogue_ids=frame["dialogue_id"].to_list(),
        dialogues=dialogues,
        slots=_slots(dialogues, speakers),
        speakers=speakers,
        sentiments=_places(frame["sentiment"], sentiments),
        sentiment_names=sentiments,
        groups=frame["group"].to_list(),
        criterion=Criterion.of_card(manifest.card),
    )


def _places(names: pl.Series, known: Sequence[str]) -> np.ndarray:
    places: np.ndarray = (
        names.cast(pl.Enum(known)).to_physical().cast(pl.Int64).fill_null(UNLABELLED).to_numpy(writable=True)
    )
    return places


def _slots(dialogues: np.ndarray, speakers: Sequence[str]) -> np.ndarray:
    """int64 [n]; speakers: '' where nobody is named, who is a stranger each time"""
    slots: list[int] = []
    seen: dict[str | int, int] = {}
    for row, (is_first, name) in enumerate(zip(np.diff(dialogues, prepend=-1).tolist(), speakers, strict=True)):
        if is_first:
            seen = {}
        slots.append(seen.setdefault(name or row, len(seen)))
    return np.array(slots, np.int64)
