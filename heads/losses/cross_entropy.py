"""Cross-entropy over logits, with class weights and label smoothing."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from heads.losses.class_weights import ClassWeights, class_weights
from heads.signals import LossTask, Output, Targets


class CrossEntropy(nn.Module):
    """Mean over the batch of w_y * H(smoothed one-hot of y, softmax(logits)).

    weights:    class weights. none: all 1. balanced: n / (c * n_y), as in scikit-learn. inverse: n / n_y, which is c
                times balanced. A class without training examples has the weight 0
    power:      exponent of the weights. 0.5 takes the square root, which balances more mildly
    smoothing:  share of the target that is spread evenly over all classes

    torch's own weighted mean divides by the batch's sum of weights, so that an example's influence depends on the
    classes of the rest of its batch. Here it is the plain mean over the batch.
    """

    decides: ClassVar[bool] = False

    def __init__(
        self,
        task: LossTask,
        *,
        weights: ClassWeights = "none",
        power: Annotated[float, Field(gt=0, le=1)] = 1.0,
        smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0,
    ) -> None:
        super().__init__()
        self.smoothing = smoothing
        self.class_weights: Tensor | None
        weight = class_weights(task.counts, weights)
        self.register_buffer("class_weights", None if weight is None else weight**power)

    def forward(self, output: Output, targets: Targets) -> Tensor:
        each = functional.cross_entropy(output.logits, targets.labels, label_smoothing=self.smoothing, reduction="none")
        if self.class_weights is not None:
            each = each * self.class_weights[targets.labels]
        return each.mean()
