"""The soft Dice loss: 1 minus the overlap of probabilities and labels in a batch, averaged over the classes."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from heads.signals import LossTask, Output, Targets

_EPSILON = 1e-8  # a class that nobody has and nobody is given overlaps by 0


class _MeanOverlap(torch.autograd.Function):
    """The mean of D_k with its gradient worked out by hand, since autograd goes through a dozen steps for it:

    with T_k = S(p_k) + S(g_k) and m classes in the mean, that of p_ik is (2 g_ik - D_k S'(p_ik)) / (T_k m), where S' is
    1 for sums and 2 p_ik for squares.
    """

    @staticmethod
    def forward(ctx: Any, chances: Tensor, labels: Tensor, absent: str, denominator: str) -> Tensor:
        """chances: float32 [b, c]; labels: int64 [b]. Gives a scalar."""
        squared = denominator == "squares"
        gold = (labels.unsqueeze(1) == torch.arange(chances.shape[1], device=labels.device)).to(chances.dtype)
        total = ((chances.square() if squared else chances) + gold).sum(dim=0) + _EPSILON  # [c]
        dice = 2 * (chances * gold).sum(dim=0) / total
        count = float(len(dice)) if absent == "count" else gold.amax(dim=0).sum()
        if ctx.needs_input_grad[0]:
            by_mass = 2 * dice * chances if squared else dice
            ctx.save_for_backward((2 * gold - by_mass) / (total * count))
        return dice.sum() / count  # an absent class adds 0 to the sum

    @staticmethod
    def backward(ctx: Any, above: Tensor) -> tuple[Tensor | None, ...]:
        (gradient,) = ctx.saved_tensors
        return gradient * above, None, None, None


class Dice(nn.Module):
    """1 - mean over classes of D_k = 2 sum_i p_ik g_ik / (S(p_k) + S(g_k)), i over the batch, g the one-hot labels.

    absent:      what happens to classes that have no example in the batch. Their D is 0, without a gradient. ignore:
                 they are left out of the mean. count: they stay in the mean, as in the report. That scales the gradient
                 by the share of classes that are there (3.9 of 7 on average in its batches of 8)
    denominator: S. sums: sum_i x_i, as in the report's 2 TP / (2 TP + FP + FN), a soft F1. squares: sum_i x_i^2, as in
                 Milletari et al. 2016, "V-Net", section 3, which has one foreground class and no mean over classes.
                 Their code (faustomilletari/VNet) has these squares in its gradient, over sums of hard predictions

    The sums run over the batch, so an example's gradient depends on the rest of its batch.
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
        dice: Tensor = _MeanOverlap.apply(chances, targets.labels, self.absent, self.denominator)
        return 1 - dice
