"""Every example once, with examples of similar length in one batch, so that there is little padding."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from features.errors import ConfigError
from heads.data.samplers.shuffle import shuffle
from heads.signals import Draw

POOLED_BATCHES = 50  # batches among which like lengths are sought


def bucketed(draw: Draw) -> Iterator[Tensor]:
    """Every example once, with examples of similar length in one batch, so that there is little padding. Examples are
    shuffled and cut into pools of 50 batches. Each pool is sorted by length, and its batches are shuffled. The last
    batch may be smaller.

    Raises ConfigError where no input is a sequence.
    """
    if draw.lengths is None:
        raise ConfigError(
            "the sampler bucketed puts examples of like length together, and no input of this experiment is a"
            " sequence: take the sampler shuffle"
        )
    order = torch.cat(list(shuffle(draw)))
    batches: list[Tensor] = []
    for pool in order.split(POOLED_BATCHES * draw.size):
        parts = pool[draw.lengths[pool].argsort(stable=True)].split(draw.size)
        whole = len(pool) // draw.size  # one that is smaller, of the last pool, comes last
        batches += [parts[place] for place in torch.randperm(whole, generator=draw.generator).tolist()]
        batches += parts[whole:]
    return iter(batches)
