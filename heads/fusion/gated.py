"""`gated`: every modality weighted by a gate that looks at all of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor, nn

from heads.attention import masked_softmax
from heads.data.layout import Layout
from heads.fusion.inputs import Dim, Present, masks_of, projections, visible


class Gated(nn.Module):
    """The gated multimodal unit (Arevalo et al. 2017, "Gated Multimodal Units for Information Fusion").

    Each modality gives h_m = tanh(W_m x_m + b_m), float32 [b, dim]. Each value of h_m has a gate z_m in (0, 1), which
    is computed from all modalities side by side. The result is the sum of z_m * h_m.

    dim:   number of values that each modality is projected to
    gates: `softmax`: for each value, the gates of the modalities that are there sum to 1. With two modalities this is
           the paper's z * h_1 + (1 - z) * h_2, except that the difference of two linear maps takes the place of one
           map. `sigmoid`: each gate is independent of the others, as in the paper for more than two modalities

    Checked against johnarevalo/gmu-mmimdb, which has two modalities. There the gate sees the projections W_m x_m before
    their tanh, and a batch norm comes before W_m. Here the gate sees the x_m, and there is no norm. The paper's
    equations for more than two modalities are not in that code, and were not checked.

    Not in the paper or its code: biases and masks. A missing modality counts as zeros in the gates' input, and has gate
    0. If all are missing, the result is zeros.
    """

    over_batch = False
    over_dialogue = False

    def __init__(
        self, widths: Mapping[str, int], *, dim: Dim = 256, gates: Literal["softmax", "sigmoid"] = "softmax"
    ) -> None:
        super().__init__()
        self.project = projections(widths, dim)
        self.gate = nn.Linear(sum(widths.values()), dim * len(widths))
        self.gates = gates
        self.width = dim

    def forward(
        self, values: Mapping[str, Tensor], present: Mapping[str, Present], layout: Layout | None = None
    ) -> Tensor:
        shown = {modality: visible(values[modality], present[modality]) for modality in self.project}
        states = torch.stack([project(shown[modality]) for modality, project in self.project.items()], dim=2).tanh()
        there = masks_of(present, values, self.project)  # [b, m]
        there = None if there is None else there.unsqueeze(1)
        scores = self.gate(torch.cat(list(shown.values()), dim=1)).unflatten(1, (self.width, -1))  # [b, dim, m]
        if self.gates == "softmax":
            weights = masked_softmax(scores, there)
        else:
            weights = scores.sigmoid()
            weights = weights if there is None else weights.masked_fill(~there, 0.0)
        return (weights * states).sum(dim=2)
