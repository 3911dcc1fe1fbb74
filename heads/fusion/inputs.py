"""What fusions do first: hide what is not there, and project."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn

Dim = Annotated[int, Field(ge=1, le=1 << 16)]
Heads = Annotated[int, Field(ge=1, le=1 << 10)]
Rate = Annotated[float, Field(ge=0, lt=1)]


def visible(values: Tensor, present: Tensor) -> Tensor:
    """float32 [b, w], with zeros in the rows where bool [b] is False, whatever stood there.

    Before a projection and not after it: the gradient of the projection's weights is a product with its input, and zero
    times NaN is NaN.
    """
    if present.all():  # spares a copy, and a fifth of a step's time
        return values
    return values.masked_fill(~present.unsqueeze(1), 0.0)


def projections(widths: Mapping[str, int], dim: int | None) -> nn.ModuleDict:
    """modality -> Linear to `dim`, or what changes nothing where `dim` is None."""
    return nn.ModuleDict(
        {modality: nn.Identity() if dim is None else nn.Linear(width, dim) for modality, width in widths.items()}
    )


def learned_vectors(widths: Mapping[str, int]) -> nn.ParameterDict:
    """modality -> the vector that stands in where it is missing; zeros at first."""
    return nn.ParameterDict({modality: nn.Parameter(torch.zeros(width)) for modality, width in widths.items()})
