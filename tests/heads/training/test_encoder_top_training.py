"""Heads that train the top of an encoder: the same bits from run to run, averaged, in bf16, kept and read back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from head_factory import LABELS, experiment, head_data
from safetensors import safe_open
from top_factory import WIDTH, small, with_top

from features.errors import ConfigError, TrainingError
from features.top.elements import FLAGS
from heads.config.experiment import Experiment
from heads.data.batch import batch_of
from heads.data.data import FeatureShape, HeadData
from heads.data.top import set_begins
from heads.model import HeadShape, build_head
from heads.training.checkpoint import InputFeature, TrainedHead, read_checkpoint, write_checkpoint
from heads.training.trainer import Trained, train_head

DIALOGUES: dict[str, Any] = {
    "readers": {"text": {"name": "encoder-top", "over": "dialogue"}},
    "batch": {"unit": "dialogues", "size": 4},
}
TOP = "inputs.text.readers.0.layers.network."


def chosen(**values: Any) -> Experiment:
    body: dict[str, Any] = {
        "inputs": {"text": ["top"]},
        "fusion": {"name": "concat"},
        "feedforward": {"sizes": [8], "dropout": 0.1},
        "batch": {"size": 8},
        "stop": {"epochs": 2, "patience": 2},
        "optim": {"lr": 1e-2, "lr_top": 1e-3, "top_decay": 0.9},
    }
    return experiment(**body | values)


def data_of(name: str = "bert", windows: Any = "utterance") -> HeadData:
    return with_top(head_data(widths={"text": (6,)}), small(name), windows)


def state(trained: Trained) -> dict[str, torch.Tensor]:
    return trained.head.state_dict()


@pytest.mark.parametrize("values", [{}, DIALOGUES, {"optim": {"ema": 0.5}}, {"optim": {"precision": "bf16"}}])
def test_equal_seeds_give_equal_bits(values: dict[str, Any]) -> None:
    data = data_of("gpt2", "dialogue") if "readers" in values else data_of()
    first, again, other = (train_head(chosen(**values), data, seed) for seed in (3, 3, 4))
    assert all(torch.equal(value, state(again)[key]) for key, value in state(first).items())
    assert first.history[-1].train_loss == again.history[-1].train_loss != other.history[-1].train_loss
    changed = [key for key, value in small("gpt2" if "readers" in values else "bert").top.tensors.items()
               if value.is_floating_point() and not torch.equal(value, state(first)[TOP + key])]  # fmt: skip
    assert len(changed) > 15
    assert all(value.dtype != torch.bfloat16 for value in state(first).values())


def test_an_average_of_the_weights_is_of_the_top_too() -> None:
    plain, slow = (
        train_head(chosen(optim={"lr_top": 1e-2, "warmup": 0.5, "ema": ema}), data_of(), 0) for ema in (None, 0.999)
    )
    own, key = small().top.tensors, "encoder.layer.2.output.dense.weight"
    moved = [float((state(item)[TOP + key] - own[key]).abs().mean()) for item in (plain, slow)]
    assert 0 < moved[1] < 0.5 * moved[0]


def test_it_learns() -> None:
    """What only the states show."""
    data = with_top(head_data(train=160, dev=40, widths={"text": (6,)}), small())
    history = train_head(chosen(stop={"epochs": 12, "patience": 12}), data, 0).history
    assert max(epoch.dev_weighted_f1 for epoch in history) > 0.6


def test_layers_that_are_computed_again_are_refused_on_apples_gpu() -> None:
    """torch does not put that generator back, so that dropout would differ."""
    readers = {"text": {"name": "encoder-top", "checkpointing": True}}
    with pytest.raises(TrainingError, match=r"readers\.text\.checkpointing does not work on mps"):
        train_head(chosen(readers=readers), data_of(), 0, "mps")


def test_building_it_draws_nothing() -> None:
    """The other weights are those of a head that reads a vector of that width."""
    with_top_shape = FeatureShape("sequence", (WIDTH + FLAGS,), small().stored())
    heads = []
    for shape in (with_top_shape, FeatureShape("vector", (WIDTH,))):
        torch.manual_seed(7)
        made = chosen(optim={"lr": 1e-2})
        heads.append(build_head(made, HeadShape({"text": (shape,)}, len(LABELS))).state_dict())
    assert {key for key in heads[0] if not key.startswith(TOP)} == set(heads[1])
    assert all(torch.equal(heads[0][key], value) for key, value in heads[1].items())
    own = small().top.tensors
    assert all(torch.equal(heads[0][TOP + key], value) for key, value in own.items())


def kept(trained: Trained, data: HeadData, experiment_: Experiment, path: Path) -> TrainedHead:
    rows = data.inputs["text"][0]
    inputs = {"text": (InputFeature(rows.folder, "f" * 64, rows.normaliser, rows.shape),)}
    write_checkpoint(path, TrainedHead(trained.predictor, LABELS, inputs))
    return read_checkpoint(path, experiment_)


@pytest.mark.parametrize("values", [{}, DIALOGUES, {"optim": {"ema": 0.5}}])
def test_a_checkpoint_needs_no_store(values: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = data_of("gpt2", "dialogue") if "readers" in values else data_of()
    trained = train_head(chosen(**values), data, 0)
    monkeypatch.setattr("features.store.Feature.read_top", None)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    path = tmp_path / "head.safetensors"
    found = kept(trained, data, chosen(**values), path)
    assert all(torch.equal(value, found.head.state_dict()[key]) for key, value in state(trained).items())
    rows = np.arange(len(data.utterances))
    expected = trained.predictor.scores(batch_of(data)).softmax(dim=1).numpy()
    assert np.array_equal(found.probabilities(data, rows), expected)
    shape = found.inputs["text"][0].shape
    top, given = shape.top, data.inputs["text"][0].shape.top
    assert top is not None
    assert given is not None
    assert (top.description, top.windows, top.stored) == (given.description, given.windows, None)
    with safe_open(path, framework="pt") as file:
        assert file.metadata()["format"] == "2"


def test_dev_scores_do_not_depend_on_the_block() -> None:
    data = data_of()
    predictor = train_head(chosen(), data, 0).predictor
    whole = predictor.scores(batch_of(data))
    parts = [predictor.scores(batch_of(data), torch.tensor([row])) for row in range(len(data.utterances))]
    assert torch.allclose(torch.cat(parts), whole, atol=1e-5)


def reader(name: str) -> dict[str, Any]:
    return {"readers": {"text": {"name": name}}}


@pytest.mark.parametrize(
    ("values", "shape", "message"),
    [
        (reader("mean"), "top", "text: 'mean' does not read states below an encoder's top: write encoder-top"),
        (reader("encoder-top"), "sequence", "'encoder-top' reads states below .* extract it with `--set from_top=3`"),
        (reader("flat"), "sequence", "'flat' does not read a sequence feature: choose one of mean, attention-pooling"),
        ({}, "dialogue", r"write \{name: encoder-top, over: dialogue\}, and batch: \{unit: dialogues, size: 8\}"),
        ({"optim": {"lr_top": 1e-4}}, "sequence", r"optim\.lr_top is for the layers of an encoder-top, and no input"),
        ({"optim": {"top_decay": 0.9}}, "sequence", r"optim\.top_decay is for the layers of an encoder-top"),
    ],
)
def test_what_does_not_fit_is_refused_with_the_mend(values: dict[str, Any], shape: str, message: str) -> None:
    top = {"top": small().stored(), "dialogue": small("gpt2").stored("dialogue"), "sequence": None}[shape]
    made = chosen(**{"optim": {"lr": 1e-2}} | values)
    with pytest.raises(ConfigError, match=message):
        build_head(made, HeadShape({"text": (FeatureShape("sequence", (WIDTH + FLAGS,), top),)}, len(LABELS)))


@pytest.mark.parametrize(
    ("named", "built"),
    [
        ({"name": "encoder-top", "pooling": "max"}, [("EncoderTop", "max"), ("AttentionPooling", None)]),
        ({"name": "text-cnn"}, [("EncoderTop", "mean"), ("TextCNN", None)]),
    ],
)
def test_the_named_reader_reads_what_it_can_and_the_default_the_rest(
    named: dict[str, Any], built: list[tuple[str, str | None]]
) -> None:
    shapes = (FeatureShape("sequence", (WIDTH + FLAGS,), small().stored()), FeatureShape("sequence", (WIDTH,)))
    head = build_head(chosen(readers={"text": named}), HeadShape({"text": shapes}, len(LABELS)))
    made = head.inputs["text"].readers  # type: ignore[union-attr]
    assert [(type(one).__name__, getattr(one, "pooling", None)) for one in made] == built  # type: ignore[union-attr]


def test_a_reader_over_dialogues_asks_for_them() -> None:
    message = r"batch\.unit: must be dialogues, since 'readers\.text: over: dialogue' looks at whole dialogues"
    with pytest.raises(ConfigError, match=message):
        chosen(readers=DIALOGUES["readers"])
    made = chosen(**DIALOGUES)
    assert made.sees_dialogues
    assert not chosen().sees_dialogues


def test_old_keys_and_configs_do_not_name_what_came_later() -> None:
    assert not {"lr_top", "top_decay", "precision"} & set(experiment().settings()["optim"])
    assert chosen().settings()["optim"]["lr_top"] == 1e-3
    assert chosen().settings()["optim"]["top_decay"] == 0.9
    assert experiment(optim={"lr_top": 1e-4}).settings() != experiment().settings()


def test_a_window_begins_with_every_utterance_or_dialogue() -> None:
    """A dialogue whose first turn is missing begins one all the same."""
    offsets, dialogues = np.array([0, 2, 4, 4, 6, 7]), np.array([0, 0, 1, 1, 1])
    for windows, begins in (("utterance", [1, 0, 1, 0, 1, 0, 1]), ("dialogue", [1, 0, 0, 0, 1, 0, 0])):
        values = np.zeros((7, WIDTH + FLAGS), np.float16)
        set_begins(values, offsets, dialogues, windows)  # type: ignore[arg-type]
        assert values[:, -1].tolist() == begins
        assert not values[:, :-1].any()
