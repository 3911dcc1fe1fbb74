"""What stays in float32 where a head trains in bfloat16."""

from __future__ import annotations

import pytest
import torch
from part_factory import layout_of, make

from heads.context import CONTEXTS
from heads.data.sequences import Sequences
from heads.precision import products_in
from heads.readers import READERS

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
