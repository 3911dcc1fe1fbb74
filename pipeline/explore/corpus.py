"""What a manifest says of its corpus: labels, durations, dialogues, speakers, repeated texts, missing clips.

No media is decoded, and no embedding read.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from features.manifest import Manifest, known_speaker
from pipeline.runs.slices import SECONDS, attributes

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
    durations:     `slices.SECONDS` of the utterances that have them; no_duration: how many have none
    lengths:       utterances of each dialogue
    speakers:      different names; new_speakers: utterances by a named speaker whom train has not, None for train and
                   where there is no train
    blank:         utterances without text; in_train: those whose text occurs verbatim in train, blank ones left out
                   (None as above). Both are counted from `slices.attributes`, as the slices of an evaluation are
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
    return [_facts(manifest, split, labels, "train" in there) for split in sorted(there, key=_place)]


def _place(split: str) -> int:
    return _ORDER.get(split, 2)


def _facts(manifest: Manifest, split: str, labels: Sequence[str], has_train: bool) -> SplitFacts:
    frame = manifest.frame.filter(pl.col("split") == split)
    counted = dict(frame["label"].value_counts().iter_rows())
    durations = frame.select(SECONDS)["duration"]
    speakers = frame.select(known_speaker())["speaker"].str.strip_chars()
    texts = frame["text"].str.strip_chars()
    is_compared = has_train and split != "train"
    sliced = attributes(manifest, split)
    return SplitFacts(
        split=split,
        utterances=len(frame),
        labels={label: counted.get(label, 0) for label in labels},
        unlabelled=frame["label"].null_count(),
        durations=Spread(durations.drop_nulls().to_numpy()),
        no_duration=durations.null_count(),
        lengths=Spread(frame.group_by("dialogue_id").len()["len"].to_numpy()),
        speakers=speakers.filter(speakers != "").n_unique(),
        new_speakers=_count(sliced["speaker-in-train"], "not seen in train") if is_compared else None,
        blank=_count(texts, ""),
        in_train=_count(sliced["text-in-train"], "verbatim") if is_compared else None,
        no_clip=frame["media"].null_count(),
        absent=_absent(manifest, frame),
        known_bad=sum(name in manifest.card.known_bad for name in frame["utterance_id"]),
    )


def _count(values: pl.Series, value: str) -> int:
    return int((values == value).sum())


def _absent(manifest: Manifest, frame: pl.DataFrame) -> int | None:
    root = manifest.media_root
    if root is None or not root.is_dir() or frame["media"].null_count() == len(frame):
        return None
    return sum(not (root / media).is_file() for media in frame["media"].drop_nulls())


def speaker_counts(manifest: Manifest) -> tuple[list[SpeakerCount], int, int]:
    """The MOST_SPEAKERS most frequent speakers, and how many others there are with how many utterances.

    Utterances by nobody named stand after the most frequent speakers, where there are any.
    """
    counted: dict[str, dict[str, int]] = {}
    by_speaker = manifest.frame.group_by(known_speaker().str.strip_chars(), "split").len()
    for speaker, split, number in by_speaker.iter_rows():
        counted.setdefault(speaker, {})[split] = number
    nobody = counted.pop("", None)
    speakers = [SpeakerCount(name, by_split) for name, by_split in counted.items()]
    speakers.sort(key=lambda item: (-item.utterances, item.speaker))
    rest = speakers[MOST_SPEAKERS:]
    shown = speakers[:MOST_SPEAKERS] + ([SpeakerCount("", nobody)] if nobody else [])
    return shown, len(rest), sum(item.utterances for item in rest)
