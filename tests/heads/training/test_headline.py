"""The epoch is the best by the score that the corpus is judged by."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from head_factory import LABELS, experiment, head_data
from small_corpus import make_manifest

from features.cards import HEADLINES
from features.errors import ManifestError
from heads.criterion import Criterion, headline, weighted_f1
from heads.data.data import HeadData
from heads.data.utterances import read_utterances
from heads.training.trainer import train_head

EPOCHS = {"batch": {"size": 16}, "stop": {"epochs": 8, "patience": 8}, "optim": {"lr": 0.01}}
SIDES = {"negative": LABELS[:1], "positive": LABELS[1:2]}


def judged(data: HeadData, name: str) -> HeadData:
    criterion = Criterion.of(name, LABELS[2], SIDES)
    return HeadData(replace(data.utterances, criterion=criterion), data.inputs)


@pytest.mark.parametrize("name", HEADLINES)
def test_the_epoch_is_the_first_of_the_highest_headline(name: str) -> None:
    data = judged(head_data(train=60, dev=40, missing=0.1), name)
    trained = train_head(experiment(**EPOCHS), data, seed=1)
    values = [epoch.dev_headline for epoch in trained.history]
    assert trained.best_epoch == 1 + values.index(max(values))
    assert len(set(values)) > 2
    dev = data.utterances.rows("dev")
    from heads.data.batch import batch_of

    scores = trained.predictor.scores(batch_of(data, trained.speakers).select(torch.from_numpy(dev)))
    gold, chances = data.utterances.labels[dev], scores.softmax(dim=1).numpy()
    predicted = scores.argmax(dim=1).numpy()
    assert trained.dev_headline == headline(gold, predicted, chances, LABELS, data.utterances.criterion)
    assert trained.dev_weighted_f1 == weighted_f1(gold, predicted, len(LABELS))
    if name == "weighted_f1":
        assert values == [epoch.dev_weighted_f1 for epoch in trained.history]


def test_other_headlines_choose_other_epochs_of_the_same_training() -> None:
    """Everything but the choice is the same: histories agree, best epochs do not."""
    data = head_data(train=60, dev=40, missing=0.4)
    trained = [train_head(experiment(**EPOCHS), judged(data, name), seed=1) for name in HEADLINES]
    assert len({tuple(epoch.train_loss for epoch in one.history) for one in trained}) == 1
    assert len({tuple(epoch.dev_weighted_f1 for epoch in one.history) for one in trained}) == 1
    assert len({one.best_epoch for one in trained}) >= 3


def test_dev_without_a_label_of_either_side_is_refused() -> None:
    data = judged(head_data(train=60, dev=20, missing=0.0), "binary_accuracy")
    of_dev = data.utterances.splits == "dev"
    without = replace(data.utterances, labels=np.where(of_dev, 2, data.utterances.labels))
    with pytest.raises(ManifestError, match="'dev' has no label that the dataset card's polarity names"):
        train_head(experiment(**EPOCHS), HeadData(without, data.inputs), seed=0)


def test_the_digest_of_a_corpus_by_weighted_f1_is_what_it_was(tmp_path: Path) -> None:
    """So are the keys of its runs: the digest below was made before there was a choice."""
    manifest = make_manifest(tmp_path / "M.parquet")
    utterances = read_utterances(manifest, ["train", "dev"])
    before = "410ca9fb235d4d380dfa507487b94ee23cce98b514f48a2097e880cb0056bd0a"
    assert utterances.digest() == before
    assert utterances.criterion == Criterion("weighted_f1", "neutral")
    known = {replace(utterances, criterion=Criterion.of(name, "neutral", SIDES)).digest() for name in HEADLINES}
    assert before in known
    assert len(known) == len(HEADLINES)


def test_hidden_labels_are_hidden_and_the_others_stay() -> None:
    utterances = head_data(train=20, dev=8, test=8).utterances
    hidden = utterances.without_labels("test")
    test = utterances.splits == "test"
    assert (hidden.labels[test] == -1).all()
    assert (hidden.sentiments[test] == -1).all()
    assert np.array_equal(hidden.labels[~test], utterances.labels[~test])
    assert np.array_equal(hidden.sentiments[~test], utterances.sentiments[~test])
    assert (utterances.labels[test] >= 0).all()
    assert hidden.labels.dtype == utterances.labels.dtype
