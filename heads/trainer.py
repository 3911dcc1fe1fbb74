"""Training one head with one seed: AdamW, a warm-up, early stopping on dev weighted F1.

Everything random comes from the seed: the same seed, data and thread count give the same bits, whatever else runs. The
caller's generator and thread count are left as they were.
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim.lr_scheduler import LambdaLR

from features.errors import ManifestError, TrainingError
from heads.batch import Batch, batch_of
from heads.data import UNLABELLED, HeadData
from heads.experiment import Experiment
from heads.losses import LOSSES, WeightedSum
from heads.metrics import weighted_f1
from heads.model import Head, build_head
from heads.predict import predict
from heads.registry import look_up
from heads.samplers import SAMPLERS


@dataclass(frozen=True)
class Epoch:
    """One line of history.parquet. learning_rate: that of the epoch's last step; seconds: training and scoring."""

    epoch: int
    train_loss: float
    dev_loss: float
    dev_weighted_f1: float
    learning_rate: float
    seconds: float


@dataclass(frozen=True)
class Trained:
    """The head as it was after its best epoch on dev. Epochs count from 1."""

    head: Head
    best_epoch: int
    history: tuple[Epoch, ...]
    seconds: float

    @property
    def dev_weighted_f1(self) -> float:
        return self.history[self.best_epoch - 1].dev_weighted_f1


@dataclass(frozen=True)
class _Split:
    """The labelled utterances of one split that have an input. labels: int64 [n]."""

    batch: Batch
    labels: Tensor


def train_head(
    experiment: Experiment,
    data: HeadData,
    seed: int,
    device: str = "cpu",
    stopped: Callable[[], bool] = lambda: False,
) -> Trained:
    """Train on the train rows, select by the dev rows; rows of other splits are not looked at.

    Rows without a label or without any input are left out of the loss; dev rows without input are scored.
    stopped: asked once an epoch; when it says True, KeyboardInterrupt is raised.
    Raises ManifestError where a split has no row to learn from, and TrainingError where the loss is no longer finite.
    """
    started = time.perf_counter()
    with _seeded(seed, device) as generator:
        labels = torch.from_numpy(data.utterances.labels)
        table = batch_of(data)
        train = _split(data, table, labels, "train", device, with_input=True)
        dev = _split(data, table, labels, "dev", device, with_input=False)
        num_classes = len(data.utterances.label_names)
        head = build_head(experiment, data.widths, num_classes).to(device)
        counts = torch.bincount(train.labels.cpu(), minlength=num_classes)
        loss = _loss(experiment, counts).to(device)
        history: list[Epoch] = []
        best_epoch, best_state = 0, head.state_dict()
        for epoch in _epochs(experiment, head, loss, train, dev, generator):
            if stopped():
                raise KeyboardInterrupt
            history.append(epoch)
            if not best_epoch or epoch.dev_weighted_f1 > history[best_epoch - 1].dev_weighted_f1:
                best_epoch, best_state = epoch.epoch, copy.deepcopy(head.state_dict())
            if epoch.epoch - max(best_epoch, warmup_epochs(experiment)) >= experiment.stop.patience:
                break
        head.load_state_dict(best_state)
    return Trained(head.to("cpu").eval(), best_epoch, tuple(history), time.perf_counter() - started)


def warmup_epochs(experiment: Experiment) -> int:
    """Epochs that the warm-up touches."""
    return math.ceil(experiment.optim.warmup * experiment.stop.epochs)


def learning_rate_factor(step: int, warmup_steps: int, total_steps: int, schedule: str) -> float:
    """What the learning rate is multiplied by at a step (from 0): up to 1 over the warm-up, then down to 0, or 1."""
    if step < warmup_steps:
        return (step + 1) / warmup_steps
    left = max(0.0, (total_steps - step) / max(1, total_steps - warmup_steps))
    if schedule == "linear":
        return left
    return 0.5 * (1 - math.cos(math.pi * left)) if schedule == "cosine" else 1.0


@contextmanager
def _seeded(seed: int, device: str) -> Iterator[torch.Generator]:
    """torch's generators (initial weights, dropout) seeded, one thread, and a generator of its own for shuffling."""
    threads = torch.get_num_threads()
    devices = [torch.device(device)] if device.startswith("cuda") else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(seed)
        torch.set_num_threads(1)
        try:
            yield torch.Generator().manual_seed(seed)
        finally:
            torch.set_num_threads(threads)


def _split(data: HeadData, table: Batch, labels: Tensor, split: str, device: str, with_input: bool) -> _Split:
    rows = data.utterances.rows(split)
    rows = rows[data.utterances.labels[rows] != UNLABELLED]
    if with_input:
        rows = rows[data.has_input()[rows]]
    if not len(rows):
        raise ManifestError(f"split {split!r} has no labelled utterance with an input: a head needs train and dev")
    positions = torch.from_numpy(rows)
    return _Split(table.select(positions).to(device), labels[positions].to(device))


def _loss(experiment: Experiment, counts: Tensor) -> WeightedSum:
    return WeightedSum(
        [
            (term.common["weight"], look_up(LOSSES, term.name, "loss")(counts, **term.settings))
            for term in experiment.loss
        ]
    )


def _epochs(
    experiment: Experiment, head: Head, loss: nn.Module, train: _Split, dev: _Split, generator: torch.Generator
) -> Iterator[Epoch]:
    """Train one epoch after another and score dev after each."""
    optim, size = experiment.optim, experiment.batch.size
    sampler = look_up(SAMPLERS, experiment.batch.sampler, "sampler")
    optimizer = _adamw(head, optim.lr, optim.weight_decay)
    total_steps = math.ceil(len(train.labels) / size) * experiment.stop.epochs
    warmup_steps = round(optim.warmup * total_steps)
    schedule = LambdaLR(optimizer, lambda step: learning_rate_factor(step, warmup_steps, total_steps, optim.schedule))
    gold = dev.labels.cpu().numpy()
    for number in range(1, experiment.stop.epochs + 1):
        started = time.perf_counter()
        head.train()
        total = torch.zeros((), device=train.labels.device)
        for positions in sampler(train.labels, size, generator):
            positions = positions.to(train.labels.device)
            value = loss(head(train.batch.select(positions)), train.labels[positions])
            optimizer.zero_grad(set_to_none=True)
            value.backward()
            if optim.clip is not None:
                nn.utils.clip_grad_norm_(head.parameters(), optim.clip)
            rate = float(schedule.get_last_lr()[0])
            optimizer.step()
            schedule.step()
            total += value.detach() * len(positions)
        train_loss = float(total) / len(train.labels)
        if not math.isfinite(train_loss):
            raise TrainingError(
                f"the loss is {train_loss} in epoch {number} with optim.lr={optim.lr:g}: try a lower one"
            )
        logits = predict(head, dev.batch)
        yield Epoch(
            epoch=number,
            train_loss=train_loss,
            dev_loss=float(functional.cross_entropy(logits, dev.labels)),
            dev_weighted_f1=weighted_f1(gold, _classes(logits), logits.shape[1]),
            learning_rate=rate,
            seconds=time.perf_counter() - started,
        )


def _classes(logits: Tensor) -> np.ndarray:
    classes: np.ndarray = logits.argmax(dim=1).cpu().numpy()
    return classes


def _adamw(head: nn.Module, lr: float, weight_decay: float) -> torch.optim.AdamW:
    """Weight decay on matrices alone: biases and the learned vectors of missing inputs are free."""
    matrices = [parameter for parameter in head.parameters() if parameter.ndim > 1]
    vectors = [parameter for parameter in head.parameters() if parameter.ndim <= 1]
    groups = [{"params": matrices, "weight_decay": weight_decay}, {"params": vectors, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=lr, fused=True)
