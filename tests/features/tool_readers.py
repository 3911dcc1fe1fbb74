"""What each tool's own loader takes out of an export, told again: utterance_id -> Seen.

MMSA 2.2.1 (MMDataset), MERTools' MERBench (the MELD loader and its reader of features), conv-emotion's DialogueRNN
(MELDDataset): the same keys, places and casts. None of these tools is needed.
"""

from __future__ import annotations

import pickle
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

# The orders of classes, as the tools' own code has them.
CONV_EMOTIONS = ["neutral", "surprise", "fear", "sadness", "joy", "disgust", "anger"]
CONV_SENTIMENTS = ["neutral", "positive", "negative"]
MER_EMOTIONS = ["anger", "joy", "sadness", "neutral", "disgust", "fear", "surprise"]


@dataclass
class Seen:
    """One utterance as a tool sees it. values: [t, d], by the tool's name of the modality, without what pads it."""

    split: str
    values: dict[str, np.ndarray] = field(default_factory=dict)
    told: dict[str, Any] = field(default_factory=dict)


def read_mmsa(path: Path) -> dict[str, Seen]:
    with path.open("rb") as file:
        data = pickle.load(file)
    assert list(data) == ["train", "valid", "test"]
    found = {}
    for mode, part in data.items():
        arrays = {name: part[name].astype(np.float32) for name in ("text", "audio", "vision")}
        labels = np.array(part["regression_labels"]).astype(np.float32)
        assert all(array.ndim == 3 and len(array) == len(labels) for array in arrays.values())
        for index in range(len(labels)):
            lengths = {name: part[f"{name}_lengths"][index] for name in arrays}
            for name, array in arrays.items():
                assert isinstance(lengths[name], int)
                assert not array[index, lengths[name] :].any()
            values = {name: array[index, : lengths[name]] for name, array in arrays.items()}
            told = {
                "text": part["raw_text"][index],
                "score": float(labels[index].reshape(-1)[0]),
                "class": int(part["classification_labels"][index]),
                "annotation": part["annotations"][index],
                "duration": float(part["duration"][index]),
                "group": part["group"][index],
                "label": part["label"][index],
            }
            assert part["id"][index] not in found
            found[part["id"][index]] = Seen(mode, values, told)
    return found


def read_mertools(folder: Path) -> dict[str, Seen]:
    """Names become ids by the table that goes with it."""
    ids = dict(pl.read_parquet(folder / "utterances.parquet").select("name", "utterance_id").iter_rows())
    found = {}
    for split in ("train", "val", "test"):
        corpus = np.load(folder / "label.npz", allow_pickle=True)[f"{split}_corpus"].tolist()
        for name, labels in corpus.items():
            values = {}
            for place in sorted((folder / "features").iterdir()):
                single = np.array([np.load(place / f"{name}.npy").squeeze()]).squeeze()
                values[place.name] = single[np.newaxis, :] if single.ndim == 1 else single
            found[ids[name]] = Seen(split, values, {"name": name} | labels)
    return found


def read_conv_emotion(path: Path, n_classes: int = 7) -> dict[str, Seen]:
    with path.open("rb") as file:
        ids, speakers, emotions, text, audio, sentences, train, test, sentiments = pickle.load(file)
    labels = emotions if n_classes == 7 else sentiments
    found = {}
    for split, keys in (("train", train), ("test", test)):
        for key in keys:
            t, a, s = np.array(text[key], np.float32), np.array(audio[key], np.float32), np.array(speakers[key])
            assert len(t) == len(a) == len(s) == len(labels[key]) == len(ids[key]) == len(sentences[key])
            assert (s.sum(axis=1) == 1).all()
            for place, utterance_id in enumerate(ids[key]):
                told = {
                    "dialogue": key,
                    "speaker": int(s[place].argmax()),
                    "label": labels[key][place],
                    "text": sentences[key][place],
                }
                found[utterance_id] = Seen(split, {"text": t[place : place + 1], "audio": a[place : place + 1]}, told)
    return found
