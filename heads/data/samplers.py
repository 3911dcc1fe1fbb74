"""Samplers: in which order an epoch shows the training examples.

A sampler takes a `Draw` and yields batches: positions into its labels, int64 [<= size], on the CPU. All but one show
as many examples as there are (class-balanced: rounded up to whole batches), so that runs differ by which examples they
see, not by how many. The exception, `class-balanced-as-published`, shows more. What is random comes from the draw's
generator alone.

Legend: n training examples, m classes that have examples.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from features.errors import ConfigError
from heads.signals import Draw

Sampler = Callable[[Draw], Iterator[Tensor]]

HELD_BLOCKS = 64  # blocks in memory at a time
POOLED_BATCHES = 50  # of `bucketed`: batches among which like lengths are sought


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
        groups.append(_shuffled(positions[positions < count], draw.generator))
    return iter(torch.cat(groups).split(draw.size))


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


def class_balanced(draw: Draw) -> Iterator[Tensor]:
    """size / m examples of every class in every batch, ceil(n / size) batches.

    A class's examples come in random order. All of them come before any comes again. If a class has more examples than
    its share, each epoch shows a part of them. Within a batch, examples are sorted by class. Raises ConfigError where m
    does not divide the batch size.
    """
    members = _members(draw.labels)
    each, rest = divmod(draw.size, len(members))
    if rest or not each:
        sizes = [size for size in (each * len(members), (each + 1) * len(members)) if size]
        raise ConfigError(
            f"batch.size ({draw.size}) must be a multiple of the {len(members)} classes that have training examples, "
            f"for the sampler class-balanced: try {' or '.join(map(str, sizes))}"
        )
    batches = math.ceil(len(draw.labels) / draw.size)
    columns = [_cycled(own, batches * each, draw.generator).view(batches, each) for own in members]
    return iter(torch.cat(columns, dim=1).unbind())


def class_balanced_as_published(draw: Draw) -> Iterator[Tensor]:
    """The report's sampler: m * (examples of the largest class) examples an epoch, 32,970 for MELD's 9,989.

    Classes take turns, in an order that is drawn for each round. At its turn, a class gives its next
    `max(2, ceil(size / m))` examples in the order of the manifest, and starts again at its first when it has no more.
    The epoch ends when the largest class has given all of its examples. Batches are cut from this row regardless of
    turns. At the report's size of 11 with 7 classes they hold 3 to 6 classes, although the report promises two examples
    of each. From the code of the report "HLM12ERC".
    """
    members = _members(draw.labels)
    each = max(2, math.ceil(draw.size / len(members)))
    total = len(members) * max(map(len, members))
    turns = math.ceil(total / (len(members) * each))
    places = torch.arange(turns * each)
    table = torch.stack([own[places % len(own)] for own in members]).view(len(members), turns, each)
    order = torch.stack([torch.randperm(len(members), generator=draw.generator) for _ in range(turns)])  # [turns, m]
    drawn = table[order, torch.arange(turns).unsqueeze(1)]  # [turns, m, each]
    return iter(drawn.flatten()[:total].split(draw.size))


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
        passes.append(_shuffled(included, draw.generator)[:left])
        left -= len(passes[-1])
    return iter(torch.cat(passes).split(draw.size))


SAMPLERS: dict[str, Sampler] = {
    "bucketed": bucketed,
    "class-balanced": class_balanced,
    "class-balanced-as-published": class_balanced_as_published,
    "shuffle": shuffle,
    "spcl-curriculum": spcl_curriculum,
}
# Those that rank examples, and so need a loss that decides.
NEEDS_DIFFICULTY = frozenset({"spcl-curriculum"})
# Those that change from epoch to epoch until the last: early stopping does not cut them off.
LASTS_ALL_EPOCHS = frozenset({"spcl-curriculum"})


def inclusion_chances(count: int, epoch: int, epochs: int) -> Tensor:
    """Of the curriculum, by rank: float32 [count]. Their mean is 1/2, as is the chance of an example that is alone."""
    if count == 1:
        return torch.tensor([0.5])
    progress = min(1.0, epoch / epochs)
    return torch.linspace(1 - progress, progress, count)


def _members(labels: Tensor) -> list[Tensor]:
    """Of each class that has examples, their positions in order: int64 [n_y]."""
    return [(labels == label).nonzero().flatten() for label in labels.unique()]


def _shuffled(positions: Tensor, generator: torch.Generator) -> Tensor:
    return positions[torch.randperm(len(positions), generator=generator)]


def _cycled(positions: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """`count` of the positions: shuffled, and shuffled anew each time that all were drawn."""
    rounds = math.ceil(count / len(positions))
    return torch.cat([_shuffled(positions, generator) for _ in range(rounds)])[:count]
