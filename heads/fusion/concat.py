"""`concat` and `concat+norm`: the modalities side by side."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor, nn

from heads.data.layout import Layout
from heads.fusion.inputs import Dim, Present, learned_vectors, projections, visible
from heads.unit_length import unit_length


class Concat(nn.Module):
    """The modalities side by side, each projected to `dim` if that is given, and then one bit for each modality: 1 if
    it is missing. A learned vector takes the place of a missing modality.

    dim: number of values that each modality is projected to; null: no projection
    """

    over_batch = False
    over_dialogue = False

    def __init__(self, widths: Mapping[str, int], *, dim: Dim | None = None) -> None:
        super().__init__()
        self.project = projections(widths, dim)
        self.missing = learned_vectors({modality: dim or width for modality, width in widths.items()})
        self.width = sum(dim or width for width in widths.values()) + len(widths)

    def forward(
        self, values: Mapping[str, Tensor], present: Mapping[str, Present], layout: Layout | None = None
    ) -> Tensor:
        parts, bits = [], []
        for modality, project in self.project.items():
            there = present[modality]
            part = project(visible(values[modality], there))
            if there is None:  # no gradient need go back to the features then: a fifth of a step's time
                bits.append(part.new_zeros((len(part), 1)))
            else:
                part = torch.where(there.unsqueeze(1), part, self.missing[modality])
                bits.append((~there).to(part.dtype).unsqueeze(1))
            parts.append(part)
        return torch.cat([*parts, *bits], dim=1)


class NormedConcat(nn.Module):
    """`concat`, with the vector of all modalities together normalised. The bits for missing modalities follow
    unchanged.

    norm: `l2` divides the vector by its length, as the HLM12ERC report's concatenation does. Its code calls this the L2
          norm. It also brings the output of each encoder to length 1 first, which `normalise: l2` does here. `layer` is
          layer norm with a learned scale and shift (Ba et al. 2016). Use it for comparisons with fusions that end in a
          layer norm: the report compared L2 after concatenation with layer norm after attention
    dim:  number of values that each modality is projected to; null: no projection

    The report replaced a missing modality by dummy values. Here a learned vector takes its place, as in `concat`.
    """

    over_batch = False
    over_dialogue = False

    def __init__(
        self, widths: Mapping[str, int], *, dim: Dim | None = None, norm: Literal["l2", "layer"] = "l2"
    ) -> None:
        super().__init__()
        self.concat = Concat(widths, dim=dim)
        self.width = self.concat.width
        self.split = (self.width - len(widths), len(widths))
        self.norm = nn.LayerNorm(self.split[0]) if norm == "layer" else None

    def forward(
        self, values: Mapping[str, Tensor], present: Mapping[str, Present], layout: Layout | None = None
    ) -> Tensor:
        joined, bits = self.concat(values, present).split(self.split, dim=1)
        joined = unit_length(joined) if self.norm is None else self.norm(joined)
        return torch.cat([joined, bits], dim=1)
