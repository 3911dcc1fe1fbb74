"""Dropout by 16-bit draws: the rate, the expectation, independence, and what it must leave alone."""

from __future__ import annotations

import pytest
import torch

from heads.dropout import Dropout


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.9])
def test_the_rate_and_the_expectation_hold_in_every_column(rate: float) -> None:
    torch.manual_seed(0)
    out = Dropout(rate).train()(torch.ones(20_000, 7))
    assert torch.allclose((out == 0).float().mean(dim=0), torch.tensor(rate), atol=0.015)
    assert torch.allclose(out.mean(dim=0), torch.tensor(1.0), atol=0.11)
    assert out.unique().tolist() == pytest.approx([0.0, 1 / (1 - rate)], rel=1e-4)


def test_neighbours_and_repeats_are_independent() -> None:
    torch.manual_seed(0)
    layer = Dropout(0.5).train()
    out = torch.cat([layer(torch.ones(4000, 9)), layer(torch.ones(4000, 9))], dim=1)
    correlation = torch.corrcoef((out == 0).float().T) - torch.eye(18)
    assert correlation.abs().max() < 0.07


def test_gradients_pass_where_values_do() -> None:
    torch.manual_seed(0)
    values = torch.ones(50, 3, requires_grad=True)
    out = Dropout(0.4).train()(values)
    out.sum().backward()
    assert values.grad is not None
    assert torch.equal(values.grad, out.detach())


def test_the_generator_decides_and_evaluation_leaves_values_alone() -> None:
    values = torch.randn(5, 3)
    layer = Dropout(0.5)
    torch.manual_seed(1)
    first = layer(values)
    torch.manual_seed(1)
    assert torch.equal(layer(values), first)
    assert layer.eval()(values) is values
    assert Dropout(0.0).train()(values) is values
    assert torch.isfinite(Dropout(0.9999999).train()(values)).all()
