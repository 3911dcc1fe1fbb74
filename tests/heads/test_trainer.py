"""Training: it learns, it repeats, it never looks at test, it stops when told."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from head_factory import experiment, head_data

from features.errors import ManifestError, TrainingError
from heads.data import HeadData
from heads.trainer import Trained, learning_rate_factor, train_head

QUICK: dict[str, Any] = {
    "feedforward": {"sizes": [8], "dropout": 0.3},
    "fusion": {"name": "concat", "dim": 4, "input_dropout": 0.2, "modality_dropout": 0.2},
    "batch": {"size": 8},
    "stop": {"epochs": 6, "patience": 6},
}


def weights(trained: Trained) -> torch.Tensor:
    return torch.cat([value.flatten() for value in trained.head.state_dict().values()])


def changed(data: HeadData, rows: np.ndarray, value: float) -> HeadData:
    """The data with the features of some rows overwritten."""
    inputs = {}
    for modality, items in data.inputs.items():
        copies = []
        for item in items:
            values = item.values.copy()
            values[rows] = value
            copies.append(replace(item, values=values))
        inputs[modality] = tuple(copies)
    return HeadData(data.utterances, inputs)


def test_a_head_learns_what_is_there_to_learn() -> None:
    data = head_data(train=300, dev=100, missing=0.1)
    trained = train_head(
        experiment(**QUICK | {"stop": {"epochs": 20}, "optim": {"lr": 0.02}, "batch": {"size": 32}}), data, seed=0
    )
    assert trained.dev_weighted_f1 > 0.6  # always the most frequent of three classes: below 0.25
    assert trained.history[-1].train_loss < trained.history[0].train_loss
    assert trained.dev_weighted_f1 == max(epoch.dev_weighted_f1 for epoch in trained.history)


def test_the_same_seed_gives_the_same_bits_and_leaves_the_callers_generator_and_threads() -> None:
    data = head_data()
    before, threads = torch.random.get_rng_state(), torch.get_num_threads()
    first = train_head(experiment(**QUICK), data, seed=3)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert torch.get_num_threads() == threads
    torch.manual_seed(99)
    second = train_head(experiment(**QUICK), data, seed=3)
    assert torch.equal(weights(first), weights(second))
    assert not torch.equal(weights(first), weights(train_head(experiment(**QUICK), data, seed=4)))


def test_rows_of_other_splits_are_never_looked_at() -> None:
    data = head_data(test=20)
    poisoned = changed(data, data.utterances.rows("test"), float("nan"))
    trained, again = (train_head(experiment(**QUICK), item, seed=0) for item in (data, poisoned))
    assert torch.equal(weights(trained), weights(again))


def test_dev_selects_but_does_not_train() -> None:
    data = head_data()
    one_epoch = QUICK | {"stop": {"epochs": 1}}
    shifted = changed(data, data.utterances.rows("dev"), 50.0)
    trained, again = (train_head(experiment(**one_epoch), item, seed=0) for item in (data, shifted))
    assert torch.equal(weights(trained), weights(again))
    assert trained.history[0].dev_loss != again.history[0].dev_loss


def test_rows_without_label_or_input_do_not_train() -> None:
    data = head_data(missing=0.0)
    labels = data.utterances.labels.copy()
    labels[:5] = -1
    utterances = replace(data.utterances, labels=labels)
    present = np.ones(len(labels), bool)
    present[5:9] = False
    inputs = {
        modality: tuple(replace(item, present=present) for item in items) for modality, items in data.inputs.items()
    }
    left_out = HeadData(utterances, inputs)
    poisoned = changed(left_out, np.arange(9), float("nan"))
    assert torch.isfinite(weights(train_head(experiment(**QUICK), poisoned, seed=0))).all()


def test_training_stops_when_patience_is_spent_after_warm_up() -> None:
    # Nothing can be learnt at this rate, so that the first epoch stays the best.
    settings = QUICK | {"stop": {"epochs": 40, "patience": 3}, "optim": {"lr": 1e-12, "warmup": 0.25}}
    trained = train_head(experiment(**settings), head_data(), seed=0)
    assert trained.best_epoch == 1
    assert len(trained.history) == 10 + 3


def test_the_best_epochs_weights_are_kept_not_the_last() -> None:
    optim = {"lr": 0.3, "schedule": "constant", "warmup": 0.0}
    data = head_data(train=40, dev=30)
    kept = train_head(experiment(**QUICK | {"stop": {"epochs": 8, "patience": 8}, "optim": optim}), data, seed=1)
    assert kept.best_epoch < len(kept.history)
    until_best = {"epochs": kept.best_epoch, "patience": 8}
    reached = train_head(experiment(**QUICK | {"stop": until_best, "optim": optim}), data, seed=1)
    assert torch.equal(weights(kept), weights(reached))


def test_a_loss_that_is_no_longer_finite_says_so() -> None:
    data = head_data()
    broken = changed(data, np.array([0]), float("nan"))
    with pytest.raises(TrainingError, match=r"the loss is nan in epoch 1 with optim.lr=0.001: try a lower one"):
        train_head(experiment(**QUICK), broken, seed=0)


def test_a_split_without_rows_is_refused() -> None:
    with pytest.raises(ManifestError, match="split 'dev' has no labelled utterance"):
        train_head(experiment(**QUICK), head_data(dev=0), seed=0)


def test_a_stop_ends_training() -> None:
    with pytest.raises(KeyboardInterrupt):
        train_head(experiment(**QUICK), head_data(), seed=0, stopped=lambda: True)


def test_the_learning_rate_rises_then_falls() -> None:
    factors = [learning_rate_factor(step, 4, 20, "linear") for step in range(20)]
    assert factors[:4] == [0.25, 0.5, 0.75, 1.0]
    assert factors[4] == 1.0
    assert factors[4:] == sorted(factors[4:], reverse=True)
    assert factors[-1] == pytest.approx(1 / 16)
    assert [learning_rate_factor(step, 0, 20, "constant") for step in (0, 19)] == [1.0, 1.0]
    assert learning_rate_factor(10, 0, 20, "cosine") == pytest.approx(0.5)
    assert learning_rate_factor(20, 0, 20, "cosine") == pytest.approx(0.0)
