"""Manifests, specs and encoders for tests of the store and of extraction: small, and without weights."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from features.cards import DatasetCard
from features.encoders.protocol import Input, Turn
from features.errors import Reason, UnavailableError
from features.manifest import Manifest, build_manifest, frame_of
from features.spec import EncoderSpec
from features.utterances import Dialogue


def make_manifest(
    num_utterances: int, turns: int = 7, split: str = "train", card: DatasetCard | None = None, **columns: Any
) -> Manifest:
    """Dialogues of `turns` utterances; `columns` are extra columns: constants, or functions of the row number."""
    rows = []
    for number in range(num_utterances):
        row: dict[str, Any] = {
            "utterance_id": f"toy/{split}/dia{number // turns}_utt{number % turns}",
            "dataset": "toy",
            "split": split,
            "dialogue_id": f"toy/{split}/dia{number // turns}",
            "turn": number % turns,
            "speaker": f"speaker {number % 3}",
            "text": f"text {number}",
        }
        rows.append(row | {name: value(number) if callable(value) else value for name, value in columns.items()})
    return build_manifest(frame_of(rows), card or DatasetCard("toy"))


def make_spec(**changes: Any) -> EncoderSpec:
    values: dict[str, Any] = {
        "modality": "text",
        "encoder": "surface",
        "version": 1,
        "depends": "text",
        "kind": "vector",
        "shape": (3,),
    }
    return EncoderSpec(**(values | changes))


class HashPreparer:
    """Makes the text itself the input; the text `empty` has none."""

    def __call__(self, turn: Turn) -> Input:
        text = turn.utterance.text
        if text == "empty":
            raise UnavailableError(Reason.NO_TEXT, "the text is empty")
        return Input(text, len(text), (f"digest of {text}",), ({"num_tokens": len(text)},))


class HashEncoder:
    """A text encoder whose embedding is made of the text's bytes alone; it notes the batches that it was given."""

    reads = "turn"
    needs = None
    batch_size = 4
    prepare: Any = HashPreparer()

    def __init__(self, **spec: Any) -> None:
        self.spec = make_spec(**spec)
        self.batches: list[list[str]] = []

    def encode(self, inputs: Sequence[Input]) -> list[np.ndarray]:
        self.batches.append([item.value for item in inputs])
        return [text_vector(item.value) for item in inputs]


class DialoguePreparer:
    def __call__(self, dialogue: Dialogue) -> Input:
        texts = [utterance.text for utterance in dialogue.utterances]
        digests = tuple(f"digest of {text}" for text in texts)
        return Input(texts, sum(map(len, texts)), digests, tuple({"num_tokens": len(text)} for text in texts))


class DialogueEncoder(HashEncoder):
    """Reads whole dialogues: a turn's embedding depends on the turns before it."""

    reads = "dialogue"
    prepare: Any = DialoguePreparer()

    def __init__(self) -> None:
        super().__init__(depends="dialogue")

    def encode(self, inputs: Sequence[Input]) -> list[np.ndarray]:
        self.batches.append([" / ".join(item.value) for item in inputs])
        return [
            np.stack([text_vector(" / ".join(item.value[: turn + 1])) for turn in range(len(item.value))])
            for item in inputs
        ]


def text_vector(text: str) -> np.ndarray:
    if text == "not a number":
        return np.full(3, np.nan, np.float32)
    data = np.frombuffer(text.encode(), np.uint8).astype(np.float32)
    return np.array([data.mean(), data.std(), len(data)], np.float32)
