"""Samplers: in which order an epoch shows the training examples. One a file, and their table.

A sampler takes a `Draw` and yields batches: positions into its labels, int64 [<= size], on the CPU. All but one show
as many examples as there are (class-balanced: rounded up to whole batches), so that runs differ by which examples they
see, not by how many. The exception, `class-balanced-as-published`, shows more. What is random comes from the draw's
generator alone.

Legend: n training examples, m classes that have examples.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from torch import Tensor

from heads.data.samplers.bucketed import bucketed
from heads.data.samplers.class_balanced import class_balanced
from heads.data.samplers.class_balanced_as_published import class_balanced_as_published
from heads.data.samplers.shuffle import shuffle
from heads.data.samplers.spcl_curriculum import spcl_curriculum
from heads.signals import Draw

Sampler = Callable[[Draw], Iterator[Tensor]]

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
