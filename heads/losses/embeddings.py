"""What losses on embeddings share: projection, unit vectors, cosines, and a zero that gradients can pass.

Legend: b examples, h values of the last hidden layer, d of an embedding.
"""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn

Width = Annotated[int, Field(ge=1, le=1 << 16)]
Temperature = Annotated[float, Field(gt=0, le=100)]

_SHORTEST = 1e-8


def projection_of(hidden_width: int, width: int | None) -> nn.Module:
    """float32 [b, h] -> [b, width], linear; without a width nothing."""
    return nn.Identity() if width is None else nn.Linear(hidden_width, width)


def unit(vectors: Tensor) -> Tensor:
    """Rows scaled to length 1, float32 [b, d]. A row shorter than 1e-8 becomes 0 with a gradient of 0: what follows a
    ReLU may be all zeros, and dividing by an epsilon would make its gradient huge."""
    norms = vectors.norm(dim=1, keepdim=True)
    return torch.where(norms > _SHORTEST, vectors / norms.clamp(min=_SHORTEST), 0.0)


def cosines(some: Tensor, others: Tensor) -> Tensor:
    """float32 [b, d] and [n, d] -> [b, n], in [-1, 1]; 0 where either vector is zero."""
    return (unit(some) @ unit(others).T).clamp(-1.0, 1.0)


def similarities(some: Tensor, others: Tensor) -> Tensor:
    """(1 + cosine) / 2 + 1e-8, float32 [b, n]: in (0, 1], so that it has a logarithm."""
    return (1 + cosines(some, others)) / 2 + 1e-8


def nothing(values: Tensor) -> Tensor:
    """A scalar 0 on `values`' graph, for a batch that has nothing to learn from: its backward pass gives zeros."""
    return (values * 0.0).sum()
