"""Training steps: what they gather and compute is what plain loops do, and none waits for a device to say something."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import torch
from head_factory import LABELS, experiment, head_data
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from heads.data.batch import Batch, batch_of
from heads.data.data import FeatureRows, FeatureShape, HeadData
from heads.data.normalise import Normaliser
from heads.data.sequences import Sequences
from heads.fusion import FUSIONS
from heads.losses.dice import Dice
from heads.model import HeadShape, build_head
from heads.signals import LossTask, Output, Targets
from heads.training import clipping, trainer
from heads.training.clipping import clip_gradients
from heads.training.examples import Examples
from heads.training.memory import keep_freed_memory
from heads.training.objective import build_objective
from heads.training.steps import steps_of
from heads.training.trainer import Model, train_head

DIALOGUES: dict[str, Any] = {"context": {"name": "bclstm", "units": 4}, "batch": {"unit": "dialogues", "size": 3}}


def with_sequences(data: HeadData) -> HeadData:
    """Beside what there is a feature of 0 to 4 elements an utterance."""
    lengths = np.arange(len(data.utterances.labels)) % 5
    offsets = np.concatenate([[0], lengths.cumsum()])
    values = np.random.default_rng(0).standard_normal((int(offsets[-1]), 3), dtype=np.float32)
    shape = FeatureShape("sequence", (3,))
    item = FeatureRows("audio", "tokens", Normaliser("none"), values, lengths > 0, shape, offsets, 0.5)
    return HeadData(data.utterances, data.inputs | {"audio": (item,)})


def tensors(batch: Batch) -> list[torch.Tensor]:
    """All that a batch holds, sequences as their padded values."""
    values = [item for items in batch.values.values() for item in items]
    dense = [item if isinstance(item, torch.Tensor) else item.padded(4)[0] for item in values]
    return [*dense, *batch.present.values(), batch.dialogues, batch.slots, batch.speakers]


@pytest.mark.parametrize("gathered", [1, 700, 1 << 20])
@pytest.mark.parametrize("unit", ["utterances", "dialogues"])
def test_steps_hold_what_is_gathered_one_batch_at_a_time(
    monkeypatch: pytest.MonkeyPatch, gathered: int, unit: str
) -> None:
    monkeypatch.setattr("heads.training.steps._GATHERED_BYTES", gathered)
    data = with_sequences(head_data(train=43, missing=0.5))
    data.utterances.labels[:8] = -1  # two whole dialogues that teach nothing
    examples = Examples.of(data, ("Ann",), "cpu")
    chosen = experiment(**(DIALOGUES if unit == "dialogues" else {"batch": {"size": 8}}))
    batches = examples.batches(chosen, 1, torch.Generator().manual_seed(0))
    batches.insert(1, torch.arange(4, 8))
    trainable = examples.trainable() if unit == "dialogues" else None
    if trainable is None:
        batches.pop(1)
    found = list(steps_of(examples, batches, trainable))
    teaching = [places for places in batches if trainable is None or trainable[places].any()]
    assert len(found) == len(teaching) == len(batches) - (unit == "dialogues")
    assert [step.place for step in found] == [
        place for place, one in enumerate(batches) if any(one is t for t in teaching)
    ]
    for step, places in zip(found, teaching, strict=True):
        learnt = places if trainable is None else places[trainable[places]]
        plain = examples.table.select(places)
        assert all(torch.equal(*pair) for pair in zip(tensors(step.batch), tensors(plain), strict=True))
        assert torch.equal(step.targets.labels, examples.targets.labels[learnt])
        assert torch.equal(step.targets.sentiments, examples.targets.sentiments[learnt])
        assert step.count == len(learnt)
        assert torch.equal(places if step.learnt is None else places[step.learnt], learnt)
        assert step.batch.whole == {name for name, mask in plain.present.items() if mask.any(dim=1).all()}
    assert {step.batch.whole for step in found} != {frozenset()}


@pytest.mark.parametrize("length", [None, 2, 3, 9])
@pytest.mark.parametrize("shape", [(), (3,)])
@pytest.mark.parametrize("dtype", [torch.float16, torch.float32])
def test_sequences_are_filled_row_by_row(length: int | None, shape: tuple[int, ...], dtype: torch.dtype) -> None:
    """Against a plain loop, also where the values before the first and after the last row belong to nobody."""
    offsets = torch.tensor([2, 2, 5, 6, 11])
    values = torch.randn((13, *shape), generator=torch.Generator().manual_seed(0)).to(dtype)
    width = 5 if length is None else length
    plain = torch.zeros((4, width, *shape))
    for row in range(4):
        kept = values[offsets[row] : offsets[row + 1]][:width].float() * 0.3
        plain[row, : len(kept)] = kept
    filled, mask = Sequences(values, offsets, 0.3).padded(length)
    assert torch.equal(filled, plain)
    assert mask.sum(dim=1).tolist() == [0, min(3, width), 1, min(5, width)]
    parts = Sequences(values, offsets, 0.3).split([1, 3])
    assert torch.equal(torch.cat([part.filled(width) for part in parts]), plain)
    assert Sequences(values, offsets[:1]).filled(4).shape == (0, 4, *shape)


@pytest.mark.parametrize("name", FUSIONS)
def test_a_mask_that_is_known_gives_the_same_numbers(name: str) -> None:
    torch.manual_seed(0)
    settings = {"m2fnet": {"dim": 8, "heads": 2}, "attention": {"dim": 8, "heads": 2}}.get(name, {})
    body = {"fusion": {"name": name} | settings | ({"dim": 12} if "over-batch" in name else {})}
    if name == "m2fnet":
        body["batch"] = {"unit": "dialogues", "size": 2}
    data = head_data(missing=0.0)
    head = build_head(experiment(**body), HeadShape(data.shapes, len(LABELS))).eval()
    batch = batch_of(data)
    assert batch.whole == set(data.inputs)
    known, looked_at = head(batch).logits, head(replace(batch, whole=frozenset())).logits
    assert torch.equal(known, looked_at)


def test_a_missing_modality_is_not_said_to_be_whole() -> None:
    data = head_data(missing=0.0)
    data.inputs["audio"][0].present[3] = False
    data.inputs["visual"][1].present[3] = False  # its other feature is there
    assert batch_of(data).whole == {"text", "visual"}


class NoReads(TorchDispatchMode):
    """Raises where the host would wait for a device: a number is read, or a shape depends on values."""

    FORBIDDEN = (
        "aten::_local_scalar_dense",
        "aten::nonzero",
        "aten::masked_select",
        "aten::_unique2",
        "aten::unique_consecutive",
        "aten::unique_dim_consecutive",
    )

    def __torch_dispatch__(
        self, func: Any, types: Sequence[Any], args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        name = func._schema.name
        by_mask = name in ("aten::index", "aten::index_put_") and any(
            item is not None and item.dtype == torch.bool for item in args[1]
        )
        if name in self.FORBIDDEN or by_mask:
            raise AssertionError(f"{name} has the host wait for the device")
        return func(*args, **(kwargs or {}))


TABLE4_ROWS: dict[str, dict[str, Any]] = {
    "concat and a layer norm": {"fusion": {"name": "concat+norm", "norm": "layer"}},
    "attention": {"fusion": {"name": "attention", "dim": 8, "heads": 2}},
    "cross-entropy": {"loss": [{"name": "cross-entropy"}]},
    "focal": {"loss": [{"name": "focal", "alpha": "inverse"}]},
    "triplet": {"loss": [{"name": "dice"}, {"name": "triplet", "reduce": "mean"}]},
    "supcon": {"loss": [{"name": "cross-entropy"}, {"name": "supcon"}]},
    "sentiment": {"loss": [{"name": "cross-entropy"}, {"name": "sentiment"}]},
    "moving average": {"optim": {"ema": 0.9}},
    "hidden modalities": {"fusion": {"name": "gated", "modality_dropout": 0.2}},
}


@pytest.mark.parametrize("missing", [0.0, 0.2])
@pytest.mark.parametrize("row", TABLE4_ROWS)
def test_no_step_waits_for_the_device(monkeypatch: pytest.MonkeyPatch, row: str, missing: float) -> None:
    """The CPU in the place of a GPU: from the gathering of an epoch's first batch to the last update of weights."""
    monkeypatch.setattr(clipping, "READ_AT_ONCE", frozenset())
    guarded: list[int] = []
    original = trainer._train_epoch

    def guard(*given: Any) -> Any:
        with NoReads():
            guarded.append(1)
            return original(*given)

    monkeypatch.setattr(trainer, "_train_epoch", guard)
    body = {"loss": [{"name": "dice"}], "stop": {"epochs": 2, "patience": 2}, "batch": {"size": 8}} | TABLE4_ROWS[row]
    train_head(experiment(**body), head_data(missing=missing), seed=0)
    assert len(guarded) == 2


@pytest.mark.parametrize("read", [frozenset({"cpu"}), frozenset[str]()])
@pytest.mark.parametrize(("scale", "limit"), [(1.0, 1e6), (1.0, 0.5), (float("nan"), 1.0), (float("inf"), 1.0)])
def test_gradients_are_clipped_as_torch_does(
    monkeypatch: pytest.MonkeyPatch, scale: float, limit: float, read: frozenset[str]
) -> None:
    monkeypatch.setattr(clipping, "READ_AT_ONCE", read)
    ours, theirs = (
        [nn.Parameter(torch.zeros(5, 3)), nn.Parameter(torch.zeros(4)), nn.Parameter(torch.zeros(2))] for _ in range(2)
    )
    generator = torch.Generator().manual_seed(0)
    for one, other in zip(ours[:2], theirs[:2], strict=True):  # the third has no gradient
        one.grad = torch.randn(one.shape, generator=generator)
        one.grad.flatten()[0] *= scale
        other.grad = one.grad.clone()
    before = [item.grad.clone() for item in ours[:2] if item.grad is not None]
    clip_gradients(ours, limit)
    norm = nn.utils.clip_grad_norm_(theirs, limit)
    for one, other, was in zip(ours[:2], theirs[:2], before, strict=True):
        assert one.grad is not None
        assert other.grad is not None
        assert torch.equal(one.grad.nan_to_num(7.0), other.grad.nan_to_num(7.0))
        assert torch.equal(one.grad, was) == bool(norm <= limit)
    assert ours[2].grad is None


def test_gradients_below_the_limit_are_not_gone_through(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nn.utils, "clip_grads_with_norm_", lambda *given: pytest.fail("scaled"))
    parameter = nn.Parameter(torch.zeros(3))
    parameter.grad = torch.ones(3)
    clip_gradients([parameter], 2.0)


def test_a_models_step_gives_every_weight_its_gradient_whatever_is_known() -> None:
    """Where a modality is whole in a batch, the vector that stands in for it has no gradient: AdamW lets it be."""
    data = head_data(missing=0.5, train=60)
    chosen = experiment(fusion={"name": "concat"}, loss=[{"name": "dice"}], batch={"size": 3})
    examples = Examples.of(data, (), "cpu")
    head = build_head(chosen, HeadShape(data.shapes, len(LABELS)))
    model = Model(head, build_objective(chosen.loss, LossTask(torch.ones(3), head.hidden_width)))
    seen = set()
    for step in steps_of(examples, examples.batches(chosen, 1, torch.Generator().manual_seed(0)), None):
        model.zero_grad()
        trainer._loss(model, step, "fp32").backward()  # type: ignore[no-untyped-call]
        for name, vector in cast(nn.ParameterDict, head.fusion.missing).items():
            there = step.batch.present[name].any(dim=1).all()
            seen.add(bool(there))
            assert (vector.grad is None) == bool(there)
    assert seen == {True, False}


@pytest.mark.parametrize("absent", ["ignore", "count"])
@pytest.mark.parametrize("denominator", ["sums", "squares"])
def test_dice_by_hand_has_the_gradient_that_autograd_finds(absent: Any, denominator: Any) -> None:
    loss = Dice(LossTask(torch.ones(7), 4), absent=absent, denominator=denominator)
    labels = torch.tensor([0, 1, 1, 4, 4, 4, 2, 0])  # three classes are absent
    logits = torch.randn(8, 7, generator=torch.Generator().manual_seed(0), dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda given: 1.7 * loss(Output(given, given), Targets(labels, labels)), (logits,))


@pytest.mark.skipif(sys.platform != "linux", reason="malloc is glibc's")
def test_malloc_is_told_to_keep_what_a_step_frees(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[tuple[int, int]] = []
    library = SimpleNamespace(mallopt=lambda *given: (told.append(given), 1)[1])
    monkeypatch.setattr("ctypes.CDLL", lambda name: library)
    assert keep_freed_memory.__wrapped__()
    assert told == [(-1, 1 << 30), (-3, 256 << 20)]  # M_TRIM_THRESHOLD and M_MMAP_THRESHOLD
    told.clear()
    older = SimpleNamespace(mallopt=lambda *given: (told.append(given), int(given[1] <= 32 << 20 or given[0] == -1))[1])
    monkeypatch.setattr("ctypes.CDLL", lambda name: older)
    assert keep_freed_memory.__wrapped__()
    assert told == [(-1, 1 << 30), (-3, 256 << 20), (-3, 32 << 20)]
    monkeypatch.setattr("ctypes.CDLL", lambda name: SimpleNamespace())  # musl's
    assert not keep_freed_memory.__wrapped__()
