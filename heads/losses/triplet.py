"""The report's triplet loss: one anchor for each class, against the rest of the batch."""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from heads.losses.embeddings import Width, projection_of, similarities
from heads.signals import LossTask, Output, Targets


class Triplet(nn.Module):
    """Mean over anchors of -log(P / (P + N)), with P and N the anchor's similarity to its own class and to the others.

    The anchors are the first examples of each class in the batch. The positives of an anchor are the other examples of
    its class; its negatives are all examples of other classes. The similarity is (1 + cosine) / 2, with neither an
    exponential nor a temperature. A class with one example has no anchor. If there is nothing to compare, the loss is
    0. On features after a ReLU, whose cosines are not negative, a term lies in [0.41, 1.10] under `mean`.

    reduce:     how P and N combine the similarities. mean: as in the report and its code. sum: as in the docstring of
                its code, which the code does not do
    projection: width of a linear layer between hidden and the comparison; null: hidden itself is compared, as in the
                report

    From the report "HLM12ERC", checked against its code (hudsonmendes/uolondon-cm3070-fp). As in that code, a batch of
    one class gives 0, and the order of the batch decides which example is the anchor. Nothing else depends on the
    order.
    """

    decides: ClassVar[bool] = False

    def __init__(
        self, task: LossTask, *, reduce: Literal["mean", "sum"] = "mean", projection: Width | None = None
    ) -> None:
        super().__init__()
        self.reduce = reduce
        self.projection = projection_of(task.hidden_width, projection)

    def forward(self, output: Output, targets: Targets) -> Tensor:
        embeddings = self.projection(output.hidden)
        labels = targets.labels
        same = labels.unsqueeze(1) == labels  # [b, b]
        positive = same & ~torch.eye(len(labels), dtype=torch.bool, device=labels.device)
        first = ~same.tril(-1).any(dim=1)
        anchors = first & positive.any(dim=1) & ~same.all(dim=1)
        similarity = similarities(embeddings, embeddings)  # [b, b]
        near = torch.where(anchors, self._reduced(similarity, positive), 1.0)
        far = torch.where(anchors, self._reduced(similarity, ~same), 0.0)
        return -(near / (near + far)).log().sum() / anchors.sum().clamp(min=1)  # log 1 for those that are no anchor

    def _reduced(self, similarity: Tensor, chosen: Tensor) -> Tensor:
        """Over the chosen (bool [b, b]) of each row: float32 [b], 0 where none is."""
        total = (similarity * chosen).sum(dim=1)
        return total / chosen.sum(dim=1).clamp(min=1) if self.reduce == "mean" else total
