"""Samplers: in which order an epoch shows the training examples. Every sampler draws as many examples as there are."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

Sampler = Callable[[Tensor, int, torch.Generator], Iterator[Tensor]]


def shuffle(labels: Tensor, size: int, generator: torch.Generator) -> Iterator[Tensor]:
    """Every example once, in random order.

    labels: int64 [n]; size: examples a batch (the last one may be smaller). Yields positions, int64 [<= size].
    """
    yield from torch.randperm(len(labels), generator=generator).split(size)


SAMPLERS: dict[str, Sampler] = {"shuffle": shuffle}
