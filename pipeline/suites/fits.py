"""Whether an experiment's parts fit its features and its corpus, before anything is trained."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from features.errors import ErcError
from features.store import Feature
from heads.config.experiment import Experiment
from heads.data.data import shape_of
from heads.data.utterances import UNLABELLED, Utterances

if TYPE_CHECKING:
    from heads.model import Head

Features = Mapping[str, Sequence[Feature]]


def misfit(experiment: Experiment, features: Features, utterances: Utterances) -> str | None:
    """Why no head, loss or batch of it can be made, in one line; None where they can, or where that is not known: a
    part of one's own may not build without memory for its weights, and training tells what it raises."""
    import torch

    try:
        head = unallocated_head(experiment, features, utterances)
        learnt = _learnt(features, utterances)
        if not len(learnt):
            return None  # which is no matter of parts: training says so
        with torch.random.fork_rng(devices=[]):
            _make_losses(experiment, head.hidden_width, learnt, utterances)
            if experiment.batch.unit == "utterances":
                _draw(experiment, features, learnt)
    except ErcError as error:
        return str(error)
    except Exception:
        return None
    return None


def unallocated_head(experiment: Experiment, features: Features, utterances: Utterances) -> Head:
    """On torch's `meta` device. Raises ConfigError where a part does not fit the features."""
    import torch

    from heads.model import HeadShape, build_head

    shapes = {modality: tuple(shape_of(item) for item in items) for modality, items in features.items()}
    known = len(utterances.frequent_speakers(experiment.speakers.min_rows)) if experiment.speakers else 0
    with torch.device("meta"), torch.random.fork_rng(devices=[]):
        return build_head(experiment, HeadShape(shapes, len(utterances.label_names), known))


def _learnt(features: Features, utterances: Utterances) -> np.ndarray:
    """Labels of the train utterances that have one, and an input. int64"""
    rows = utterances.rows("train")
    rows = rows[utterances.labels[rows] != UNLABELLED]
    ids = [utterances.ids[row] for row in rows]
    has_input = np.zeros(len(rows), bool)
    for feature in (item for items in features.values() for item in items):
        if has_input.all():
            break
        has_input |= np.array([status == "ok" for status in feature.statuses(ids)], bool)
    return np.asarray(utterances.labels[rows[has_input]], np.int64)


def _make_losses(experiment: Experiment, hidden_width: int, learnt: np.ndarray, utterances: Utterances) -> None:
    import torch

    from heads.signals import LossTask
    from heads.training.objective import build_objective

    counts = torch.from_numpy(np.bincount(learnt, minlength=len(utterances.label_names)))
    build_objective(experiment.loss, LossTask(counts, hidden_width, len(utterances.sentiment_names)))


def _draw(experiment: Experiment, features: Features, learnt: np.ndarray) -> None:
    """An epoch's batches, of which nothing but the labels counts here."""
    import torch

    from heads.config.registry import look_up
    from heads.data.samplers import SAMPLERS
    from heads.signals import Draw

    has_sequence = any(item.spec.kind == "sequence" for items in features.values() for item in items)
    nothing = torch.zeros(len(learnt))
    draw = Draw(
        labels=torch.from_numpy(learnt),
        size=experiment.batch.size,
        epoch=1,
        epochs=experiment.stop.epochs,
        generator=torch.Generator(),
        difficulty=lambda: nothing,
        lengths=nothing.long() if has_sequence else None,
    )
    look_up(SAMPLERS, experiment.batch.sampler, "sampler")(draw)
