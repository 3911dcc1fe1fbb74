"""Predictions for the run folders of run_factory, and the metrics that the project's own code makes of them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from run_factory import hash_of, write_json

from pipeline.runs.features_file import ManifestFacts
from pipeline.runs.metrics_file import Coverage
from pipeline.runs.predictions import split_metrics

TURNS = 10
ATTRIBUTES: dict[str, tuple[str, ...]] = {
    "emotion-shift": ("shift", "no-shift", "first-turn-of-speaker"),
    "turn": ("0", "1-4", "5-9", "10-"),
    "duration": ("under 1 s", "1-2 s", "2-4 s", "4 s and more", "unknown"),
    "speaker": ("lead", "other"),
    "speaker-in-train": ("seen in train", "not seen in train"),
    "text-in-train": ("verbatim", "new"),
}


def add_predictions(
    folder: Path, split: str = "dev", *, skill: float = 0.5, lacking: str | None = None, dialogue_ids: bool = True
) -> dict[str, Any]:
    """Replace a run's scores on a split by those of drawn predictions, which are written beside; return the metrics.

    skill:   share of utterances predicted right, before chance. Utterances are equally hard for every run
    lacking: a modality that one utterance in ten lacks
    """
    known = json.loads((folder / f"metrics-{split}.json").read_text())
    manifest = json.loads((folder / "features.json").read_text())["manifest"]
    labels, seeds = known["labels"], known["seeds"]
    gold, ids, dialogues = corpus_of(labels, known["support"], split)
    hard = np.random.default_rng(hash_of(split, "hard") % 2**32).random(len(gold))
    prior = np.array([manifest["train_label_counts"][label] for label in labels], dtype=float)
    frames = {}
    for seed in seeds:
        draw = np.random.default_rng(hash_of(folder.name, split, seed) % 2**32)
        right = hard + 0.1 * draw.standard_normal(len(gold)) < skill
        predicted = np.where(right, gold, draw.choice(len(labels), size=len(gold), p=prior / prior.sum()))
        frames[seed] = _frame(labels, gold, ids, dialogues, predicted, lacking)
        written = frames[seed] if dialogue_ids else frames[seed].drop("dialogue_id")
        written.write_parquet(folder / f"seed-{seed}" / f"predictions-{split}.parquet")
    facts = ManifestFacts.model_validate(manifest)
    coverage = {folder: Coverage.model_validate(counts) for folder, counts in known["coverage"].items()}
    scores = split_metrics(known["experiment"], split, frames, facts, coverage, _attributes(ids))
    metrics: dict[str, Any] = scores.model_dump(mode="json")
    write_json(folder / f"metrics-{split}.json", metrics)
    return metrics


def corpus_of(labels: Sequence[str], support: dict[str, int], split: str) -> tuple[np.ndarray, list[str], list[str]]:
    """Gold labels in a drawn order, utterance ids and dialogue ids, ten turns a dialogue."""
    gold = np.repeat(np.arange(len(labels)), [support[label] for label in labels])
    np.random.default_rng(hash_of(split, "order") % 2**32).shuffle(gold)
    ids = [f"corpus/{split}/dia{row // TURNS}_utt{row % TURNS}" for row in range(len(gold))]
    return gold, ids, [name.rsplit("_", 1)[0] for name in ids]


def _frame(
    labels: Sequence[str],
    gold: np.ndarray,
    ids: list[str],
    dialogues: list[str],
    predicted: np.ndarray,
    lacking: str | None,
) -> pl.DataFrame:
    chances = np.full((len(gold), len(labels)), 0.4 / len(labels), dtype=np.float32)
    chances[np.arange(len(gold)), predicted] += 0.6
    missing = [[lacking] if lacking and row % 10 == 0 else [] for row in range(len(gold))]
    return pl.DataFrame(
        {
            "utterance_id": ids,
            "dialogue_id": dialogues,
            "gold": [labels[place] for place in gold],
            "predicted": [labels[place] for place in predicted],
            **{f"p_{label}": chances[:, place] for place, label in enumerate(labels)},
            "no_input": [False] * len(gold),
            "missing": missing,
        },
        schema_overrides={"missing": pl.List(pl.String)},
    )


def _attributes(ids: list[str]) -> pl.DataFrame:
    columns = {
        group: [names[(row + row // TURNS) % len(names)] for row in range(len(ids))]
        for group, names in ATTRIBUTES.items()
    }
    return pl.DataFrame({"utterance_id": ids, **columns})
