"""A drawn corpus with ids as MELD's and its stored features, for exports to tools."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from features.cards import DatasetCard
from features.errors import Reason, UnavailableError
from features.manifest import Manifest, build_manifest, frame_of, read_manifest, write_manifest
from features.spec import EncoderSpec
from features.store import Feature, Store, write_feature

EMOTIONS = ("anger", "disgust", "fear", "joy", "neutral", "sadness", "surprise")
SENTIMENTS = ("negative", "neutral", "positive")

WORDS = EncoderSpec("text", "sentence", 1, "text", "vector", (6,))
LAYERS = EncoderSpec("text", "layers", 1, "text", "stack", (2, 3), stored_dtype="float16")
TOKENS = EncoderSpec("text", "tokens", 1, "text", "sequence", (4,))
SOUND = EncoderSpec("audio", "logmel", 1, "text", "vector", (5,), stored_dtype="float16")
FRAMES = EncoderSpec("audio", "wave.frames", 1, "text", "sequence", (3,))
WAVE = EncoderSpec("audio", "waveform", 1, "text", "sequence", (), stored_dtype="float16")
FACES = EncoderSpec("visual", "hog-colour", 1, "text", "vector", (2,))
SPECS = (WORDS, LAYERS, TOKENS, SOUND, FRAMES, WAVE, FACES)


@dataclass
class Corpus:
    """made: encoder -> utterance_id -> what was stored; gone: (encoder, utterance_id) that have no embedding."""

    root: Path
    manifest: Manifest
    made: dict[str, dict[str, np.ndarray]]
    gone: set[tuple[str, str]]

    def feature(self, spec: EncoderSpec) -> Feature:
        return Store(self.root / "store", self.manifest).choose(spec.modality, spec.encoder)

    def features(self, *specs: EncoderSpec) -> tuple[Feature, ...]:
        return tuple(self.feature(spec) for spec in specs)

    def row(self, utterance_id: str) -> dict[str, Any]:
        return self.manifest.frame.row(self.manifest.positions[utterance_id], named=True)


def make_rows(rng: np.random.Generator) -> list[dict[str, Any]]:
    """Splits out of order and of unequal sizes; turns with gaps; the same dialogue numbers in each split."""
    rows = []
    for split, dialogues in (("test", 3), ("train", 5), ("dev", 2)):
        for dialogue in range(dialogues):
            turns = sorted(rng.choice(9, rng.integers(1, 6), replace=False).tolist())
            for turn in turns:
                rows.append(
                    {
                        "utterance_id": f"toy/{split}/dia{dialogue}_utt{turn}",
                        "dataset": "toy",
                        "split": split,
                        "dialogue_id": f"toy/{split}/dia{dialogue}",
                        "turn": turn,
                        "speaker": ["Ross", "Rachel", "unknown"][rng.integers(3)],
                        "text": f"said {split} {dialogue} {turn} \u00e9\u2028\U0001f600",
                        "label": EMOTIONS[rng.integers(7)],
                        "sentiment": SENTIMENTS[rng.integers(3)],
                        "duration": float(rng.random()) if rng.random() < 0.8 else None,
                        "group": f"film{dialogue}" if rng.random() < 0.8 else None,
                    }
                )
    return rows


def make_corpus(
    root: Path, seed: int = 0, specs: tuple[EncoderSpec, ...] = SPECS, card: DatasetCard | None = None, **changes: Any
) -> Corpus:
    """changes: columns, as functions of the row's number and its drawn value."""
    rng = np.random.default_rng(seed)
    rows = make_rows(rng)
    for number, row in enumerate(rows):
        row |= {name: change(number, row.get(name)) for name, change in changes.items()}
    card = card or DatasetCard("toy", "Toy talks", EMOTIONS, "neutral", licence="CC-BY-4.0", synthetic=True)
    write_manifest(build_manifest(frame_of(rows), card), root / "manifest.parquet")
    manifest = read_manifest(root / "manifest.parquet")
    made: dict[str, dict[str, np.ndarray]] = {}
    gone = set()
    for spec in specs:
        values = {}
        for key in manifest.ids:
            shape = (int(rng.integers(1, 9)), *spec.shape) if spec.kind == "sequence" else spec.shape
            values[key] = rng.standard_normal(shape).astype(spec.stored_dtype)
        without = {key for key in manifest.ids if rng.random() < 0.1}
        lost = {key: UnavailableError(Reason.NO_TEXT) for key in without}
        write_feature(root / "store", spec, manifest, values, lost)
        made[spec.encoder] = {key: value for key, value in values.items() if key not in without}
        gone |= {(spec.encoder, key) for key in without}
    return Corpus(root, manifest, made, gone)
