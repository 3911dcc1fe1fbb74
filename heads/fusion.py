"""Fusions: the modalities of an utterance as one vector. One class a fusion, one line in FUSIONS.

A fusion takes `widths` (modality -> values) and keyword-only settings, and is called with

  values:  modality -> float32 [b, width]
  present: modality -> bool [b], True where the modality is there; what `values` holds elsewhere is never looked at

It gives float32 [b, fusion.width]. An utterance's vector depends on that utterance alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn

Dim = Annotated[int, Field(ge=1, le=1 << 16)]


class Concat(nn.Module):
    """The modalities side by side, each projected to `dim` where that is given, then one bit a modality: 1 where it is
    missing. In a missing modality's place stands a learned vector."""

    def __init__(self, widths: Mapping[str, int], *, dim: Dim | None = None) -> None:
        super().__init__()
        self.project = nn.ModuleDict({modality: _projection(width, dim) for modality, width in widths.items()})
        self.missing = nn.ParameterDict(
            {modality: nn.Parameter(torch.zeros(dim or width)) for modality, width in widths.items()}
        )
        self.width = sum(dim or width for width in widths.values()) + len(widths)

    def forward(self, values: Mapping[str, Tensor], present: Mapping[str, Tensor]) -> Tensor:
        parts, bits = [], []
        for modality, project in self.project.items():
            there = present[modality].unsqueeze(1)
            part = project(values[modality])
            if not there.all():  # else no gradient need go back to the features: a fifth of a step's time
                part = torch.where(there, part, self.missing[modality])
            parts.append(part)
            bits.append((~there).to(part.dtype))
        return torch.cat([*parts, *bits], dim=1)


class Mean(nn.Module):
    """The mean of the modalities that are there, each projected to `dim`. Where none is, zeros."""

    def __init__(self, widths: Mapping[str, int], *, dim: Dim = 256) -> None:
        super().__init__()
        self.project = nn.ModuleDict({modality: _projection(width, dim) for modality, width in widths.items()})
        self.width = dim

    def forward(self, values: Mapping[str, Tensor], present: Mapping[str, Tensor]) -> Tensor:
        there = torch.stack([present[modality] for modality in self.project], dim=1).unsqueeze(2)  # [b, m, 1]
        each = torch.stack([project(values[modality]) for modality, project in self.project.items()], dim=1)
        total = each.masked_fill(~there, 0.0).sum(dim=1)  # [b, dim]
        return total / there.sum(dim=1).clamp(min=1)


FUSIONS: dict[str, Callable[..., nn.Module]] = {"concat": Concat, "mean": Mean}


def _projection(width: int, dim: int | None) -> nn.Module:
    return nn.Identity() if dim is None else nn.Linear(width, dim)
