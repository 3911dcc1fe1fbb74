"""Training one head with one seed: AdamW, a warm-up, early stopping on dev by the score that the corpus is judged by.

Everything random comes from the seed: the same seed, data and thread count give the same bits, whatever else runs. The
caller's generator and thread count are left as they were.
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn

from features.errors import TrainingError
from heads.config.experiment import Experiment
from heads.data.data import HeadData
from heads.data.samplers import LASTS_ALL_EPOCHS
from heads.data.utterances import Utterances
from heads.losses import WeightedSum
from heads.losses.decision import Decision
from heads.model import Head, HeadShape, build_head
from heads.precision import ieee_float32, products_in, resolve_precision
from heads.predict import Predictor
from heads.signals import LossTask, Output
from heads.training.adamw import AdamW
from heads.training.clipping import clip_gradients
from heads.training.dev_scores import score_dev
from heads.training.examples import Examples
from heads.training.first_use import import_what_training_uses
from heads.training.memory import keep_freed_memory
from heads.training.moving_average import MovingAverage
from heads.training.objective import build_objective
from heads.training.steps import Step, steps_of
from heads.training.weight_decay import parameter_groups


@dataclass(frozen=True)
class Epoch:
    """One line of history.parquet. dev_headline: the score that chooses the epoch (`Utterances.criterion`);
    learning_rate: that of the epoch's last step; seconds: training and scoring."""

    epoch: int
    train_loss: float
    dev_loss: float
    dev_weighted_f1: float
    learning_rate: float
    seconds: float
    dev_headline: float


@dataclass(frozen=True)
class Trained:
    """The head as it was after its best epoch on dev. Epochs count from 1; speakers: those it knows by name; precision:
    that of its products in training, fp32 or bf16."""

    predictor: Predictor
    best_epoch: int
    history: tuple[Epoch, ...]
    seconds: float
    speakers: tuple[str, ...] = ()
    precision: str = "fp32"

    @property
    def head(self) -> Head:
        return self.predictor.head

    @property
    def dev_weighted_f1(self) -> float:
        return self.history[self.best_epoch - 1].dev_weighted_f1

    @property
    def dev_headline(self) -> float:
        return self.history[self.best_epoch - 1].dev_headline


class Model(nn.Module):
    """What is trained: the head, and what its losses learn."""

    def __init__(self, head: Head, objective: WeightedSum) -> None:
        super().__init__()
        self.head = head
        self.objective = objective


def train_head(
    experiment: Experiment,
    data: HeadData,
    seed: int,
    device: str = "cpu",
    stopped: Callable[[], bool] = lambda: False,
    each_epoch: Callable[[Epoch], object] = lambda epoch: None,
) -> Trained:
    """Train on the train rows, select by the dev rows; rows of other splits are not looked at.

    Rows without a label or without any input are left out of the loss; dev rows without input are scored.
    stopped: asked once an epoch; when it says True, KeyboardInterrupt is raised.
    each_epoch: is given each epoch as it ends
    Raises ManifestError where a split has no row to learn from, and TrainingError where the loss, the scores on dev or
    the weights are no longer finite, or the device cannot do what the experiment asks for.
    """
    _check_checkpointing(experiment, device)
    import_what_training_uses()
    started = time.perf_counter()
    keep_freed_memory()
    precision = resolve_precision(experiment.optim.precision, device)
    utterances = data.utterances
    speakers = utterances.frequent_speakers(experiment.speakers.min_rows) if experiment.speakers else ()
    examples = Examples.of(data, speakers, device)
    with ieee_float32(device), _seeded(seed, device) as generator:
        num_classes = len(utterances.label_names)
        head = build_head(experiment, HeadShape(data.shapes, num_classes, len(speakers)))
        counts = torch.bincount(examples.labels, minlength=num_classes)
        task = LossTask(counts, head.hidden_width, len(utterances.sentiment_names))
        model = Model(head, build_objective(experiment.loss, task)).to(device)
        scored = _Scored(experiment, model)
        history: list[Epoch] = []
        best_epoch, best_state = 0, model.state_dict()
        for epoch in _epochs(experiment, model, scored, examples, generator, precision, utterances):
            if stopped():
                raise KeyboardInterrupt
            history.append(epoch)
            each_epoch(epoch)
            if not best_epoch or epoch.dev_headline > history[best_epoch - 1].dev_headline:
                best_epoch, best_state = epoch.epoch, copy.deepcopy(scored.model.state_dict())
            if epoch.epoch - max(best_epoch, patience_starts(experiment)) >= experiment.stop.patience:
                break
        _check_finite(best_state, best_epoch, experiment)
        model.load_state_dict(best_state)
    model.to("cpu").eval()
    predictor = Predictor(experiment, model.head, model.objective.decision)
    return Trained(predictor, best_epoch, tuple(history), time.perf_counter() - started, speakers, precision)


def patience_starts(experiment: Experiment) -> int:
    """The epoch after which patience is counted: the last that the warm-up touches, or the curriculum's last."""
    if experiment.batch.sampler in LASTS_ALL_EPOCHS:
        return experiment.stop.epochs
    return math.ceil(experiment.optim.warmup * experiment.stop.epochs)


def _check_checkpointing(experiment: Experiment, device: str) -> None:
    """On Apple's GPU torch does not put its generator back before it computes a layer again: dropout would then hide
    other values than before, and the gradients would be those of another loss."""
    named = [modality for modality, reader in experiment.readers.items() if reader.settings.get("checkpointing")]
    if device == "mps" and named:
        raise TrainingError(
            f"readers.{named[0]}.checkpointing does not work on mps, where dropout would differ when a layer is"
            " computed again: leave it out, or train on cpu or cuda"
        )


def _check_finite(state: Mapping[str, Tensor], epoch: int, experiment: Experiment) -> None:
    """Also what dev did not look at: a speaker whom it lacks, what stands in for an input that it has."""
    for name, value in state.items():
        if value.is_floating_point() and not value.isfinite().all():
            raise TrainingError(
                f"{name} holds no numbers after epoch {epoch} with optim.lr={experiment.optim.lr:g}: try a lower one"
            )


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


class _Scored:
    """The model that is scored and kept: the one that is trained, or the moving average of its weights."""

    def __init__(self, experiment: Experiment, model: Model) -> None:
        decay = experiment.optim.ema
        self._average = MovingAverage(model, decay) if decay else None
        self.trained = model
        self.model = model if self._average is None else self._average.module
        self.predictor = Predictor(experiment, self.model.head, self.model.objective.decision)

    def after_step(self) -> None:
        if self._average is not None:
            self._average.update(self.trained)

    def refresh(self, examples: Examples) -> None:
        """Class centres as the weights stand, where a loss decides by them."""
        for model in {id(item): item for item in (self.trained, self.model)}.values():
            decision = model.objective.decision
            if decision is not None:
                hidden = examples.hidden(Predictor(self.predictor.experiment, model.head))
                decision.refresh(hidden, examples.targets.labels[examples.train])

    def difficulty(self, examples: Examples) -> Tensor:
        """float32 [n] of the training examples, on the CPU. Expects a loss that decides."""
        decision = cast(Decision, self.model.objective.decision)
        hidden = examples.hidden(self.predictor)
        return decision.difficulty(hidden, examples.targets.labels[examples.train]).cpu()


def _epochs(
    experiment: Experiment,
    model: Model,
    scored: _Scored,
    examples: Examples,
    generator: torch.Generator,
    precision: str,
    utterances: Utterances,
) -> Iterator[Epoch]:
    """Train one epoch after another and score dev after each. precision: of `_loss`; utterances: of `score_dev`."""
    optim = experiment.optim
    trainable = examples.trainable() if experiment.batch.unit == "dialogues" else None
    optimizer: AdamW | None = None
    steps_per_epoch = 0
    scored.refresh(examples)
    for number in range(1, experiment.stop.epochs + 1):
        started = time.perf_counter()
        batches = examples.batches(experiment, number, generator, lambda: scored.difficulty(examples))
        if optimizer is None:
            steps_per_epoch = len(batches)
            optimizer = _optimizer(experiment, model, steps_per_epoch)
        model.train()
        clock = _Clock(number, len(batches), steps_per_epoch)
        train_loss, rate = _train_epoch(scored, steps_of(examples, batches, trainable), optimizer, clock, precision)
        if not math.isfinite(train_loss):
            raise TrainingError(
                f"the loss is {train_loss} in epoch {number} with optim.lr={optim.lr:g}: try a lower one"
            )
        scored.refresh(examples)
        on_dev = score_dev(scored.predictor, examples, utterances)
        if not math.isfinite(on_dev.loss):
            raise TrainingError(
                f"the scores on dev are no numbers after epoch {number} with optim.lr={optim.lr:g}: try a lower one"
            )
        seconds = time.perf_counter() - started
        yield Epoch(number, train_loss, on_dev.loss, on_dev.weighted_f1, rate, seconds, on_dev.headline)


@dataclass(frozen=True)
class _Clock:
    """The schedule's clock in one epoch, which takes `steps_per_epoch` of its steps whatever the epoch's batches are:
    those that teach nothing take their time, too, and so the schedule ends with the last epoch."""

    epoch: int
    batches: int
    steps_per_epoch: int

    def time(self, place: int) -> int:
        return (self.epoch - 1) * self.steps_per_epoch + place * self.steps_per_epoch // self.batches


def _train_epoch(
    scored: _Scored, steps: Iterator[Step], optimizer: AdamW, clock: _Clock, precision: str
) -> tuple[float, float]:
    """Gives the mean loss over the epoch's examples, and the learning rate of its last step. Until the end no number is
    read from the device."""
    model, clip = scored.trained, scored.predictor.experiment.optim.clip
    parameters = list(model.parameters())  # walking through the modules each step costs a tenth of a small head's step
    losses, counts, rate = [], [], 0.0
    for step in steps:
        value = _loss(model, step, precision)
        if not value.requires_grad:
            named = ", ".join(term.name for term in scored.predictor.experiment.loss)
            raise TrainingError(
                f"no weight of this head has a say in its loss ({named}), so nothing can be learned: add a hidden layer"
                " (feedforward.sizes), or a loss on the logits such as cross-entropy"
            )
        for parameter in parameters:
            parameter.grad = None
        value.backward()
        if clip is not None:
            clip_gradients(parameters, clip)
        now = clock.time(step.place)
        rate = optimizer.rate(now)
        optimizer.step(now)
        scored.after_step()
        losses.append(value.detach())
        counts.append(step.count)
    return _mean_loss(losses, counts), rate


def _mean_loss(losses: list[Tensor], counts: list[int]) -> float:
    """Of an epoch's batches, weighed by their examples. Waits for the device."""
    return float(np.average(torch.stack(losses).cpu().double().numpy(), weights=counts))


def _loss(model: Model, step: Step, precision: str) -> Tensor:
    """The loss of one batch over the utterances that teach.

    precision: of the head's matrix products, fp32 or bf16; the loss itself is always float32
    """
    with products_in(precision, step.batch.device):
        output = model.head(step.batch)
    output = Output(output.logits.float(), output.hidden.float())
    if step.learnt is not None:
        output = output.select(step.learnt)
    value: Tensor = model.objective(output, step.targets)
    return value


def _optimizer(experiment: Experiment, model: Model, steps_per_epoch: int) -> AdamW:
    optim = experiment.optim
    total_steps = steps_per_epoch * experiment.stop.epochs
    warmup_steps = round(optim.warmup * total_steps)
    groups = parameter_groups(model, optim.weight_decay, optim.top_rate)
    return AdamW(groups, optim.lr, lambda step: learning_rate_factor(step, warmup_steps, total_steps, optim.schedule))
