"""Talks as a manifest, which is what encoders and heads read."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import polars as pl

from features.cards import DatasetCard
from features.manifest import Manifest, build_manifest
from pipeline.predict.turns import Talk
from pipeline.runs.folder import Run

SPLIT = "predict"


def talk_manifest(talks: Sequence[Talk], run: Run, root: Path | None = None) -> Manifest:
    """A manifest of these talks, in their order, with a run's labels and none of its own.

    root: the media root, above all clips. None: the folder that these share, so that another clip may change how the
          others are named
    """
    root = root or shared_folder(talks)
    rows = [
        {
            "utterance_id": f"{SPLIT}/{talk.name}_utt{place}",
            "dataset": SPLIT,
            "split": SPLIT,
            "dialogue_id": f"{SPLIT}/{talk.name}",
            "turn": place,
            "speaker": turn.speaker.strip(),
            "text": turn.text.strip(),
            "media": None if turn.clip is None or root is None else turn.clip.resolve().relative_to(root).as_posix(),
            "start": turn.start,
            "end": turn.end,
        }
        for talk in talks
        for place, turn in enumerate(talk.turns)
    ]
    schema = {"media": pl.String, "start": pl.Float64, "end": pl.Float64}
    frame = pl.DataFrame(rows, schema_overrides=schema, infer_schema_length=None)
    return build_manifest(frame.with_columns(label=pl.lit(None, pl.String)), card_of(run), root)


def card_of(run: Run) -> DatasetCard:
    """The labels of a run's corpus, in its order, and which of them is neutral."""
    facts = run.features.manifest
    return DatasetCard(SPLIT, title=f"predicted by {run.name}", labels=run.labels, neutral=facts.neutral)


def shared_folder(talks: Sequence[Talk]) -> Path | None:
    """The folder that all clips of some talks share, wherever they lie; None where there are none."""
    clips = {turn.clip.resolve() for talk in talks for turn in talk.turns if turn.clip is not None}
    return Path(os.path.commonpath([clip.parent for clip in clips])) if clips else None
