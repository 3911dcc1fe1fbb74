"""Vectors brought to length 1."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

SHORTEST = 1e-3


def unit_length(values: Tensor) -> Tensor:
    """float32 [b, w] over its lengths. A vector shorter than SHORTEST is divided by SHORTEST, so that zeros stay zeros
    and the gradient near them stays in bounds."""
    return functional.normalize(values, dim=1, eps=SHORTEST)
