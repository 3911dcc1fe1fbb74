"""What passes between a head, its losses and its samplers.

Legend: b utterances, h values of the last hidden layer, c classes, n training examples.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Output:
    """What a head gives. logits: float32 [b, c]; hidden: float32 [b, h], which the classifier is fed with."""

    logits: Tensor
    hidden: Tensor

    def select(self, rows: Tensor) -> Output:
        """rows: int64 positions, or bool [b]."""
        return Output(self.logits[rows], self.hidden[rows])


@dataclass(frozen=True)
class Targets:
    """What a head is trained on. labels: int64 [b]; sentiments: int64 [b], -1 where the manifest has none."""

    labels: Tensor
    sentiments: Tensor

    def split(self, sizes: Sequence[int]) -> list[Targets]:
        """Of the first `sizes[0]` utterances, of the next `sizes[1]`, ...; views."""
        return [Targets(*each) for each in zip(self.labels.split(sizes), self.sentiments.split(sizes), strict=True)]

    def select(self, rows: Tensor) -> Targets:
        """rows: int64 positions, or bool [b]."""
        return Targets(self.labels[rows], self.sentiments[rows])


@dataclass(frozen=True)
class LossTask:
    """What a loss is made for.

    counts:         int64 [c], training examples of each class
    hidden_width:   h
    num_sentiments: sentiments that the manifest tells apart; 0 where it has none
    """

    counts: Tensor
    hidden_width: int
    num_sentiments: int = 0


@dataclass(frozen=True)
class Draw:
    """What a sampler draws one epoch from.

    labels:     int64 [n] of the training examples, on the CPU
    size:       examples a batch
    epoch:      from 1 on
    epochs:     at most
    generator:  the run's own
    difficulty: how hard each example is for the head as it stands, float32 [n]; computed when it is called
    block:      examples that are read one after another where features exceed memory, or None
    lengths:    int64 [n], elements of each example's first sequence, or None where no input is one
    """

    labels: Tensor
    size: int
    epoch: int
    epochs: int
    generator: torch.Generator
    difficulty: Callable[[], Tensor] | None = None
    block: int | None = None
    lengths: Tensor | None = None
