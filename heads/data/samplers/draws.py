"""What several samplers draw with."""

from __future__ import annotations

import torch
from torch import Tensor


def members(labels: Tensor) -> list[Tensor]:
    """Of each class that has examples, their positions in order: int64 [n_y]."""
    return [(labels == label).nonzero().flatten() for label in labels.unique()]


def shuffled(positions: Tensor, generator: torch.Generator) -> Tensor:
    return positions[torch.randperm(len(positions), generator=generator)]
