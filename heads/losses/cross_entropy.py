"""Cross-entropy over logits, with class weights and label smoothing."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional


class CrossEntropy(nn.Module):
    """Mean over the batch of w_y * H(smoothed one-hot of y, softmax(logits)).

    weights:    none; balanced: n / (c * n_y), scikit-learn's; inverse: n / n_y, which is c times that. A class without
                training examples weighs 0.
    power:      the weights are raised to it: 0.5 is the milder balance of the square root
    smoothing:  share of the target spread evenly over all classes

    torch's own weighted mean divides by the batch's sum of weights, so that an example counts more or less with its
    batch-mates' classes; this is the plain batch mean.
    """

    def __init__(
        self,
        counts: Tensor,
        *,
        weights: Literal["none", "inverse", "balanced"] = "none",
        power: Annotated[float, Field(gt=0, le=1)] = 1.0,
        smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0,
    ) -> None:
        super().__init__()
        self.smoothing = smoothing
        self.class_weights: Tensor | None
        self.register_buffer("class_weights", None if weights == "none" else _class_weights(counts, weights) ** power)

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        each = functional.cross_entropy(logits, labels, label_smoothing=self.smoothing, reduction="none")
        if self.class_weights is not None:
            each = each * self.class_weights[labels]
        return each.mean()


def _class_weights(counts: Tensor, weights: str) -> Tensor:
    """float32 [c]"""
    inverse = counts.sum() / counts.clamp(min=1).float()
    inverse = inverse.masked_fill(counts == 0, 0.0)
    return inverse / len(counts) if weights == "balanced" else inverse
