"""Training: it learns, it repeats, it never looks at test, it stops when told."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from head_factory import LABELS, experiment, head_data

from features import hardware
from features.errors import ManifestError, TrainingError
from heads.config.experiment import Experiment
from heads.criterion import weighted_f1
from heads.data.batch import Batch, batch_of
from heads.data.data import HeadData
from heads.losses.spcl import Spcl
from heads.precision import resolve_precision
from heads.training.checkpoint import InputFeature, TrainedHead, read_checkpoint, write_checkpoint
from heads.training.examples import Examples
from heads.training.trainer import Trained, _Scored, learning_rate_factor, train_head

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


LEARNERS: dict[str, dict[str, Any]] = {
    "plain": {"batch": {"size": 32}},
    "bclstm": {
        "context": {"name": "bclstm", "units": 8},
        "batch": {"unit": "dialogues", "size": 4},
        "stop": {"epochs": 30},
    },
    "dialogue-rnn": {
        "context": {"name": "dialogue-rnn", "state": 12, "emotion": 12, "hidden": 12}
        | dict.fromkeys(("dropout", "state_dropout", "emotion_dropout"), 0.0),
        "feedforward": {"sizes": [16], "dropout": 0.0},
        "batch": {"unit": "dialogues", "size": 2},
        "optim": {"lr": 0.01},
        "stop": {"epochs": 20, "patience": 20},
    },
    "previous-turns": {
        "context": {"name": "previous-turns", "same_speaker": True},
        "batch": {"unit": "dialogues", "size": 8},
    },
    "speakers": {"speakers": {"dim": 4, "min_rows": 10}, "batch": {"size": 32}},
    "moving average": {"optim": {"lr": 0.02, "ema": 0.9}, "batch": {"size": 32}},
    "sentiment": {"loss": ["cross-entropy", {"name": "sentiment", "weight": 0.3}], "batch": {"size": 32}},
    "class-balanced": {"batch": {"size": 30, "sampler": "class-balanced"}},
    "nearest centre": {
        "loss": [{"name": "spcl", "dim": 8}, "cross-entropy"],
        "batch": {"size": 32, "sampler": "spcl-curriculum"},
    },
    "over the batch": {"fusion": {"name": "attention-over-batch", "dim": 12}, "batch": {"size": 32}},
}


def learner(name: str, **more: Any) -> Experiment:
    parts = QUICK | {"stop": {"epochs": 20}, "optim": {"lr": 0.02}} | LEARNERS[name] | more
    losses = [{"name": term} if isinstance(term, str) else term for term in parts.get("loss", ["cross-entropy"])]
    return experiment(**parts | {"loss": losses})


@pytest.mark.parametrize("name", LEARNERS)
def test_a_head_learns_what_is_there_to_learn(name: str) -> None:
    data = head_data(train=300, dev=100, missing=0.1)
    trained = train_head(learner(name), data, seed=0)
    assert trained.dev_weighted_f1 > 0.6  # always the most frequent of three classes: below 0.25
    assert trained.history[-1].train_loss < trained.history[0].train_loss
    assert trained.dev_weighted_f1 == max(epoch.dev_weighted_f1 for epoch in trained.history)


@pytest.mark.parametrize("name", LEARNERS)
def test_every_kind_of_head_learns_in_bfloat16(name: str) -> None:
    data = head_data(train=300, dev=100, missing=0.1)
    chosen = learner(name, stop={"epochs": 6})
    half = replace(chosen, optim=chosen.optim.model_copy(update={"precision": "bf16"}))
    trained, whole = train_head(half, data, seed=0), train_head(chosen, data, seed=0)
    assert trained.history[-1].train_loss < trained.history[0].train_loss
    assert {tensor.dtype for tensor in trained.head.state_dict().values() if tensor.is_floating_point()} == {
        torch.float32
    }
    assert trained.history[0].train_loss != whole.history[0].train_loss
    assert trained.history[0].train_loss == pytest.approx(whole.history[0].train_loss, rel=0.05)
    again = train_head(half, data, seed=0)
    assert torch.equal(weights(trained), weights(again))


@pytest.mark.parametrize(("gain", "precision"), [(4.0, "bf16"), (0.6, "fp32")])
def test_auto_precision_is_what_a_product_is_faster_in(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, gain: float, precision: str
) -> None:
    monkeypatch.setenv("ERC_CACHE", str(tmp_path))
    monkeypatch.setattr(hardware, "_gain_of_bf16", lambda: gain)
    assert resolve_precision("auto", "cpu") == precision
    assert [resolve_precision(name, "cpu") for name in ("fp32", "bf16")] == ["fp32", "bf16"]


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


@pytest.mark.parametrize("name", LEARNERS)
def test_what_is_kept_predicts_what_was_scored_best(name: str, tmp_path: Path) -> None:
    """Weights, speakers, class centres and moving averages all pass through the checkpoint."""
    data = head_data(train=60, dev=40)
    chosen = learner(name, stop={"epochs": 3})
    trained = train_head(chosen, data, seed=0)
    inputs = {
        modality: tuple(InputFeature(item.folder, "f" * 64, item.normaliser, item.shape) for item in items)
        for modality, items in data.inputs.items()
    }
    write_checkpoint(tmp_path / "head", TrainedHead(trained.predictor, LABELS, inputs, trained.speakers))
    head = read_checkpoint(tmp_path / "head", chosen)
    dev = data.utterances.rows("dev")
    predicted = head.probabilities(data, dev).argmax(axis=1)
    assert weighted_f1(data.utterances.labels[dev], predicted, len(LABELS)) == trained.dev_weighted_f1


@pytest.mark.parametrize("name", LEARNERS)
def test_every_kind_of_head_repeats_bit_for_bit(name: str) -> None:
    data = head_data(train=60, dev=40)
    chosen = learner(name, stop={"epochs": 2})
    first, second = (train_head(chosen, data, seed=5) for _ in range(2))
    assert torch.equal(weights(first), weights(second))
    assert [epoch.dev_loss for epoch in first.history] == [epoch.dev_loss for epoch in second.history]


def test_the_moving_average_is_what_is_scored_and_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """Against the average worked out step by step: it begins as the weights after the first step."""
    seen: list[torch.Tensor] = []
    after_step = _Scored.after_step

    def note(scored: _Scored) -> None:
        seen.append(torch.cat([value.flatten() for value in scored.trained.head.state_dict().values()]))
        after_step(scored)

    monkeypatch.setattr(_Scored, "after_step", note)
    optim = {"lr": 0.05, "ema": 0.7}
    kept = train_head(experiment(**QUICK | {"optim": optim, "stop": {"epochs": 1}}), head_data(), seed=0)
    assert len(seen) == 5
    average = seen[0]
    for step in seen[1:]:
        average = 0.7 * average + 0.3 * step
    assert torch.allclose(weights(kept), average, rtol=1e-5, atol=1e-6)
    assert not torch.allclose(average, seen[-1], rtol=1e-2)


def test_turns_without_a_label_are_context_but_teach_nothing() -> None:
    data = head_data(train=60, dev=40, missing=0.0)
    labels = data.utterances.labels.copy()
    labels[1:60:4] = -1
    data = HeadData(replace(data.utterances, labels=labels), data.inputs)
    chosen = learner("bclstm", stop={"epochs": 1})
    trained = train_head(chosen, data, seed=0)
    moved = train_head(chosen, changed(data, np.arange(1, 60, 4), 3.0), seed=0)
    assert not torch.equal(weights(trained), weights(moved))
    unlabelled = HeadData(replace(data.utterances, labels=np.where(np.arange(100) < 4, -1, labels)), data.inputs)
    fewer = Examples.of(unlabelled, (), "cpu")
    assert len(fewer.train) == 60 - 15 - 3
    assert sorted(torch.cat(fewer.batches(chosen, 1, torch.Generator())).tolist()) == list(range(60))
    assert fewer.trainable()[:4].tolist() == [False] * 4


def test_dialogue_batches_hold_whole_dialogues_in_order() -> None:
    examples = Examples.of(head_data(train=43, dev=16), (), "cpu")
    batches = examples.batches(learner("bclstm"), 1, torch.Generator().manual_seed(0))
    assert [len(examples.table.dialogues[batch].unique()) for batch in batches] == [4, 4, 3]
    assert sorted(torch.cat(batches).tolist()) == list(range(43))
    for batch in batches:
        for number in examples.table.dialogues[batch].unique():
            mine = batch[examples.table.dialogues[batch] == number].tolist()
            assert mine == (examples.table.dialogues == number).nonzero().squeeze(1).tolist()


def test_features_that_exceed_memory_are_read_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    data = head_data(train=400, dev=16, missing=0.0)
    chosen = experiment(**QUICK)
    spread = torch.cat(Examples.of(data, (), "cpu").batches(chosen, 1, torch.Generator().manual_seed(0)))
    monkeypatch.setattr("heads.training.examples.BLOCK_BYTES", 1000)
    monkeypatch.setattr("heads.training.examples._BLOCK_BYTES_EACH", 60)
    examples = Examples.of(data, (), "cpu")
    blocked = torch.cat(examples.batches(chosen, 1, torch.Generator().manual_seed(0)))
    assert sorted(blocked.tolist()) == sorted(spread.tolist()) == list(range(400))
    assert not torch.equal(blocked, spread)


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


@pytest.mark.parametrize(("sampler", "epochs"), [("spcl-curriculum", 9), ("shuffle", 4)])
def test_a_curriculum_goes_on_to_its_end(sampler: str, epochs: int) -> None:
    """Nothing can be learnt at this rate, so that patience would be spent after the first epochs."""
    settings = QUICK | {
        "loss": [{"name": "spcl", "dim": 4}],
        "batch": {"size": 8, "sampler": sampler},
        "stop": {"epochs": 9, "patience": 3},
        "optim": {"lr": 1e-12, "warmup": 0.0},
    }
    trained = train_head(experiment(**settings), head_data(), seed=0)
    assert trained.best_epoch == 1
    assert len(trained.history) == epochs


@pytest.mark.parametrize("ema", [None, 0.5])
def test_class_centres_come_from_whole_dialogues(monkeypatch: pytest.MonkeyPatch, ema: float | None) -> None:
    """Turns without a label or an input are context: the centres are means of what the head gives with them there."""
    data = head_data(train=40, missing=0.5)
    data.utterances.labels[[1, 6, 7, 20]] = -1
    unlearnt = np.flatnonzero(~(data.has_input() & (data.utterances.labels >= 0)))
    assert len(set(unlearnt) & set(range(40))) > 5
    refreshed: list[tuple[torch.Tensor, torch.Tensor]] = []
    original, difficulties = Spcl.refresh, Spcl.difficulty
    monkeypatch.setattr(Spcl, "refresh", lambda self, *given: (refreshed.append(given), original(self, *given))[1])
    monkeypatch.setattr(
        Spcl, "difficulty", lambda self, *given: (refreshed.append(given), difficulties(self, *given))[1]
    )
    settings = QUICK | {
        "context": {"name": "bclstm", "units": 4},
        "loss": [{"name": "spcl", "dim": 4}],
        "batch": {"unit": "dialogues", "size": 4, "sampler": "shuffle"},
        "stop": {"epochs": 1, "patience": 1},
        "optim": {"ema": ema},
    }
    trained = train_head(experiment(**settings), data, seed=0)
    hidden = trained.predictor.outputs(batch_of(data)).hidden[:40]
    learnt = np.setdiff1d(np.arange(40), unlearnt)
    assert torch.allclose(refreshed[-1][0], hidden[learnt], atol=1e-6)
    assert torch.equal(refreshed[-1][1], torch.from_numpy(data.utterances.labels[learnt]))
    examples = Examples.of(data, (), "cpu")
    assert torch.allclose(examples.hidden(trained.predictor), hidden[learnt], atol=1e-6)


@pytest.mark.parametrize("parts", ["nearest centre", "previous-turns"])
def test_nothing_larger_than_a_block_is_read_at_once(monkeypatch: pytest.MonkeyPatch, parts: str) -> None:
    """Neither train for the class centres nor dev for its scores: the table may be larger than memory."""
    monkeypatch.setattr("heads.predict._ROWS", 8)
    monkeypatch.setattr("heads.predict._LEAST_ROWS", 1)  # copies of what was read
    monkeypatch.setattr("heads.training.steps._GATHERED_BYTES", 1)
    sizes: list[int] = []
    original = Batch.select
    monkeypatch.setattr(Batch, "select", lambda self, rows: (sizes.append(len(rows)), original(self, rows))[1])
    size = {"size": 2} if parts == "previous-turns" else {"size": 8, "sampler": "spcl-curriculum"}
    body = LEARNERS[parts] | {"batch": LEARNERS[parts]["batch"] | size, "stop": {"epochs": 2}}
    losses = [{"name": term} if isinstance(term, str) else term for term in body.get("loss", ["cross-entropy"])]
    train_head(experiment(**QUICK | body | {"loss": losses}), head_data(), seed=0)
    assert max(sizes) == 8


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


def test_scores_on_dev_that_are_no_numbers_are_a_failure() -> None:
    """The one step of the one epoch is too large: its own loss was finite."""
    settings = QUICK | {
        "optim": {"lr": 1e38, "warmup": 0.0},
        "batch": {"size": 64},
        "stop": {"epochs": 1, "patience": 1},
    }
    expected = r"the scores on dev are no numbers after epoch 1 with optim.lr=1e\+38: try a lower one"
    with pytest.raises(TrainingError, match=expected):
        train_head(experiment(**settings), head_data(), seed=0)


def test_weights_that_are_no_numbers_are_a_failure_where_dev_does_not_use_them(monkeypatch: pytest.MonkeyPatch) -> None:
    def poison(self: _Scored) -> None:
        with torch.no_grad():
            self.trained.head.fusion.missing["text"][2] = torch.nan

    monkeypatch.setattr(_Scored, "after_step", poison)
    expected = r"head.fusion.missing.text holds no numbers after epoch \d with optim.lr=0.001: try a lower one"
    with pytest.raises(TrainingError, match=expected):
        train_head(experiment(fusion={"name": "concat"}, stop={"epochs": 2}), head_data(missing=0.0), seed=0)


def test_a_split_without_rows_is_refused() -> None:
    with pytest.raises(ManifestError, match="split 'dev' has no labelled utterance"):
        train_head(experiment(**QUICK), head_data(dev=0), seed=0)


def test_a_stop_ends_training() -> None:
    epochs: list[bool] = []

    def stopped() -> bool:
        epochs.append(True)
        return len(epochs) == 2

    with pytest.raises(KeyboardInterrupt):
        train_head(experiment(**QUICK), head_data(), seed=0, stopped=stopped)
    assert len(epochs) == 2


def test_the_learning_rate_rises_then_falls() -> None:
    factors = [learning_rate_factor(step, 4, 20, "linear") for step in range(20)]
    assert factors[:4] == [0.25, 0.5, 0.75, 1.0]
    assert factors[4] == 1.0
    assert factors[4:] == sorted(factors[4:], reverse=True)
    assert factors[-1] == pytest.approx(1 / 16)
    assert [learning_rate_factor(step, 0, 20, "constant") for step in (0, 19)] == [1.0, 1.0]
    assert learning_rate_factor(10, 0, 20, "cosine") == pytest.approx(0.5)
    assert learning_rate_factor(20, 0, 20, "cosine") == pytest.approx(0.0)


def test_the_schedule_ends_with_the_last_epoch_though_most_batches_teach_nothing() -> None:
    """Of twelve dialogues two have labels; which batches they are in changes from epoch to epoch."""
    data = head_data(train=48)
    data.utterances.labels[8:48] = -1
    batch = {"unit": "dialogues", "size": 1}
    optim = {"lr": 0.01, "warmup": 0.0, "schedule": "linear"}
    trained = train_head(experiment(batch=batch, optim=optim, stop={"epochs": 4, "patience": 4}), data, seed=0)
    for epoch in trained.history:
        passed = epoch.learning_rate / 0.01
        assert (4 - epoch.epoch) / 4 < passed <= (5 - epoch.epoch) / 4


def test_a_loss_that_no_weight_has_a_say_in_is_told() -> None:
    body = {"inputs": {"text": ["sentence"]}, "fusion": {"name": "concat"}, "loss": [{"name": "triplet"}]}
    body |= {"feedforward": {"sizes": []}}
    with pytest.raises(TrainingError, match=r"no weight of this head has a say in its loss \(triplet\)"):
        train_head(experiment(**QUICK | body), head_data(missing=0.0, widths={"text": (6,)}), seed=0)
