"""Checkpoints: what is read back predicts the same, and whatever does not fit is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from head_factory import LABELS, WIDTHS, experiment, head_data, head_of
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from features.errors import CheckpointError
from heads.data.batch import batch_of
from heads.data.data import FeatureShape
from heads.data.normalise import Normaliser
from heads.predict import Predictor
from heads.training.checkpoint import InputFeature, TrainedHead, read_checkpoint, write_checkpoint


@pytest.fixture
def written(tmp_path: Path) -> tuple[Path, TrainedHead]:
    torch.manual_seed(0)
    inputs = {
        modality: tuple(
            InputFeature(
                f"{modality}/{place}",
                "f" * 64,
                Normaliser("standardise", np.full(width, 2.0, np.float32), np.full(width, 3.0, np.float32)),
                FeatureShape("vector", (width,)),
            )
            for place, width in enumerate(widths)
        )
        for modality, widths in WIDTHS.items()
    }
    trained = TrainedHead(Predictor(experiment(), head_of()), LABELS, inputs)
    path = tmp_path / "head.safetensors"
    write_checkpoint(path, trained)
    return path, trained


def rewrite(path: Path, change_tensors: object = None, **metadata: str) -> None:
    with safe_open(path, framework="pt") as file:
        old = file.metadata()
    tensors = load_file(path)
    if callable(change_tensors):
        change_tensors(tensors)
    save_file(tensors, path, {key: value for key, value in (old | metadata).items() if value})


def test_what_is_read_back_is_the_same(written: tuple[Path, TrainedHead]) -> None:
    path, trained = written
    state = torch.random.get_rng_state()
    found = read_checkpoint(path, experiment())
    assert torch.equal(torch.random.get_rng_state(), state)
    batch = batch_of(head_data())
    assert torch.equal(found.predictor.scores(batch), trained.predictor.scores(batch))
    assert not found.head.training
    assert found.labels == LABELS
    assert found.inputs["visual"][1].folder == "visual/1"
    assert np.array_equal(found.inputs["audio"][0].normaliser.scale, np.full(4, 3.0))  # type: ignore[arg-type]
    assert [entry.name for entry in path.parent.iterdir()] == ["head.safetensors"]


def test_a_file_that_is_not_there_cut_or_of_another_format_is_refused(written: tuple[Path, TrainedHead]) -> None:
    path, _ = written
    with pytest.raises(CheckpointError, match="no checkpoint at"):
        read_checkpoint(path.with_name("none"), experiment())
    rewrite(path, format="7")
    with pytest.raises(CheckpointError, match="format '7' is not '2'"):
        read_checkpoint(path, experiment())
    rewrite(path, format="2", labels="{")
    with pytest.raises(CheckpointError, match="metadata is damaged"):
        read_checkpoint(path, experiment())
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(CheckpointError, match="not a whole safetensors file"):
        read_checkpoint(path, experiment())


def test_a_checkpoint_of_another_config_is_refused(written: tuple[Path, TrainedHead]) -> None:
    path, _ = written
    with pytest.raises(CheckpointError, match=r"is \([0-9, ]+\), but its config asks for \(9"):
        read_checkpoint(path, experiment(feedforward={"sizes": [9]}))
    with pytest.raises(CheckpointError, match=r"has no head.fusion.project.text.weight"):
        read_checkpoint(path, experiment(fusion={"name": "concat", "dim": 9}))
    with pytest.raises(CheckpointError, match="reads text, audio, visual, but its config names text"):
        read_checkpoint(path, experiment(inputs={"text": ["sentence"]}))


def test_a_lost_or_an_extra_tensor_is_named(written: tuple[Path, TrainedHead]) -> None:
    path, _ = written
    rewrite(path, lambda tensors: tensors.pop("head.classifier.bias"))
    with pytest.raises(CheckpointError, match=r"has no head.classifier.bias"):
        read_checkpoint(path, experiment())
    rewrite(path, lambda tensors: tensors.update({"head.classifier.bias": torch.zeros(3), "head.odd": torch.zeros(1)}))
    with pytest.raises(CheckpointError, match=r"holds head\.odd"):
        read_checkpoint(path, experiment())
