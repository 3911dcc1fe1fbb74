"""head.safetensors: a trained head with its normalisation, and all that is needed to build it again. No pickle."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from features.digests import canonical_json
from features.errors import CheckpointError
from features.files import write_whole
from heads.config.experiment import Experiment
from heads.data.batch import Batch, batch_of
from heads.data.data import FeatureShape, HeadData
from heads.data.normalise import Normaliser
from heads.data.top import StoredTop
from heads.model import Head, HeadShape, build_head
from heads.predict import Predictor
from heads.signals import LossTask
from heads.training.objective import build_objective

FORMAT = "2"


@dataclass(frozen=True)
class InputFeature:
    """A stored feature that a head reads."""

    folder: str
    fingerprint: str
    normaliser: Normaliser
    shape: FeatureShape


@dataclass(frozen=True)
class TrainedHead:
    """A head that can predict.

    inputs:   modality -> features, in the head's order
    speakers: those it knows by name, in the order of their embeddings
    """

    predictor: Predictor
    labels: tuple[str, ...]
    inputs: dict[str, tuple[InputFeature, ...]]
    speakers: tuple[str, ...] = ()

    @property
    def head(self) -> Head:
        return self.predictor.head

    def batch(self, data: HeadData) -> Batch:
        """Every utterance of `data`, as this head sees it."""
        return batch_of(data, self.speakers)

    def probabilities(self, data: HeadData, rows: np.ndarray) -> np.ndarray:
        """float32 [m, c] of the utterances at `rows`, int64 [m], ascending: whole dialogues."""
        scores = self.predictor.scores(self.batch(data), torch.from_numpy(rows))
        array: np.ndarray = scores.softmax(dim=1).numpy()
        return array


def write_checkpoint(path: Path, trained: TrainedHead) -> None:
    """The file appears whole or not at all."""
    tensors = {f"head.{name}": value.contiguous() for name, value in trained.head.state_dict().items()}
    if trained.predictor.decision is not None:
        decision = cast(nn.Module, trained.predictor.decision).state_dict()
        tensors |= {f"decision.{name}": value.contiguous() for name, value in decision.items()}
    for modality, features in trained.inputs.items():
        for index, feature in enumerate(features):
            for name in ("mean", "scale"):
                array = getattr(feature.normaliser, name)
                if array is not None:
                    tensors[f"normalise.{modality}.{index}.{name}"] = torch.from_numpy(array)
    inputs = {
        modality: [
            {
                "folder": feature.folder,
                "fingerprint": feature.fingerprint,
                "normalise": feature.normaliser.name,
                "kind": feature.shape.kind,
                "shape": feature.shape.shape,
                **_top(feature.shape),
            }
            for feature in features
        ]
        for modality, features in trained.inputs.items()
    }
    metadata = {
        "format": FORMAT,
        "labels": canonical_json(trained.labels),
        "speakers": canonical_json(trained.speakers),
        "inputs": json.dumps(inputs),
    }
    write_whole(path, lambda temporary: save_file(tensors, temporary, metadata))


def read_checkpoint(path: Path, experiment: Experiment) -> TrainedHead:
    """Build the experiment's head and load it, in eval mode.

    Raises CheckpointError for a file that is absent, damaged, of another format, or of another experiment, or whose
    weights are no numbers. Training again mends the first two, and the others once the seed's folder is removed.
    """
    mend = f"remove {path.parent} and train the head again"
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  # not a mapping
    except FileNotFoundError as error:
        raise CheckpointError(f"no checkpoint at {path}: train the head again") from error
    except SafetensorError as error:
        raise CheckpointError(f"{path}: is not a whole safetensors file ({error}): train the head again") from error
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read ({error}): make it readable, or {mend}") from error
    if metadata.get("format") != FORMAT:
        other = f"format {metadata.get('format')!r} is not {FORMAT!r}, which this version reads"
        raise CheckpointError(f"{path}: {other}: {mend}")
    try:
        labels, speakers = tuple(json.loads(metadata["labels"])), tuple(json.loads(metadata["speakers"]))
        inputs = {
            modality: tuple(_input(tensors, modality, index, item) for index, item in enumerate(items))
            for modality, items in json.loads(metadata["inputs"]).items()
        }
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"{path}: its metadata is damaged ({type(error).__name__}: {error}): {mend}") from error
    if set(inputs) != set(experiment.inputs):
        read, named = ", ".join(inputs), ", ".join(experiment.inputs)
        raise CheckpointError(f"{path}: reads {read}, but its config names {named}: {mend}")
    shapes = {key: [item.shape for item in items] for key, items in inputs.items()}
    with torch.random.fork_rng(devices=[]):
        head = build_head(experiment, HeadShape(shapes, len(labels), len(speakers)))
        # Of the losses only one that decides is kept, and that depends on no count of examples.
        task = LossTask(torch.ones(len(labels), dtype=torch.int64), head.hidden_width, num_sentiments=1)
        decision = build_objective(experiment.loss, task).decision
    parts: dict[str, nn.Module] = {"head": head}
    if decision is not None:
        parts["decision"] = cast(nn.Module, decision)
    wanted = {f"{part}.{name}": value for part, module in parts.items() for name, value in module.state_dict().items()}
    found = {name: value for name, value in tensors.items() if not name.startswith("normalise.")}
    _check_state(path, found, wanted, mend)
    _check_finite(path, tensors, mend)
    for part, module in parts.items():
        module.load_state_dict(
            {name.removeprefix(f"{part}."): value for name, value in found.items() if name.startswith(f"{part}.")}
        )
        module.eval()
    return TrainedHead(Predictor(experiment, head, decision), labels, inputs, speakers)


def _top(shape: FeatureShape) -> dict[str, str]:
    """What of an encoder's top is recorded; its weights are the head's."""
    return {} if shape.top is None else {"top": shape.top.description, "windows": shape.top.windows}


def _input(tensors: dict[str, Tensor], modality: str, index: int, item: dict[str, Any]) -> InputFeature:
    arrays = {
        name: tensors[key].numpy() if (key := f"normalise.{modality}.{index}.{name}") in tensors else None
        for name in ("mean", "scale")
    }
    top = StoredTop(item["top"], item["windows"]) if "top" in item else None
    shape = FeatureShape(item["kind"], tuple(map(int, item["shape"])), top)
    return InputFeature(item["folder"], item["fingerprint"], Normaliser(item["normalise"], **arrays), shape)


def _check_state(path: Path, state: dict[str, Tensor], wanted: dict[str, Tensor], mend: str) -> None:
    for name, value in wanted.items():
        if name not in state:
            raise CheckpointError(f"{path}: has no {name}, since it was trained with another config: {mend}")
        if state[name].shape != value.shape:
            found, expected = tuple(state[name].shape), tuple(value.shape)
            raise CheckpointError(f"{path}: {name} is {found}, but its config asks for {expected}: {mend}")
    extra = sorted(set(state) - set(wanted))
    if extra:
        raise CheckpointError(f"{path}: holds {extra[0]}, which its config does not ask for: {mend}")


def _check_finite(path: Path, tensors: dict[str, Tensor], mend: str) -> None:
    for name, value in tensors.items():
        if value.is_floating_point() and not value.isfinite().all():
            raise CheckpointError(f"{path}: {name} holds values that are no numbers: {mend}")
