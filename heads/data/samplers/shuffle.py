"""Every example once, in random order; the last batch may be smaller."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor

from heads.data.samplers.draws import shuffled
from heads.signals import Draw

HELD_BLOCKS = 64  # blocks in memory at a time


def shuffle(draw: Draw) -> Iterator[Tensor]:
    """Every example once, in random order; the last batch may be smaller.

    With `draw.block`, the order is random only within what fits in memory. Blocks of consecutive examples come in
    random order, 64 blocks at a time, and examples are shuffled among those 64 blocks.
    """
    count = len(draw.labels)
    if draw.block is None:
        return iter(torch.randperm(count, generator=draw.generator).split(draw.size))
    starts = torch.randperm(math.ceil(count / draw.block), generator=draw.generator) * draw.block
    groups = []
    for held in starts.split(HELD_BLOCKS):
        positions = (held.unsqueeze(1) + torch.arange(draw.block)).flatten()
        groups.append(shuffled(positions[positions < count], draw.generator))
    return iter(torch.cat(groups).split(draw.size))
