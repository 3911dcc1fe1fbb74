"""Experiments and data for tests of heads, without a store."""

from __future__ import annotations

from typing import Any

import numpy as np

from heads.data import FeatureRows, HeadData, Utterances
from heads.experiment import Experiment, experiment_from_dict
from heads.normalise import Normaliser

LABELS = ("joy", "anger", "neutral")
WIDTHS = {"text": (6,), "audio": (4,), "visual": (3, 2)}


def experiment(**values: Any) -> Experiment:
    body = {"inputs": {"text": ["sentence"], "audio": ["logmel"], "visual": ["hog-colour", "faces"]}} | values
    return experiment_from_dict({"name": "x"} | body, "test")


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
            features.append(FeatureRows(modality, f"{modality}/{place}", Normaliser("none"), values, present))
        inputs[modality] = tuple(features)
    splits = np.array(["train"] * train + ["dev"] * dev + ["test"] * test, dtype=object)
    ids = [f"u{number}" for number in range(count)]
    return HeadData(Utterances(ids, splits, labels.astype(np.int64), LABELS), inputs)
