"""Easy examples first, and hard ones in later epochs."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from features.errors import ConfigError
from heads.data.samplers.draws import shuffled
from heads.signals import Draw


def spcl_curriculum(draw: Draw) -> Iterator[Tensor]:
    """Easy examples first, and hard ones in later epochs. In epoch e of E (from 1), an example of rank r (0 is the
    easiest) is included with a probability that changes evenly from 1 - e/E at rank 0 to e/E at rank n - 1.

    Song et al. 2022, "Supervised Prototypical Contrastive Learning", checked against caskcsg/SPCL. Deviations: there, e
    is 0 in the first epoch, so that even the last epoch includes the hardest with a probability of at most 1 - 1/E. And
    there, an epoch is one pass.

    Examples are ranked by `draw.difficulty()` once per epoch. A pass includes about half of them, in random order.
    Passes follow each other until n examples are drawn, so that an epoch is as long as with any other sampler. Training
    does not stop before the last epoch (`LASTS_ALL_EPOCHS`). Raises ConfigError where nothing ranks examples.
    """
    if draw.difficulty is None:
        raise ConfigError(
            "the sampler spcl-curriculum ranks examples by class centres, which no loss of this experiment has: "
            "add spcl to its losses, or take the sampler shuffle"
        )
    count = len(draw.labels)
    order = draw.difficulty().cpu().argsort(stable=True)
    chances = inclusion_chances(count, draw.epoch, draw.epochs)
    passes, left = [], count
    while left:
        included = order[torch.rand(count, generator=draw.generator) < chances]
        passes.append(shuffled(included, draw.generator)[:left])
        left -= len(passes[-1])
    return iter(torch.cat(passes).split(draw.size))


def inclusion_chances(count: int, epoch: int, epochs: int) -> Tensor:
    """Of the curriculum, by rank: float32 [count]. Their mean is 1/2, as is the chance of an example that is alone."""
    if count == 1:
        return torch.tensor([0.5])
    progress = min(1.0, epoch / epochs)
    return torch.linspace(1 - progress, progress, count)
