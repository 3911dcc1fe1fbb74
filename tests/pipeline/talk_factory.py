"""Fake runs with a manifest of texts and with predictions, scored by the code that scores real ones."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from run_factory import MELD_LABELS, hash_of, make_run, write_json

from features.cards import DatasetCard
from features.digests import sha256_file
from features.manifest import Manifest, build_manifest, frame_of, read_manifest, write_manifest
from pipeline.runs.features_file import ManifestFacts
from pipeline.runs.predictions import split_metrics
from pipeline.runs.slices import attributes

SPEAKERS = ("Ross", "Monica", "Joey", "Rachel")
TURNS = 5  # of a dialogue
WORDS = ("Well", "you know", "that is", "not at all", "what I meant", "a long story", "when we met", "last Tuesday")


def make_talk(path: Path, labels: Sequence[str] = MELD_LABELS, dialogues: int = 8, texts: Sequence[str] = ()) -> Path:
    """Write a manifest: `dialogues` dialogues of TURNS turns in each split. texts: of dev's first utterances."""
    draw = np.random.default_rng(7)
    rows = []
    for split in ("train", "dev", "test"):
        for number in range(dialogues * TURNS):
            turn = number % TURNS
            spoken = ", ".join(draw.choice(WORDS, size=3)) + f" ({split} {number})."
            rows.append(
                {
                    "utterance_id": f"meld/{split}/dia{number // TURNS}_utt{turn}",
                    "dataset": "meld",
                    "split": split,
                    "dialogue_id": f"meld/{split}/dia{number // TURNS}",
                    "turn": turn,
                    "speaker": SPEAKERS[int(draw.integers(len(SPEAKERS)))],
                    "text": texts[number] if split == "dev" and number < len(texts) else spoken,
                    "label": labels[number % len(labels)],
                    "duration": float(draw.uniform(0.5, 6)),
                }
            )
    card = DatasetCard("meld", "MELD", tuple(labels), neutral="neutral" if "neutral" in labels else None)
    return write_manifest(build_manifest(frame_of(rows), card), path)


def make_talk_run(
    runs: Path,
    name: str,
    talk: Path,
    *,
    splits: Sequence[str] = ("dev",),
    skill: float = 0.5,
    seeds: Sequence[int] = (0, 1),
    **settings: Any,
) -> Path:
    """A run that was trained on that manifest. skill: how much the gold label's chances are raised, from 0 on."""
    manifest = read_manifest(talk)
    labels = manifest.card.labels
    folder = make_run(
        runs, name, seeds=seeds, splits=(), labels=labels, neutral=manifest.card.neutral,
        support={split: [1] * len(labels) for split in ("train", "dev", "test")}, **settings,
    )  # fmt: skip
    record = json.loads((folder / "features.json").read_text(encoding="utf-8"))
    record["manifest"] |= {"path": str(talk), "sha256": sha256_file(talk)}
    write_json(folder / "features.json", record)
    for split in splits:
        frames = {seed: predictions(manifest, split, name, seed, skill) for seed in seeds}
        for seed, frame in frames.items():
            frame.write_parquet(folder / f"seed-{seed}" / f"predictions-{split}.parquet")
        facts = ManifestFacts.model_validate(record["manifest"])
        scores = split_metrics(name, split, frames, facts, {}, attributes(manifest, split))
        write_json(folder / f"metrics-{split}.json", scores.model_dump(mode="json"))
    return folder


def predictions(manifest: Manifest, split: str, name: str, seed: int, skill: float) -> pl.DataFrame:
    """Of one seed, in the form of `pipeline.runs.predictions.prediction_frame`."""
    labels = manifest.card.labels
    frame = manifest.frame.filter(pl.col("split") == split)
    draw = np.random.default_rng(hash_of(name, split, seed) % 2**32)
    gold = np.array([labels.index(label) for label in frame["label"]])
    scores = draw.normal(size=(len(gold), len(labels)))
    scores[np.arange(len(gold)), gold] += 4 * skill
    chances = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    return pl.DataFrame(
        {
            "utterance_id": frame["utterance_id"],
            "dialogue_id": frame["dialogue_id"],
            "gold": frame["label"],
            "predicted": [labels[place] for place in chances.argmax(axis=1)],
            **{f"p_{label}": chances[:, place].astype(np.float32) for place, label in enumerate(labels)},
            "no_input": [False] * len(gold),
            "missing": [[]] * len(gold),
        },
        schema_overrides={"missing": pl.List(pl.String)},
    )
