"""The soft Dice loss: 1 minus the classes' mean overlap of probabilities and labels over a batch."""

from __future__ import annotations

from typing import ClassVar, Literal

from torch import Tensor, nn
from torch.nn import functional

from heads.signals import LossTask, Output, Targets

_EPSILON = 1e-8  # a class that nobody has and nobody is given overlaps by 0


class Dice(nn.Module):
    """1 - mean over classes of D_k = 2 sum_i p_ik g_ik / (S(p_k) + S(g_k)), i over the batch, g the one-hot labels.

    absent:      what becomes of classes of which the batch has no example; their D is 0 without a gradient. ignore:
                 they are left out of the mean; count: they stay in, as in the report, which scales the gradient by
                 the share of classes that are there (3.9 of 7 on average in its batches of 8)
    denominator: S. sums: sum_i x_i, the report's 2 TP / (2 TP + FP + FN), a soft F1; squares: sum_i x_i^2, as in
                 Milletari et al. 2016, "V-Net", section 3, who have one foreground class and no mean over classes
                 (their code, faustomilletari/VNet, has these squares in its gradient, over sums of hard predictions)

    The sums run over the batch, so an example's gradient depends on its batch-mates.
    """

    decides: ClassVar[bool] = False

    def __init__(
        self,
        task: LossTask,
        *,
        absent: Literal["ignore", "count"] = "ignore",
        denominator: Literal["sums", "squares"] = "sums",
    ) -> None:
        super().__init__()
        self.absent = absent
        self.denominator = denominator

    def forward(self, output: Output, targets: Targets) -> Tensor:
        chances = output.logits.softmax(dim=1)  # [b, c]
        gold = functional.one_hot(targets.labels, chances.shape[1]).to(chances.dtype)
        overlap = (chances * gold).sum(dim=0)  # [c]
        mass = (chances if self.denominator == "sums" else chances.square()).sum(dim=0)
        support = gold.sum(dim=0)
        dice = 2 * overlap / (mass + support + _EPSILON)
        if self.absent == "count":
            return 1 - dice.mean()
        return 1 - dice.sum() / (support > 0).sum()  # an absent class adds 0 to the sum
