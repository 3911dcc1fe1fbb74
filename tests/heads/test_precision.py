"""What stays in float32 where a head trains in bfloat16."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import torch
from head_factory import experiment, head_data
from part_factory import layout_of, make

from heads.context import CONTEXTS
from heads.data.sequences import Sequences
from heads.precision import ieee_float32, products_in
from heads.readers import READERS
from heads.training import trainer
from heads.training.trainer import train_head

CPU = torch.device("cpu")


@pytest.mark.parametrize("name", ["bclstm", "dialogue-rnn"])
def test_recurrences_stay_in_float32(name: str) -> None:
    layout = layout_of()
    values = torch.randn(int(layout.mask.sum()), 6)
    context = make(CONTEXTS, (name, {}), 6).eval()
    expected = context(values, layout)
    with products_in("bf16", CPU):
        assert torch.equal(context(values, layout), expected)
        assert context(values.bfloat16(), layout).dtype == torch.float32
        assert torch.nn.functional.linear(values, torch.randn(3, 6)).dtype == torch.bfloat16


def test_convolutions_stay_in_float32() -> None:
    reader = make(READERS, ("text-cnn", {}), (4,)).eval()
    tokens = Sequences(torch.randn(9, 4), torch.tensor([0, 5, 9]))
    expected = reader(tokens)
    with products_in("bf16", CPU):
        assert torch.equal(reader(tokens), expected)


def test_fp32_leaves_everything_as_it_is() -> None:
    left, right = torch.randn(3, 6), torch.randn(6, 2)
    with products_in("fp32", CPU):
        assert torch.equal(left @ right, torch.mm(left, right))
        assert (left @ right).dtype == torch.float32


def _tf32() -> tuple[bool, bool]:
    return torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32


@pytest.mark.usefixtures("tf32")
def test_float32_is_ieee_float32_on_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """In all of a training, and not for what comes after it."""
    before = _tf32()
    assert before == (True, True)
    with ieee_float32("cuda:1"):
        assert _tf32() == (False, False)
    with ieee_float32("cpu"):
        assert _tf32() == before
    seen: list[tuple[str, tuple[bool, bool]]] = []

    @contextmanager
    def on_a_gpu(device: str) -> Iterator[None]:
        with ieee_float32("cuda"):
            seen.append((device, _tf32()))
            yield

    monkeypatch.setattr(trainer, "ieee_float32", on_a_gpu)
    train_head(experiment(stop={"epochs": 1}), head_data(), 0, each_epoch=lambda _: seen.append(("epoch", _tf32())))
    assert seen == [("cpu", (False, False)), ("epoch", (False, False))]
    assert _tf32() == before
