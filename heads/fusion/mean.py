"""`mean`: the mean of the modalities that are there."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from heads.data.layout import Layout
from heads.fusion.inputs import Dim, Present, masks_of, projections, visible


class Mean(nn.Module):
    """The mean of the modalities that are there, each projected to `dim`. If none is there, zeros.

    dim: number of values that each modality is projected to
    """

    over_batch = False
    over_dialogue = False

    def __init__(self, widths: Mapping[str, int], *, dim: Dim = 256) -> None:
        super().__init__()
        self.project = projections(widths, dim)
        self.width = dim

    def forward(
        self, values: Mapping[str, Tensor], present: Mapping[str, Present], layout: Layout | None = None
    ) -> Tensor:
        each = [project(visible(values[modality], present[modality])) for modality, project in self.project.items()]
        return masked_mean(torch.stack(each, dim=1), masks_of(present, values, self.project))


def masked_mean(values: Tensor, mask: Present) -> Tensor:
    """float32 [n, k, w] -> [n, w]: the mean over the k where bool [n, k] is True; zeros where none is."""
    if mask is None:
        return values.sum(dim=1) / values.shape[1]
    total = values.masked_fill(~mask.unsqueeze(2), 0.0).sum(dim=1)
    return total / mask.sum(dim=1, keepdim=True).clamp(min=1)
