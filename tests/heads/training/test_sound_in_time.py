"""A head on the frames of sound: it learns what only their order says."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from small_corpus import make_manifest
from tiny_speech import RATE_HZ, clip_of

from features.encoders.build import create
from features.encoders.protocol import EncoderRequest
from features.store import write_feature
from heads.config.resolve import experiment_from_dict
from heads.data.data import HeadData, fit_feature
from heads.data.utterances import read_utterances
from heads.training.trainer import train_head

pytestmark = pytest.mark.usefixtures("one_thread")

GLIDES = {"joy": (120.0, 240.0), "anger": (240.0, 120.0), "neutral": (170.0, 170.0)}
"""Pitch at the beginning and at the end: joy and anger have the same sounds in another order."""


def glide(label: str, seed: int) -> np.ndarray:
    """float32 [n]: half a second to a second of a voice-like tone."""
    random = np.random.default_rng(seed)
    count = int(random.uniform(0.5, 1.0) * RATE_HZ)
    first, last = (hz * random.uniform(0.95, 1.05) for hz in GLIDES[label])
    phase = 2 * np.pi * np.cumsum(np.geomspace(first, last, count)) / RATE_HZ
    tone = sum(np.sin(harmonic * phase) / harmonic for harmonic in range(1, 6))
    return (0.1 * tone + random.normal(scale=0.003, size=count)).astype(np.float32)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> HeadData:
    root = tmp_path_factory.mktemp("sound")
    manifest = make_manifest(root / "M.parquet")
    encoder: Any = create(EncoderRequest("logmel", {"pooling": "sequence", "frame_rate": 20}))
    labels = zip(*manifest.frame.select("utterance_id", "label").get_columns(), strict=True)
    sounds = {key: glide(label, seed) for seed, (key, label) in enumerate(labels)}
    frames = {key: encoder.encode([encoder.prepare(clip_of(encoder, sounds[key]))])[0] for key in sounds}
    feature = write_feature(root / "store", encoder.spec, manifest, frames, {})
    assert feature.spec.stored_dtype == "float16"
    utterances = read_utterances(manifest, ["train", "dev"])
    return HeadData(utterances, {"audio": (fit_feature(feature, utterances, "standardise"),)})


def trained_with(reader: dict[str, Any], data: HeadData) -> float:
    body = {
        "name": "x",
        "inputs": {"audio": ["logmel"]},
        "readers": {"audio": reader},
        "feedforward": {"sizes": [16], "dropout": 0.0},
        "batch": {"size": 16},
        "optim": {"lr": 0.01},
        "stop": {"epochs": 15, "patience": 15},
    }
    return train_head(experiment_from_dict(body, "test"), data, seed=0).dev_weighted_f1


def test_a_head_that_hears_time_tells_rising_from_falling(data: HeadData) -> None:
    over_time = trained_with({"name": "text-cnn", "filters": 16, "size": 5}, data)
    without = trained_with({"name": "mean"}, data)
    assert over_time > 0.9
    assert without < over_time - 0.15
