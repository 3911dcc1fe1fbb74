"""What fusions do first: hide what is not there, and project."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn

Dim = Annotated[int, Field(ge=1, le=1 << 16)]
Heads = Annotated[int, Field(ge=1, le=1 << 10)]
Present = Tensor | None  # True where a modality is there; None: for every utterance
Rate = Annotated[float, Field(ge=0, lt=1)]


def visible(values: Tensor, present: Present) -> Tensor:
    """float32 [b, w], with zeros in the rows where bool [b] is False, whatever stood there.

    Before a projection and not after it: the gradient of the projection's weights is a product with its input, and zero
    times NaN is NaN.
    """
    return values if present is None else values.masked_fill(~present.unsqueeze(1), 0.0)


def mask_of(present: Present, values: Tensor) -> Tensor:
    """bool [b], also where nothing is missing."""
    return torch.ones(len(values), dtype=torch.bool, device=values.device) if present is None else present


def masks_of(present: Mapping[str, Present], values: Mapping[str, Tensor], modalities: Iterable[str]) -> Present:
    """bool [b, m] of these modalities side by side; None where none of them is missing anywhere."""
    chosen = list(modalities)
    if all(present[modality] is None for modality in chosen):
        return None
    return torch.stack([mask_of(present[modality], values[modality]) for modality in chosen], dim=1)


def projections(widths: Mapping[str, int], dim: int | None) -> nn.ModuleDict:
    """modality -> Linear to `dim`, or what changes nothing where `dim` is None."""
    return nn.ModuleDict(
        {modality: nn.Identity() if dim is None else nn.Linear(width, dim) for modality, width in widths.items()}
    )


def learned_vectors(widths: Mapping[str, int]) -> nn.ParameterDict:
    """modality -> the vector that stands in where it is missing; zeros at first."""
    return nn.ParameterDict({modality: nn.Parameter(torch.zeros(width)) for modality, width in widths.items()})
