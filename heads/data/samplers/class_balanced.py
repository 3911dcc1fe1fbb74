"""Size / m examples of every class in every batch, ceil(n / size) batches."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor

from features.errors import ConfigError
from heads.data.samplers.draws import members, shuffled
from heads.signals import Draw


def class_balanced(draw: Draw) -> Iterator[Tensor]:
    """size / m examples of every class in every batch, ceil(n / size) batches.

    A class's examples come in random order. All of them come before any comes again. If a class has more examples than
    its share, each epoch shows a part of them. Within a batch, examples are sorted by class. Raises ConfigError where m
    does not divide the batch size.
    """
    classes = members(draw.labels)
    each, rest = divmod(draw.size, len(classes))
    if rest or not each:
        sizes = [size for size in (each * len(classes), (each + 1) * len(classes)) if size]
        raise ConfigError(
            f"batch.size ({draw.size}) must be a multiple of the {len(classes)} classes that have training examples, "
            f"for the sampler class-balanced: try {' or '.join(map(str, sizes))}"
        )
    batches = math.ceil(len(draw.labels) / draw.size)
    columns = [_cycled(own, batches * each, draw.generator).view(batches, each) for own in classes]
    return iter(torch.cat(columns, dim=1).unbind())


def _cycled(positions: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """`count` of the positions: shuffled, and shuffled anew each time that all were drawn."""
    rounds = math.ceil(count / len(positions))
    return torch.cat([shuffled(positions, generator) for _ in range(rounds)])[:count]
