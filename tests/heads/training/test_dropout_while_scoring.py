"""`evaluation: {dropout: true}`: in the scores that are told, and in nothing that chooses an epoch."""

from __future__ import annotations

from typing import Any

import torch
from head_factory import experiment, head_data

from heads.data.batch import batch_of
from heads.training.trainer import Trained, train_head

DATA = head_data(train=60, dev=40, missing=0.1)
PARTS: dict[str, Any] = {
    "feedforward": {"sizes": [8], "dropout": 0.5},
    "batch": {"size": 16},
    "stop": {"epochs": 6, "patience": 6},
    "optim": {"lr": 0.01},
}


def trained(dropout: bool, **parts: Any) -> Trained:
    return train_head(experiment(**PARTS | {"evaluation": {"dropout": dropout}} | parts), DATA, seed=1)


def history(of: Trained) -> list[tuple[float, ...]]:
    return [(one.train_loss, one.dev_loss, one.dev_weighted_f1, one.dev_headline) for one in of.history]


def test_the_epoch_is_chosen_with_dropout_off_and_the_scores_are_told_with_it_on() -> None:
    """In the report's code, Hugging Face's Trainer calls eval() before it scores dev. Its own evaluator does not."""
    right, slip = trained(dropout=False), trained(dropout=True)
    assert history(slip) == history(right)
    assert slip.best_epoch == right.best_epoch
    assert all(torch.equal(value, right.head.state_dict()[name]) for name, value in slip.head.state_dict().items())
    batch = batch_of(DATA)
    assert not torch.allclose(slip.predictor.scores(batch), right.predictor.scores(batch))
    assert torch.equal(slip.predictor.scores(batch, final=False), right.predictor.scores(batch))


def test_class_centres_and_a_curriculum_are_of_states_without_dropout() -> None:
    parts = {"loss": [{"name": "spcl", "dim": 8}], "batch": {"size": 16, "sampler": "spcl-curriculum"}}
    assert history(trained(dropout=True, **parts)) == history(trained(dropout=False, **parts))
