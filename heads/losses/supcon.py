"""Supervised contrastive learning: examples of a class attract each other, all others repel."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn

from heads.losses.embeddings import Temperature, Width, projection_of, unit
from heads.signals import LossTask, Output, Targets


class SupCon(nn.Module):
    """Mean over anchors i of -1/|P(i)| sum_{p in P(i)} log(exp(z_i . z_p / t) / sum_{a != i} exp(z_i . z_a / t)).

    z are unit vectors. P(i) are the other examples of i's class in the batch. Anchors without a positive are left out.
    If none is left, the loss is 0.

    temperature: t. The lower it is, the more the nearest examples count
    projection:  width of a linear layer before z; null: no such layer

    Khosla et al. 2020, "Supervised Contrastive Learning", eq. 2 (L_out), temperature 0.1 as in their section 4.
    Deviations: the mean over anchors, where eq. 2 has the sum; one view of each example, since cached features are not
    augmented; a linear projection, where theirs has a hidden layer. Checked against HobbitLong/SupContrast. It also
    takes the mean, but counts an anchor without a positive as 0, and multiplies the loss by t / 0.07.
    """

    decides: ClassVar[bool] = False

    def __init__(self, task: LossTask, *, temperature: Temperature = 0.1, projection: Width | None = 128) -> None:
        super().__init__()
        self.temperature = temperature
        self.projection = projection_of(task.hidden_width, projection)

    def forward(self, output: Output, targets: Targets) -> Tensor:
        vectors = unit(self.projection(output.hidden))
        labels = targets.labels
        itself = torch.eye(len(labels), dtype=torch.bool, device=labels.device)
        positive = (labels.unsqueeze(1) == labels) & ~itself  # [b, b]
        anchors = positive.any(dim=1)
        # Rows without a positive count for nothing; of a batch of one, nothing would be left to be compared with.
        hidden = itself & anchors.unsqueeze(1)
        logs = (vectors @ vectors.T / self.temperature).masked_fill(hidden, -torch.inf).log_softmax(dim=1)
        each = logs.masked_fill(~positive, 0.0).sum(dim=1) / positive.sum(dim=1).clamp(min=1)
        return -each.sum() / anchors.sum().clamp(min=1)
