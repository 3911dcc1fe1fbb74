"""An exponential moving average of a model's weights."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Generic, TypeVar

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

AnyModule = TypeVar("AnyModule", bound=nn.Module)


class MovingAverage(Generic[AnyModule]):
    """`module`, a copy of a model, whose weights are the moving average of the model's: first what they are at the
    first `update`, then decay * average + (1 - decay) * weight. Buffers are the model's own.

    As torch's AveragedModel, bit for bit, which counts its updates in a tensor on the CPU and copies that to the device
    at each of them: on a GPU, every step would wait for it.
    """

    def __init__(self, model: AnyModule, decay: float) -> None:
        self.module = copy.deepcopy(model)
        self._mix = get_ema_multi_avg_fn(decay)
        self._begun = False

    @torch.no_grad()
    def update(self, model: AnyModule) -> None:
        """After a step. All weights must be on one device, and of one dtype."""
        averages, weights = list(self.module.parameters()), list(model.parameters())
        if self._begun:
            self._mix(averages, weights, 0)  # what does not depend on how many there were
        else:
            _copy(averages, weights)
            self._begun = True
        _copy(list(self.module.buffers()), list(model.buffers()))


def _copy(into: Sequence[Tensor], values: Sequence[Tensor]) -> None:
    for old, new in zip(into, values, strict=True):
        old.copy_(new)
