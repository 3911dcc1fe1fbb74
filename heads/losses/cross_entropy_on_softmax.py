"""The report's slip: cross-entropy over probabilities as if they were logits."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor, nn
from torch.nn import functional

from heads.signals import LossTask, Output, Targets


class CrossEntropyOnSoftmax(nn.Module):
    """Mean over the batch of -log softmax(softmax(logits))_y: what the report trained as "categorical cross-entropy".

    Its model gave softmax probabilities to torch's CrossEntropyLoss, which applies softmax again. A probability is in
    [0, 1], so the loss lies in [log(e + c - 1) - 1, log(e + c - 1)]: between 1.165 and 2.165 for 7 classes, however
    sure the head is. Where the head is sure of a wrong class, gradients vanish. This loss is here to repeat the
    report's rows.
    """

    decides: ClassVar[bool] = False

    def __init__(self, task: LossTask) -> None:
        super().__init__()

    def forward(self, output: Output, targets: Targets) -> Tensor:
        return functional.cross_entropy(output.logits.softmax(dim=1), targets.labels)
