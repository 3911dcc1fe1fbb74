"""How big a head is and how long it would train on this machine, without training it.

A few real steps are taken on a slice of the corpus, with drawn numbers in the shapes that the store has, and scaled up
to all epochs; what a head costs outside its epochs is added. Early stopping makes most runs shorter, other work on the
machine makes them longer. On MELD's size an epoch was 1.0 to 1.3 times the real one, and 0.7 to 0.8 times above 20
million weights, where it is worked out and not stepped.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, replace

import numpy as np

from features.errors import ErcError
from features.store import Feature
from heads.config.experiment import Experiment
from heads.config.sections import Batch, Stop
from heads.data.data import FeatureRows, HeadData, shape_of
from heads.data.normalise import Normaliser
from heads.data.utterances import UNLABELLED, Utterances
from pipeline.suites.fits import Features, unallocated_head

_TRIED_WEIGHTS = 20_000_000  # above this no step is taken: one linear layer tells what a weight costs
_LAYER = (4096, 2048)
_SAMPLED = 16  # sequences whose lengths are looked up


@dataclass(frozen=True)
class Estimate:
    """parameters: of the head; seconds: about, for one seed with all its epochs; None where it cannot be told."""

    parameters: int
    seconds: float | None = None


def estimate(
    experiment: Experiment, features: Features, utterances: Utterances, device: str = "cpu", timed: bool = True
) -> Estimate:
    """Raises ConfigError where a part of the experiment does not fit the features. timed: take steps, too."""
    parameters = count_parameters(experiment, features, utterances)
    if not timed:
        return Estimate(parameters)
    try:
        has_top = any(item.spec.from_top for items in features.values() for item in items)
        if parameters > _TRIED_WEIGHTS and not has_top:  # whose weights are used for every element
            return Estimate(parameters, _from_weights(experiment, parameters, utterances, device))
        return Estimate(parameters, _from_steps(experiment, parameters, features, utterances, device))
    except ErcError:  # what a slice lacks, the whole corpus may have
        return Estimate(parameters)


def count_parameters(experiment: Experiment, features: Features, utterances: Utterances) -> int:
    """Of the head, which is not allocated. Raises ConfigError where a part does not fit the features."""
    from heads.model import num_parameters

    return num_parameters(unallocated_head(experiment, features, utterances))


def _from_steps(
    experiment: Experiment, parameters: int, features: Features, utterances: Utterances, device: str
) -> float:
    """Two epochs of so many batches as are quick; the second one counts."""
    from heads.training.trainer import train_head

    batches = max(1, min(4, 4_000_000 // max(1, parameters)))
    part, share = slice_of(utterances, experiment.batch, batches)
    data = HeadData(part, _drawn(features, part))
    tried = replace(experiment, stop=Stop(epochs=2, patience=2))
    trained = train_head(tried, data, 0, device)
    outside = trained.seconds - sum(epoch.seconds for epoch in trained.history)
    return trained.history[-1].seconds / share * experiment.stop.epochs + outside


def slice_of(utterances: Utterances, batch: Batch, batches: int) -> tuple[Utterances, float]:
    """So many batches of the train rows, and as large a share of the dev rows; and that share.

    Labels are dealt in turn, so that every class is there.
    """
    train, dev = utterances.rows("train"), utterances.rows("dev")
    starts = np.flatnonzero(np.diff(utterances.dialogues[train], prepend=-1))
    ends = np.append(starts[1:], len(train))
    wanted = batches * batch.size
    last = ends[min(wanted, len(ends)) - 1] if batch.unit == "dialogues" else min(wanted, len(train))
    share = float(last / len(train))
    rows = np.concatenate([train[:last], dev[: max(1, math.ceil(share * len(dev)))]])
    known = np.unique(utterances.labels[utterances.labels != UNLABELLED])
    part = utterances.take(np.sort(rows))
    return replace(part, labels=known[np.arange(len(rows)) % len(known)]), share


def _drawn(features: Features, utterances: Utterances) -> dict[str, tuple[FeatureRows, ...]]:
    generator = np.random.default_rng(0)
    return {
        modality: tuple(_drawn_feature(item, utterances, generator) for item in items)
        for modality, items in features.items()
    }


def _drawn_feature(feature: Feature, utterances: Utterances, generator: np.random.Generator) -> FeatureRows:
    """Numbers in the feature's shape, all there; sequences are as long as some of the store's own, and these themselves
    where they are states below an encoder's top."""
    count, shape = len(utterances), shape_of(feature)
    offsets = None
    if feature.spec.kind == "sequence":
        sampled = [utterances.ids[row] for row in np.linspace(0, count - 1, min(count, _SAMPLED)).astype(int)]
        found = [item for item in feature.read_sequences(sampled) if item is not None]
        found = found or [np.zeros((1, *shape.shape), np.float32)]
        lengths = [len(item) for item in found]
        offsets = np.append(0, np.cumsum(np.resize(lengths, count))).astype(np.int64)
        drawn = generator.standard_normal((int(offsets[-1]), *shape.shape), np.float32)
        values = drawn.astype(feature.spec.stored_dtype) if shape.shape == () else drawn
        if shape.top is not None:
            repeats = -(-count // len(found))
            values = np.concatenate(found * repeats)[: len(drawn)].astype(feature.spec.stored_dtype)
    else:
        values = generator.standard_normal((count, math.prod(shape.shape)), np.float32)
    present = np.ones(count, bool)
    return FeatureRows(feature.spec.modality, feature.folder, Normaliser("none"), values, present, shape, offsets)


def _from_weights(experiment: Experiment, parameters: int, utterances: Utterances, device: str) -> float:
    """As if every weight cost what one of a linear layer costs that is trained with as many rows."""
    train, batch = utterances.rows("train"), experiment.batch
    dialogues = len(np.unique(utterances.dialogues[train]))
    units = dialogues if batch.unit == "dialogues" else len(train)
    steps = math.ceil(units / batch.size) * experiment.stop.epochs
    return seconds_a_weight(max(1, round(len(train) / units * batch.size)), device) * parameters * steps


def seconds_a_weight(rows: int, device: str = "cpu") -> float:
    """Of one step of AdamW, forward and backward pass included, over a batch of `rows`: measured, on one thread."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        layer = torch.nn.Linear(*_LAYER, device=device)
        optimizer = torch.optim.AdamW(layer.parameters(), fused=True)
        inputs = torch.ones(rows, _LAYER[0], device=device)
        for _ in range(2):  # the first one makes the optimiser's state
            started = time.perf_counter()
            layer(inputs).sum().backward()
            torch.nn.utils.clip_grad_norm_(layer.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad()
            if device == "mps":
                torch.mps.synchronize()
            elif device != "cpu":
                torch.cuda.synchronize(device)
        return (time.perf_counter() - started) / (_LAYER[0] * _LAYER[1])
    finally:
        torch.set_num_threads(threads)
