"""Training a head: our step, its floor, and the same head in Hugging Face's Trainer and in a plain loop.

Random features of MELD's widths (768 + 1536 + 2048). The heads are of the suite table4: row 5 (text alone), 14 (all
three, concatenated) and 24 (attention over them), with dice. One thread each. A call gives the seconds of an epoch,
from its start to its end; ours scores 32 dev rows within it, the others score nothing. The floor is the epoch's matrix
products and fused AdamW (floor.py). Model, loss, AdamW's numbers and the data in memory are the same for all. Ours and
the Trainer clip gradients and have a warm-up, and a fused AdamW; the plain loop has none of these, as users write it.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.workers.floor import floor_step
from benchmarks.workers.trainer import arguments_for
from heads.config.experiment import Experiment
from heads.config.resolve import experiment_from_dict
from heads.data.batch import batch_of
from heads.data.data import FeatureRows, FeatureShape, HeadData
from heads.data.normalise import Normaliser
from heads.data.utterances import Utterances
from heads.model import HeadShape, build_head
from heads.signals import LossTask, Targets
from heads.training.objective import build_objective
from heads.training.trainer import train_head

LABELS = ("anger", "disgust", "fear", "joy", "neutral", "sadness", "surprise")
WIDTHS = {"text": ("gpt2", 768), "audio": ("wav2vec2", 1536), "visual": ("resnet50", 2048)}


HEADS: dict[str, dict[str, Any]] = {
    "5, text": {"feedforward": {"sizes": [64], "dropout": 0.2}},
    "14, concat": {"feedforward": {"sizes": [64], "dropout": 0.2}},
    "24, attention": {
        "fusion": {"name": "attention", "dim": 512, "heads": 4},
        "feedforward": {"sizes": [256, 128], "dropout": 0.2},
    },
}


def experiment(row: str, size: int) -> Experiment:
    used = ["text"] if row == "5, text" else list(WIDTHS)
    body = {
        "name": "bench",
        "inputs": {modality: [WIDTHS[modality][0]] for modality in used},
        "normalise": "none",
        "loss": [{"name": "dice"}],
        "batch": {"size": size},
        "optim": {"lr": 1e-3, "weight_decay": 0.01, "warmup": 0.05},
        "stop": {"epochs": 1, "patience": 1},
    }
    return experiment_from_dict(body | HEADS[row], __file__)


def random_data(train: int, dev: int) -> HeadData:
    rng = np.random.default_rng(0)
    count = train + dev
    inputs: dict[str, tuple[FeatureRows, ...]] = {}
    for modality, (name, width) in WIDTHS.items():
        values = rng.standard_normal((count, width), dtype=np.float32)
        shape = FeatureShape("vector", (width,))
        inputs[modality] = (FeatureRows(modality, name, Normaliser("none"), values, np.ones(count, bool), shape),)
    utterances = Utterances(
        ids=[str(number) for number in range(count)],
        splits=np.array(["train"] * train + ["dev"] * dev, dtype=object),
        labels=rng.integers(len(LABELS), size=count),
        label_names=LABELS,
        dialogue_ids=[f"d{number // 10}" for number in range(count)],
        dialogues=np.arange(count) // 10,
        slots=np.zeros(count, np.int64),
        speakers=["A"] * count,
        sentiments=np.full(count, -1),
        sentiment_names=(),
        groups=[None] * count,
    )
    return HeadData(utterances, inputs)


class HeadAndLoss(torch.nn.Module):
    """The same head and loss behind the interface that Hugging Face's Trainer calls: tensors by name."""

    def __init__(self, chosen: Experiment, data: HeadData) -> None:
        super().__init__()
        self.head = build_head(chosen, HeadShape(data.shapes, len(LABELS)))
        self.objective = build_objective(chosen.loss, LossTask(torch.ones(len(LABELS)), self.head.hidden_width))
        self.template = batch_of(data).select(torch.zeros(0, dtype=torch.int64))

    def forward(self, labels: torch.Tensor, **values: torch.Tensor) -> dict[str, torch.Tensor]:
        size = len(labels)
        zeros = torch.zeros(size, dtype=torch.int64)
        batch = replace(
            self.template,
            values={modality: (value,) for modality, value in values.items()},
            present={modality: torch.ones((size, 1), dtype=torch.bool) for modality in values},
            dialogues=zeros,
            slots=zeros,
            speakers=zeros,
        )
        output = self.head(batch)
        return {"loss": self.objective(output, Targets(labels, zeros - 1)), "logits": output.logits}


def train_in_trainer(chosen: Experiment, data: HeadData, folder: Path) -> float:
    """Seconds from the start of its epoch to its end."""
    from torch.utils.data import Dataset
    from transformers import Trainer, TrainerCallback

    rows = data.utterances.rows("train")
    arrays = {modality: torch.from_numpy(data.inputs[modality][0].values) for modality in chosen.inputs}
    labels = torch.from_numpy(data.utterances.labels)

    class Examples(Dataset[dict[str, Any]]):
        def __len__(self) -> int:
            return len(rows)

        def __getitem__(self, place: int) -> dict[str, Any]:
            return {modality: array[place] for modality, array in arrays.items()} | {"labels": labels[place]}

    class Clock(TrainerCallback):
        def on_epoch_begin(self, *args: Any, **kwargs: Any) -> None:
            self.started = time.perf_counter()

        def on_epoch_end(self, *args: Any, **kwargs: Any) -> None:
            self.seconds = time.perf_counter() - self.started

    clock = Clock()
    arguments = arguments_for(chosen, str(folder), warmup_steps=chosen.optim.warmup)
    Trainer(model=HeadAndLoss(chosen, data), args=arguments, train_dataset=Examples(), callbacks=[clock]).train()
    return clock.seconds


def data_of(row: str, size: int, steps: int) -> tuple[Experiment, HeadData]:
    """As in a run, what the experiment reads and nothing else: a batch is gathered from every input that there is."""
    torch.set_num_threads(1)
    chosen, everything = experiment(row, size), random_data(steps * size, 32)
    return chosen, HeadData(everything.utterances, {name: everything.inputs[name] for name in chosen.inputs})


def ours(row: str, size: int, steps: int) -> Callable[[], float]:
    chosen, data = data_of(row, size, steps)
    return lambda: train_head(chosen, data, seed=0).history[0].seconds


def trainer(row: str, size: int, steps: int) -> Callable[[], float]:
    """Hugging Face's Trainer, with fused AdamW and nothing saved, logged or evaluated."""
    import accelerate  # noqa: F401  # without it Trainer raises ImportError, and not one that names the package

    chosen, data = data_of(row, size, steps)

    def train() -> float:
        with tempfile.TemporaryDirectory() as folder:
            return train_in_trainer(chosen, data, Path(folder))

    return train


def plain_loop(row: str, size: int, steps: int) -> Callable[[], float]:
    """As a user writes it: TensorDataset, DataLoader, AdamW as it comes, zero_grad, backward, step."""
    from torch.utils.data import DataLoader, TensorDataset

    chosen, data = data_of(row, size, steps)
    rows = data.utterances.rows("train")
    arrays = [torch.from_numpy(data.inputs[modality][0].values[rows]) for modality in chosen.inputs]
    loader = DataLoader(
        TensorDataset(*arrays, torch.from_numpy(data.utterances.labels[rows])), batch_size=size, shuffle=True
    )

    def train() -> float:
        torch.manual_seed(0)
        model = HeadAndLoss(chosen, data)
        optimizer = torch.optim.AdamW(model.parameters(), lr=chosen.optim.lr, weight_decay=chosen.optim.weight_decay)
        model.train()
        started = time.perf_counter()
        for *values, labels in loader:
            optimizer.zero_grad()
            loss = model(labels, **dict(zip(chosen.inputs, values, strict=True)))["loss"]
            loss.backward()
            optimizer.step()
        return time.perf_counter() - started

    return train


def bare(row: str, size: int, steps: int) -> Callable[[], None]:
    """What torch itself takes: forwards, loss, backwards and fused AdamW of one batch at hand, again and again. No
    batch is gathered, nothing clipped or scheduled, nothing looked at or scored."""
    head, loss = _one_batch(row, size, steps)
    optimizer = torch.optim.AdamW(head.parameters(), lr=1e-3, weight_decay=0.01, fused=True)

    def train() -> None:
        for _ in range(steps):
            optimizer.zero_grad()
            loss().backward()
            optimizer.step()

    return train


def floor(row: str, size: int, steps: int) -> Callable[[], None]:
    """The products and AdamW of one batch, as often as there are steps."""
    step = floor_step(*_one_batch(row, size, steps))

    def train() -> None:
        for _ in range(steps):
            step()

    return train


def _one_batch(row: str, size: int, steps: int) -> tuple[torch.nn.Module, Callable[[], torch.Tensor]]:
    """A head in training mode, and its loss on one batch that is at hand."""
    chosen, data = data_of(row, size, steps)
    head = build_head(chosen, HeadShape(data.shapes, len(LABELS)))
    objective = build_objective(chosen.loss, LossTask(torch.ones(len(LABELS)), head.hidden_width))
    places = torch.arange(size)
    batch = batch_of(data).select(places)
    every = Targets(torch.from_numpy(data.utterances.labels), torch.from_numpy(data.utterances.sentiments))
    targets = every.select(places)
    return head, lambda: objective(head(batch), targets)
