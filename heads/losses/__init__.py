"""Losses, and their table. One class a loss, in a file of its own.

A loss is made for a `LossTask`, with keyword-only settings. Called with an `Output` and its `Targets`, whose rows are
all labelled and none of which is padding, it gives a scalar, float32. Where a batch has nothing to learn from it is 0,
with a backward pass. Parameters of its own, as of a projection, are trained beside the head's. The class attribute
`decides` says whether predictions come from the loss (heads/losses/decision.py) or, as for all others, from the logits.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import ClassVar, Protocol, cast

import torch
from torch import Tensor, nn

from heads.losses.adaptive_triplet import AdaptiveTriplet
from heads.losses.cross_entropy import CrossEntropy
from heads.losses.cross_entropy_on_softmax import CrossEntropyOnSoftmax
from heads.losses.decision import Decision
from heads.losses.dice import Dice
from heads.losses.focal import Focal
from heads.losses.sentiment import Sentiment
from heads.losses.spcl import Spcl
from heads.losses.supcon import SupCon
from heads.losses.triplet import Triplet
from heads.signals import Output, Targets


class Loss(Protocol):
    """What a head may rely on; every loss is an nn.Module besides."""

    decides: ClassVar[bool]

    def __call__(self, output: Output, targets: Targets) -> Tensor: ...


LOSSES: dict[str, type[Loss]] = {
    "adaptive-triplet": AdaptiveTriplet,
    "cross-entropy": CrossEntropy,
    "cross-entropy-on-softmax": CrossEntropyOnSoftmax,
    "dice": Dice,
    "focal": Focal,
    "sentiment": Sentiment,
    "spcl": Spcl,
    "supcon": SupCon,
    "triplet": Triplet,
}


class WeightedSum(nn.Module):
    """The sum of several losses, each times its weight."""

    def __init__(self, terms: Sequence[tuple[float, nn.Module]]) -> None:
        super().__init__()
        self.weights = [weight for weight, _ in terms]
        self.terms = nn.ModuleList(term for _, term in terms)

    @property
    def decision(self) -> Decision | None:
        """The first loss that predictions come from; None where they come from the logits."""
        return next((cast(Decision, term) for term in self.terms if term.decides), None)

    def forward(self, output: Output, targets: Targets) -> Tensor:
        parts = [
            term(output, targets) if weight == 1 else weight * term(output, targets)
            for weight, term in zip(self.weights, self.terms, strict=True)
        ]
        return functools.reduce(torch.add, parts)
