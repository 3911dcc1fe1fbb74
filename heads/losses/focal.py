"""The focal loss: examples that the head predicts with confidence count less."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from heads.losses.class_weights import ClassWeights, class_weights
from heads.signals import LossTask, Output, Targets

_LEAST = 1e-12  # of 1 - p: the gradient of a root is infinite at 0


class Focal(nn.Module):
    """Mean over the batch of -a_y (1 - p_y)^gamma log p_y.

    gamma: how fast an example loses weight as p_y grows. 0 is cross-entropy
    alpha: a_y. none: 1. inverse: n / n_y, as in the report, up to 37 on MELD. balanced: n / (c * n_y)

    Lin et al. 2017, "Focal Loss for Dense Object Detection", eq. 5. Deviations: softmax over c classes, where the paper
    has two classes and a sigmoid; and the plain mean over the batch, where the paper divides by the number of anchors
    assigned to an object. Not checked against their code.
    """

    decides: ClassVar[bool] = False

    def __init__(
        self,
        task: LossTask,
        *,
        gamma: Annotated[float, Field(ge=0, le=10)] = 2.0,
        alpha: ClassWeights = "none",
    ) -> None:
        super().__init__()
        self.gamma = gamma
        self.alpha: Tensor | None
        self.register_buffer("alpha", class_weights(task.counts, alpha))

    def forward(self, output: Output, targets: Targets) -> Tensor:
        surprise = functional.cross_entropy(output.logits, targets.labels, reduction="none")  # -log p_y
        unsure = (-(-surprise).expm1()).clamp(min=_LEAST)  # 1 - p_y, exact where p_y is near 1
        each = unsure.pow(self.gamma) * surprise
        if self.alpha is not None:
            each = each * self.alpha[targets.labels]
        return each.mean()
