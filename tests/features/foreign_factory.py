"""A corpus in MELD's layout, whose ids restart in each split, and the files that others make of it."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np

from features.cards import DatasetCard
from features.manifest import Manifest, build_manifest, frame_of

LABELS = ("neutral", "joy", "anger")
EMOTIONS = {
    "neutral": 0,
    "surprise": 1,
    "fear": 2,
    "sadness": 3,
    "joy": 4,
    "disgust": 5,
    "anger": 6,
}  # numbered in another order than ours
SIZES = {"train": 5, "dev": 2, "test": 3}
WIDTH = 6


def meld(turns: int = 4, **columns: Any) -> Manifest:
    """Ten dialogues of 4 turns; turn 2 of each has the number 5: numbers have gaps."""
    generator = np.random.default_rng(3)
    rows = []
    for split, count in SIZES.items():
        for dialogue in range(count):
            for turn in [*range(turns - 1), turns + 1]:
                label = LABELS[int(generator.choice(3, p=[0.5, 0.3, 0.2]))]
                rows.append(
                    {
                        "utterance_id": f"meld/{split}/dia{dialogue}_utt{turn}",
                        "dataset": "meld",
                        "split": split,
                        "dialogue_id": f"meld/{split}/dia{dialogue}",
                        "turn": turn,
                        "speaker": f"speaker {turn % 2}",
                        "text": f"It’s “{split}” {dialogue}, {turn}!",
                        "label": label,
                        "sentiment": {"joy": "positive", "anger": "negative"}.get(label, "neutral"),
                        "media": f"{split}_clips/dia{dialogue}_utt{turn}.mp4",
                    }
                    | columns
                )
    return build_manifest(frame_of(rows), DatasetCard("meld", labels=LABELS, neutral="neutral"))


def vectors(manifest: Manifest, width: int = WIDTH, dtype: str = "float32") -> dict[str, np.ndarray]:
    generator = np.random.default_rng(5)
    return {name: generator.normal(size=width).astype(dtype) for name in manifest.ids}


def dialogues(manifest: Manifest) -> dict[int, list[int]]:
    """Number of a dialogue, counted through all splits as conv-emotion does -> its rows."""
    return {number: list(range(*bounds)) for number, bounds in enumerate(manifest.dialogue_bounds())}


def dialogue_rnn(manifest: Manifest, values: dict[str, np.ndarray], shift: int = 0) -> tuple[Any, ...]:
    """The 9 parts of DialogueRNN's pickle of MELD. shift: of the sentences against the vectors, in turns"""
    frame, parts = manifest.frame, dialogues(manifest)
    said = frame["text"].to_list()
    said = said[-shift:] + said[:-shift] if shift else said
    label = [EMOTIONS[name] for name in frame["label"]]
    sentiment = [("neutral", "positive", "negative").index(name) for name in frame["sentiment"]]
    splits = {number: frame["split"][rows[0]] for number, rows in parts.items()}
    arrays = [values[name] for name in manifest.ids]

    def by_dialogue(column: list[Any]) -> dict[int, list[Any]]:
        return {number: [column[row] for row in rows] for number, rows in parts.items()}

    return (
        {number: list(range(len(rows))) for number, rows in parts.items()},
        by_dialogue([[1, 0]] * len(manifest)),
        by_dialogue(label),
        by_dialogue(arrays),
        by_dialogue([array[:3] for array in arrays]),
        by_dialogue(said),
        [number for number, split in splits.items() if split != "test"],
        [number for number, split in splits.items() if split == "test"],
        by_dialogue(sentiment),
    )


def cosmic(manifest: Manifest, values: dict[str, np.ndarray]) -> tuple[Any, ...]:
    """The 11 parts of COSMIC's pickle of MELD; roberta2 is twice roberta1, and so on."""
    _, speakers, labels, text, _, sentences, train, test, sentiments = dialogue_rnn(manifest, values)
    splits = {number: manifest.frame["split"][rows[0]] for number, rows in dialogues(manifest).items()}
    layers = [{key: [row * times for row in rows] for key, rows in text.items()} for times in (1, 2, 3, 4)]
    dev = [number for number in train if splits[number] == "dev"]
    return (speakers, labels, sentiments, *layers, sentences, [n for n in train if n not in dev], test, dev)


def mmsa(manifest: Manifest, values: dict[str, np.ndarray], length: int = 1) -> dict[str, dict[str, Any]]:
    """MMSA's splits; ids as `dia0_utt0`, which restart in each. length > 1: sequences that are padded, with lengths"""
    names = {"train": "train", "dev": "valid", "test": "test"}
    found: dict[str, dict[str, Any]] = {}
    for split, name in names.items():
        rows = manifest.frame.filter(split=split)
        arrays = np.stack([values[key] for key in rows["utterance_id"]])
        padded = np.zeros((len(arrays), length, arrays.shape[1]), np.float32)
        lengths = [1 + place % length for place in range(len(arrays))]
        for place, size in enumerate(lengths):
            padded[place, :size] = arrays[place]
        found[name] = {
            "id": np.array([key.rpartition("/")[2] for key in rows["utterance_id"]], object),
            "raw_text": np.array(rows["text"].to_list(), object),
            "text": padded,
            "audio": padded[:, :, :3],
            "vision": padded[:, :, 3:],
            "text_bert": np.zeros((len(arrays), 3, 50), np.int64),
            "regression_labels": np.array(
                [{"positive": 1.5, "negative": -2.0}.get(name, 0.0) for name in rows["sentiment"]], np.float32
            ),
        }
        if length > 1:
            found[name] |= {"audio_lengths": lengths, "vision_lengths": lengths}
    return found


def write_pickle(path: Path, content: Any, protocol: int = 4) -> Path:
    path.write_bytes(pickle.dumps(content, protocol))
    return path
