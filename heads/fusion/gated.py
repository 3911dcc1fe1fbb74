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

    Each modality gives h_m = tanh(W_m x_m + b_m), float32 [b, dim]; a gate z_m in (0, 1) for each value of it is
    computed from all modalities side by side; the result is the sum of z_m * h_m.

    dim:   values that each modality is projected to
    gates: `softmax` has the gates of a value sum to 1 over the modalities that are there. With two modalities that is
           the paper's z * h_1 + (1 - z) * h_2 with the difference of two linear maps for its one. `sigmoid` leaves
           each gate on its own, as the paper does for more than two.

    Checked against johnarevalo/gmu-mmimdb, which has two modalities: its gate sees W_m x_m, the projected ones before
    their tanh, and a batch norm stands before W_m. Here the gate sees the x_m, and there is no norm (the paper's
    equations for more than two are not in the code, and were not checked).

    Ours beside both: biases, and masks. What is missing counts as zeros in the gates' input and has gate 0; where
    nothing is there, the result is zeros.
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
