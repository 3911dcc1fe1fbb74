"""An epoch as training steps: batches gathered several at a time, with all that a step has to know counted beforehand,
so that no step waits for a GPU to say it.

Legend: b utterances of a batch.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate

import numpy as np
import torch
from torch import Tensor

from heads.data.batch import Batch
from heads.signals import Targets
from heads.training.examples import Examples

_GATHERED_BYTES = 8 << 20  # of batches that are gathered in one go: they stay in the cache until their step


@dataclass(frozen=True)
class Step:
    """batch:   the utterances
    targets: of those that the loss sees
    learnt:  int64, places in the batch of those that the loss sees; None: all
    count:   how many these are, at least one
    place:   of the batch among all of the epoch, those that teach nothing among them
    """

    batch: Batch
    targets: Targets
    learnt: Tensor | None
    count: int
    place: int


def steps_of(examples: Examples, batches: Sequence[Tensor], trainable: Tensor | None) -> Iterator[Step]:
    """The steps of an epoch's batches, in their order. Batches that teach nothing are left out.

    batches: int64 places in the table, on the CPU; trainable: bool over the table, on the CPU, the utterances that the
    loss sees, None where it sees all of every batch
    """
    teaching = [place for place, places in enumerate(batches) if trainable is None or _any(places, trainable)]
    batches = [batches[place] for place in teaching]
    device = examples.table.device
    sizes = [len(places) for places in batches]
    everything = torch.cat(list(batches))
    whole = _whole(examples, everything.numpy(), sizes)
    learnt = [None] * len(batches) if trainable is None else _learnt(batches, trainable)
    on_device = everything.to(device)
    each = max(1, examples.table.nbytes // max(1, len(examples.table)) * max(sizes))
    together = max(1, _GATHERED_BYTES // each)
    bounds = [0, *accumulate(sizes)]
    for first in range(0, len(batches), together):
        chunk = slice(first, first + together)
        places = on_device[bounds[first] : bounds[min(first + together, len(batches))]]
        gathered = examples.table.select(places).split(sizes[chunk])
        targets = examples.targets.select(places).split(sizes[chunk])
        parts = zip(gathered, targets, whole[chunk], learnt[chunk], teaching[chunk], strict=True)
        for batch, target, known, own, place in parts:
            if own is None:
                yield Step(replace(batch, whole=known), target, None, len(batch), place)
            else:
                own = own.to(device)
                yield Step(replace(batch, whole=known), target.select(own), own, len(own), place)


def _any(places: Tensor, trainable: Tensor) -> bool:
    return bool(trainable.numpy()[places.numpy()].any())


def _learnt(batches: Sequence[Tensor], trainable: Tensor) -> list[Tensor | None]:
    return [torch.from_numpy(np.flatnonzero(trainable.numpy()[places.numpy()])) for places in batches]


def _whole(examples: Examples, places: np.ndarray, sizes: Sequence[int]) -> list[frozenset[str]]:
    """Of each batch, the modalities that none of its utterances lacks."""
    starts = [0, *accumulate(sizes)][:-1]
    known = {
        modality: np.logical_and.reduceat(there[places], starts)
        for modality, there in examples.there.items()
        if modality not in examples.table.whole
    }
    return [
        examples.table.whole | {modality for modality, complete in known.items() if complete[place]}
        for place in range(len(sizes))
    ]
