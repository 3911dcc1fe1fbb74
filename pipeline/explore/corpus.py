"""What a manifest says of its corpus: labels, durations, dialogues, speakers, repeated texts, missing clips.

No media is decoded, and no embedding read.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from features.manifest import Manifest

_ORDER = {"train": 0, "dev": 1, "test": 3}
QUANTILES = (0.0, 0.05, 0.5, 0.95, 1.0)
MOST_SPEAKERS = 15


@dataclass(frozen=True)
class Spread:
    """How numbers are spread: what was measured, how many there are, their mean and QUANTILES (linear)."""

    values: np.ndarray

    @property
    def count(self) -> int:
        return len(self.values)

    @property
    def mean(self) -> float:
        return float(self.values.mean())

    @property
    def quantiles(self) -> tuple[float, ...]:
        return tuple(float(value) for value in np.quantile(self.values, QUANTILES))

    def document(self) -> dict[str, Any]:
        """JSON-ready; nulls where there is nothing."""
        names = ("min", "p05", "median", "p95", "max")
        quantiles = self.quantiles if self.count else (None,) * len(names)
        return {
            "count": self.count,
            "mean": self.mean if self.count else None,
            **dict(zip(names, quantiles, strict=True)),
        }


@dataclass(frozen=True)
class SpeakerCount:
    """speaker: empty where nobody is named. by_split: split -> utterances."""

    speaker: str
    by_split: dict[str, int]

    @property
    def utterances(self) -> int:
        return sum(self.by_split.values())


@dataclass(frozen=True)
class SplitFacts:
    """One split.

    labels:        label -> utterances, in the card's order; unlabelled: those without one
    durations:     annotated seconds of the utterances that have them; no_duration: how many have none
    lengths:       utterances of each dialogue
    speakers:      different names; new_speakers: utterances by someone whom train has not, None for train and where
                   there is no train
    blank:         utterances without text; in_train: those whose text occurs verbatim in train (None as above)
    no_clip:       utterances for which the manifest names no clip; absent: clips that are not on disk, None where the
                   clips' folder is not known or not here; known_bad: utterances whose clip the card lists as wrong
    """

    split: str
    utterances: int
    labels: dict[str, int]
    unlabelled: int
    durations: Spread
    no_duration: int
    lengths: Spread
    speakers: int
    new_speakers: int | None
    blank: int
    in_train: int | None
    no_clip: int
    absent: int | None
    known_bad: int


def split_facts(manifest: Manifest) -> list[SplitFacts]:
    """Every split: train, dev, others as they come, test."""
    frame = manifest.frame
    there = frame["split"].unique(maintain_order=True).to_list()
    labels = manifest.card.labels or tuple(sorted(frame["label"].drop_nulls().unique()))
    train = frame.filter(pl.col("split") == "train")
    known = (set(train["speaker"]), set(train["text"])) if len(train) else None
    return [_facts(manifest, split, labels, known) for split in sorted(there, key=lambda name: _ORDER.get(name, 2))]


def _facts(
    manifest: Manifest, split: str, labels: Sequence[str], known: tuple[set[str], set[str]] | None
) -> SplitFacts:
    frame = manifest.frame.filter(pl.col("split") == split)
    counted = dict(frame["label"].value_counts().iter_rows())
    durations = frame["duration"].drop_nulls()
    compared = known if split != "train" else None
    return SplitFacts(
        split=split,
        utterances=len(frame),
        labels={label: counted.get(label, 0) for label in labels},
        unlabelled=frame["label"].null_count(),
        durations=Spread(durations.to_numpy()),
        no_duration=frame["duration"].null_count(),
        lengths=Spread(frame.group_by("dialogue_id").len()["len"].to_numpy()),
        speakers=frame["speaker"].n_unique(),
        new_speakers=sum(name not in compared[0] for name in frame["speaker"]) if compared else None,
        blank=sum(not text.strip() for text in frame["text"]),
        in_train=sum(text in compared[1] for text in frame["text"]) if compared else None,
        no_clip=frame["media"].null_count(),
        absent=_absent(manifest, frame),
        known_bad=sum(name in manifest.card.known_bad for name in frame["utterance_id"]),
    )


def _absent(manifest: Manifest, frame: pl.DataFrame) -> int | None:
    root = manifest.media_root
    if root is None or not root.is_dir() or frame["media"].null_count() == len(frame):
        return None
    return sum(not (root / media).is_file() for media in frame["media"].drop_nulls())


def speaker_counts(manifest: Manifest) -> tuple[list[SpeakerCount], int, int]:
    """The MOST_SPEAKERS most frequent speakers, and how many others there are with how many utterances."""
    counted: dict[str, dict[str, int]] = {}
    for speaker, split, number in manifest.frame.group_by("speaker", "split").len().iter_rows():
        counted.setdefault(speaker, {})[split] = number
    speakers = [SpeakerCount(name, by_split) for name, by_split in counted.items()]
    speakers.sort(key=lambda item: (-item.utterances, item.speaker))
    rest = speakers[MOST_SPEAKERS:]
    return speakers[:MOST_SPEAKERS], len(rest), sum(item.utterances for item in rest)
