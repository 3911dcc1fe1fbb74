"""Where a turn stands in its dialogue, as a vector."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from heads.data.layout import Layout


def sinusoidal(layout: Layout, dim: int) -> Tensor:
    """float32 [b, dim]: sines in the even places, cosines in the odd ones, of the turn's number from 0 on (Vaswani et
    al. 2017, section 3.5). No longest dialogue need be fixed."""
    turns = layout.turns.to(torch.float32)
    halves = torch.arange(0, dim, 2, device=turns.device, dtype=torch.float32)
    angles = turns.unsqueeze(1) * torch.exp(halves * (-math.log(10000.0) / dim))
    return torch.stack([angles.sin(), angles.cos()], dim=2).flatten(1)[:, :dim]
