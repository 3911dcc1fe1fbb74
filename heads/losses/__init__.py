"""Losses over logits, and their table. One class a loss, in a file of its own.

A loss takes `counts` (int64 [c], training examples of each class) and keyword-only settings; called with logits float32
[b, c] and labels int64 [b], it gives a scalar.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from torch import Tensor, nn

from heads.losses.cross_entropy import CrossEntropy

LOSSES: dict[str, Callable[..., nn.Module]] = {"cross-entropy": CrossEntropy}


class WeightedSum(nn.Module):
    """The sum of several losses, each times its weight."""

    def __init__(self, terms: Sequence[tuple[float, nn.Module]]) -> None:
        super().__init__()
        self.weights = [weight for weight, _ in terms]
        self.terms = nn.ModuleList(term for _, term in terms)

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        total = logits.new_zeros(())
        for weight, term in zip(self.weights, self.terms, strict=True):
            total = total + weight * term(logits, labels)
        return total
