"""A small corpus with stored embeddings: two splits to learn and score on, one that must never be read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from store_factory import make_spec

from features.cards import DatasetCard
from features.errors import Reason, UnavailableError
from features.manifest import Manifest, build_manifest, frame_of, write_manifest
from features.spec import EncoderSpec
from features.store import Feature, write_feature

LABELS = ("anger", "joy", "neutral")
CARD = DatasetCard("toy", title="Toy <i>corpus</i>", labels=LABELS, neutral="neutral")
SPLITS = {"train": 120, "dev": 40, "test": 20}
WIDTH = 8
HOSTILE = "<script>alert(1)</script> & <b>bold</b>"


def make_corpus(card: DatasetCard = CARD, **columns: Any) -> Manifest:
    """Half of the utterances neutral, three of ten joy, two of ten anger; dialogues of ten turns. `columns` are extra
    ones: constants, or functions of (split, number)."""
    rows: list[dict[str, Any]] = []
    for split, size in SPLITS.items():
        for number in range(size):
            row = {
                "utterance_id": f"toy/{split}/dia{number // 10}_utt{number % 10}",
                "dataset": "toy",
                "split": split,
                "dialogue_id": f"toy/{split}/dia{number // 10}",
                "turn": number % 10,
                "speaker": f"speaker {min(number % 10, number % 7)}",
                "text": HOSTILE if number == 0 else f"text {split} {number}",
                "label": LABELS[(2, 2, 2, 2, 2, 1, 1, 1, 0, 0)[number % 10]],
                "duration": 0.5 + number % 4,
            }
            rows.append(
                row | {key: value(split, number) if callable(value) else value for key, value in columns.items()}
            )
    return build_manifest(frame_of(rows), card)


def vectors(manifest: Manifest, shape: tuple[int, ...] = (WIDTH,), seed: int = 0) -> dict[str, np.ndarray]:
    """Noise, moved by the label along its own direction."""
    random = np.random.default_rng(seed)
    found = {}
    for name, label in manifest.frame.select("utterance_id", "label").iter_rows():
        value = random.normal(size=shape).astype(np.float32) * 3 + 5
        value[..., LABELS.index(label) if label in LABELS else 0] += 6
        found[name] = value
    return found


def store_feature(
    store: Path,
    manifest: Manifest,
    values: dict[str, np.ndarray] | None = None,
    missing: tuple[str, ...] = (),
    **spec: Any,
) -> Feature:
    """values: None for `vectors`; missing: ids without a clip."""
    made: EncoderSpec = make_spec(**({"shape": (WIDTH,)} | spec))
    gone = {name: UnavailableError(Reason.NO_MEDIA) for name in missing}
    write_feature(store, made, manifest, vectors(manifest, made.shape) if values is None else values, gone)
    return Feature(store, made.folder)


def save(manifest: Manifest, folder: Path) -> Path:
    return write_manifest(manifest, folder / "manifest.parquet")
