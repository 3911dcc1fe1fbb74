"""AdamW and its schedule over groups of parameters, in torch's fused kernel.

`torch.optim.AdamW` with a `LambdaLR` gives the same bits. Its constructor imports torch's compiler, which nothing here
uses: two seconds of every process that trains, and longer than many a head.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.optim.adamw import adamw

_SETTINGS: dict[str, Any] = {"beta1": 0.9, "beta2": 0.999, "eps": 1e-8, "amsgrad": False, "maximize": False}


@dataclass
class _Group:
    """Parameters of one weight decay and one learning rate; `lr` is that before the schedule."""

    params: list[Tensor]
    weight_decay: float
    lr: float
    state: dict[Tensor, tuple[Tensor, Tensor, Tensor]] = field(default_factory=dict)

    def step(self, factor: float) -> None:
        learnt = [parameter for parameter in self.params if parameter.grad is not None]
        if not learnt:
            return
        means, squares, steps = map(list, zip(*(self._state(parameter) for parameter in learnt), strict=True))
        grads = [parameter.grad for parameter in learnt if parameter.grad is not None]
        rate = self.lr * factor
        adamw(
            learnt, grads, means, squares, [], steps, fused=True, lr=rate, weight_decay=self.weight_decay, **_SETTINGS
        )  # fmt: skip

    def _state(self, parameter: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(mean of the gradients, mean of their squares, steps taken): made when it first has a gradient."""
        found = self.state.get(parameter)
        if found is None:
            steps = torch.zeros((), dtype=torch.float32, device=parameter.device)
            found = self.state[parameter] = (torch.zeros_like(parameter), torch.zeros_like(parameter), steps)
        return found


class AdamW:
    """groups: as `parameter_groups` gives them; one without `lr` learns at `lr`.
    factor:  what the rates are multiplied by at a time, from 0 on
    """

    def __init__(
        self, groups: Iterable[Mapping[str, Any]], lr: float, factor: Callable[[int], float] = lambda time: 1.0
    ) -> None:
        self.groups = [_Group(list(group["params"]), group["weight_decay"], group.get("lr", lr)) for group in groups]
        self._factor = factor

    def rate(self, time: int) -> float:
        """Of the first group."""
        return self.groups[0].lr * self._factor(time)

    @torch.no_grad()
    def step(self, time: int) -> None:
        """Parameters without a gradient stay as they are. time: on the schedule's clock, which is not the number of
        steps that were taken where batches were left out"""
        factor = self._factor(time)
        for group in self.groups:
            group.step(factor)
