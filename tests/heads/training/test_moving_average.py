"""The moving average of weights is torch's, without what a GPU would be waited for."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils._python_dispatch import TorchDispatchMode

from heads.training.moving_average import MovingAverage


def model() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(5, 7), nn.BatchNorm1d(7), nn.Embedding(4, 3), nn.Linear(3, 2))


def step(trained: nn.Module) -> None:
    with torch.no_grad():
        for parameter in trained.parameters():
            parameter.add_(torch.randn_like(parameter))
        for buffer in trained.buffers():
            buffer.add_(1)


@pytest.mark.parametrize("decay", [0.5, 0.99])
def test_it_is_torchs_bit_for_bit(decay: float) -> None:
    trained = model()
    ours, theirs = MovingAverage(trained, decay), AveragedModel(trained, multi_avg_fn=get_ema_multi_avg_fn(decay))
    before = copy.deepcopy(trained.state_dict())
    for _ in range(4):
        step(trained)
        ours.update(trained)
        theirs.update_parameters(trained)
        expected = theirs.module.state_dict()
        assert list(expected) == list(ours.module.state_dict())
        assert all(torch.equal(value, expected[name]) for name, value in ours.module.state_dict().items())
    assert not any(torch.equal(value, before[name]) for name, value in ours.module.state_dict().items())


def test_an_update_has_no_more_than_the_mixing_itself() -> None:
    class Named(TorchDispatchMode):
        def __torch_dispatch__(
            self, func: Any, types: Sequence[Any], args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
        ) -> Any:
            names.add(func._schema.name)
            return func(*args, **(kwargs or {}))

    names: set[str] = set()
    trained = model()
    average = MovingAverage(trained, 0.9)
    average.update(trained)
    with Named():
        average.update(trained)
    assert names - {"aten::detach"} == {"aten::_foreach_lerp_", "aten::copy_"}
