"""GRU cells of several directions stepped side by side: half the number of small products of one after the other."""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from torch import Tensor, nn


class GRUCells(nn.Module):
    """One GRU cell a direction, each with weights of its own, with the equations of `nn.GRUCell` (Cho et al. 2014).

    Legend: k directions, n dialogues at this step, b all utterances, w values of an input, s of a state.

    The input may come in two parts: what is known of all utterances beforehand goes through `project` in one product,
    and what only the step knows (the last `late` values) through `forward`.
    """

    decayed: ClassVar[tuple[str, ...]] = ("early", "late", "recurrent")  # see heads/training/weight_decay.py

    def __init__(self, directions: int, width: int, states: int, *, late: int = 0) -> None:
        super().__init__()
        self.states = states
        bound = 1 / math.sqrt(states)
        self.early = nn.Parameter(torch.empty(directions, width, 3 * states).uniform_(-bound, bound))
        self.late = nn.Parameter(torch.empty(directions, late, 3 * states).uniform_(-bound, bound)) if late else None
        self.recurrent = nn.Parameter(torch.empty(directions, states, 3 * states).uniform_(-bound, bound))
        self.early_bias = nn.Parameter(torch.empty(directions, 1, 3 * states).uniform_(-bound, bound))
        self.recurrent_bias = nn.Parameter(torch.empty(directions, 1, 3 * states).uniform_(-bound, bound))

    def project(self, inputs: Tensor) -> Tensor:
        """float32 [k, b, w] -> [k, b, 3 * s]: the early part's share of the gates."""
        return torch.baddbmm(self.early_bias, inputs, self.early)

    def forward(self, projected: Tensor, state: Tensor, late: Tensor | None = None) -> Tensor:
        """projected: [k, n, 3 * s]; state: [k, n, s]; late: [k, n, late], None for zeros. Gives the new state."""
        if late is not None and self.late is not None:
            projected = torch.baddbmm(projected, late, self.late)
        recurrent = torch.baddbmm(self.recurrent_bias, state, self.recurrent)
        cut = (2 * self.states, self.states)
        gates, candidate = projected.split(cut, dim=2)
        recurrent_gates, recurrent_candidate = recurrent.split(cut, dim=2)
        reset, update = (gates + recurrent_gates).sigmoid().chunk(2, dim=2)
        return torch.lerp(torch.addcmul(candidate, reset, recurrent_candidate).tanh(), state, update)
