"""Experiments and data for tests of heads, without a store."""

from __future__ import annotations

from typing import Any

import numpy as np

from heads.config.experiment import Experiment
from heads.config.resolve import experiment_from_dict
from heads.data.data import FeatureRows, FeatureShape, HeadData
from heads.data.normalise import Normaliser
from heads.data.utterances import Utterances
from heads.model import Head, HeadShape, build_head

LABELS = ("joy", "anger", "neutral")
WIDTHS = {"text": (6,), "audio": (4,), "visual": (3, 2)}
SHAPES = {modality: tuple(FeatureShape("vector", (width,)) for width in widths) for modality, widths in WIDTHS.items()}
TURNS = 4  # of each dialogue, but for the last one of a split


def experiment(**values: Any) -> Experiment:
    body = {"inputs": {"text": ["sentence"], "audio": ["logmel"], "visual": ["hog-colour", "faces"]}} | values
    return experiment_from_dict({"name": "x"} | body, "test")


def head_of(num_speakers: int = 0, **values: Any) -> Head:
    return build_head(experiment(**values), HeadShape(SHAPES, len(LABELS), num_speakers))


def head_data(
    train: int = 40, dev: int = 16, test: int = 0, missing: float = 0.2, seed: int = 0, widths: Any = None
) -> HeadData:
    """Each feature shows the label, and is missing with the chance `missing`."""
    generator = np.random.default_rng(seed)
    count = train + dev + test
    labels = generator.integers(len(LABELS), size=count)
    inputs = {}
    for modality, sizes in (widths or WIDTHS).items():
        features = []
        for place, width in enumerate(sizes):
            values = generator.normal(size=(count, width)).astype(np.float32)
            values[:, 0] += labels
            present = generator.random(count) >= missing
            values[~present] = 0.0
            shape = FeatureShape("vector", (width,))
            features.append(FeatureRows(modality, f"{modality}/{place}", Normaliser("none"), values, present, shape))
        inputs[modality] = tuple(features)
    splits = np.array(["train"] * train + ["dev"] * dev + ["test"] * test, dtype=object)
    dialogues = np.concatenate([_dialogues(train), 1000 + _dialogues(dev), 2000 + _dialogues(test)])
    utterances = Utterances(
        ids=[f"u{number}" for number in range(count)],
        splits=splits,
        labels=labels.astype(np.int64),
        label_names=LABELS,
        dialogue_ids=[f"d{number}" for number in dialogues],
        dialogues=dialogues,
        slots=np.arange(count) % 2,
        speakers=[("Ann", "Bob", "Cy")[number % 2 if number % 8 else 2] for number in range(count)],
        sentiments=labels.astype(np.int64) % 2,
        sentiment_names=("negative", "positive"),
        groups=[None] * count,
    )
    return HeadData(utterances, inputs)


def _dialogues(count: int) -> np.ndarray:
    return np.arange(count) // TURNS
