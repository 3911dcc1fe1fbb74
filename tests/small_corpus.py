"""A tiny labelled corpus and its stored features, drawn from a seed: what tests of heads and suites train on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl

from features.cards import DatasetCard
from features.errors import Reason, UnavailableError
from features.manifest import Manifest, build_manifest, frame_of, write_manifest
from features.spec import EncoderSpec
from features.store import write_feature

LABELS = ("joy", "anger", "neutral")  # on purpose not in alphabetical order
SIZES = {"train": 60, "dev": 24, "test": 24}
TURNS = 6

SENTENCE = EncoderSpec("text", "sentence", 1, "text", "vector", (8,), {"layers": "-3,-2,-1"}, "random", "0" * 64)
LOGMEL = EncoderSpec("audio", "logmel", 1, "media", "vector", (5,))
HOG = EncoderSpec("visual", "hog-colour", 1, "media", "vector", (4,))


def make_manifest(path: Path, unlabelled: int = 0) -> Manifest:
    """Written to `path`; the first `unlabelled` train utterances have no label."""
    generator = np.random.default_rng(0)
    rows = []
    for split, count in SIZES.items():
        for number in range(count):
            dialogue, turn = divmod(number, TURNS)
            label = LABELS[generator.integers(len(LABELS))]
            rows.append(
                {
                    "utterance_id": f"tiny/{split}/dia{dialogue}_utt{turn}",
                    "dataset": "tiny",
                    "split": split,
                    "dialogue_id": f"tiny/{split}/dia{dialogue}",
                    "turn": turn,
                    "speaker": "AB"[turn % 2],
                    "text": f"{split} {number}",
                    "label": None if split == "train" and number < unlabelled else label,
                    "media": f"{split}/{number}.mp4",
                }
            )
    card = DatasetCard("tiny", labels=LABELS, neutral="neutral")
    write_manifest(build_manifest(frame_of(rows), card, path.parent), path)
    return build_manifest(frame_of(rows), card, path.parent, path)


def embeddings(manifest: Manifest, spec: EncoderSpec, seed: int = 1, signal: float = 1.5) -> dict[str, np.ndarray]:
    """Noise, with the label shown in the first values. One dimension (the last) never varies."""
    generator = np.random.default_rng(seed)
    found = {}
    for utterance_id, label in manifest.frame.select("utterance_id", "label").iter_rows():
        vector = generator.normal(3.0, 2.0, spec.shape).astype(np.float32)
        if label is not None:
            vector[LABELS.index(label)] += signal * 2.0
        vector[-1] = 0.1
        found[utterance_id] = vector
    return found


def make_store(
    path: Path,
    manifest: Manifest,
    specs: tuple[EncoderSpec, ...] = (SENTENCE, LOGMEL, HOG),
    missing: tuple[int, ...] = (),
) -> Path:
    """Every feature of `specs`; media features miss the utterances whose row in the manifest is in `missing`."""
    for number, spec in enumerate(specs):
        gone = {
            manifest.ids[row]: UnavailableError(Reason.NO_FILE, "gone") for row in missing if spec.depends == "media"
        }
        write_feature(path, spec, manifest, embeddings(manifest, spec, seed=number), gone)
    return path


def edited(manifest: Manifest, path: Path, utterance_id: str, **values: object) -> Manifest:
    """A copy of the manifest, written to `path`, with one utterance changed."""
    changes = [
        pl.when(pl.col("utterance_id") == utterance_id).then(pl.lit(value)).otherwise(pl.col(name)).alias(name)
        for name, value in values.items()
    ]
    changed = build_manifest(manifest.frame.with_columns(changes), manifest.card, manifest.media_root, path)
    write_manifest(changed, path)
    return changed
