"""Small manifests for tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from features.cards import DatasetCard
from features.manifest import Manifest, build_manifest, frame_of
from features.sources import Depends

DEPENDS: tuple[Depends, ...] = ("text", "dialogue", "media")
CARD = DatasetCard("toy", labels=("joy", "neutral"), neutral="neutral", known_bad={"toy/train/d0_u1": "cut wrongly"})


def row(dialogue: int = 0, turn: int = 0, split: str = "train", **values: Any) -> dict[str, Any]:
    return {
        "utterance_id": f"toy/{split}/d{dialogue}_u{turn}",
        "dataset": "toy",
        "split": split,
        "dialogue_id": f"toy/{split}/d{dialogue}",
        "turn": turn,
        "speaker": "Ann" if turn % 2 else "Bo",
        "text": f"words {dialogue} {turn}",
    } | values


def build(*rows: dict[str, Any], card: DatasetCard = CARD) -> Manifest:
    return build_manifest(frame_of(rows), card, Path("/media"))
