"""One encoder's work in a run: what is left, and what has come of it so far."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from features.encoders.memory_batches import MemoryBatches
from features.encoders.protocol import Encoder
from features.errors import Reason
from features.store.plan import Plan
from features.store.write import FeatureWriter

Advance = Callable[[int], object]
"""Called with the number of embeddings that were done since it was called last."""


@dataclass
class Job:
    """One encoder and what it still has to do; `reasons` counts outcomes (None is ok) as the work goes on.

    cut, outside:   rows whose input was cut to the encoder's limit, and whose cut lies partly outside its clip
    writer:         of its feature, whose lock is held; None for a plan that is only looked at
    seconds_decode: of all decoding processes together; a clip's are shared by the encoders that it was decoded for
    batches:        of inputs that are encoded at once; halved where the device's memory runs out
    """

    encoder: Encoder
    plan: Plan
    writer: FeatureWriter | None = None
    reasons: dict[Reason | None, int] = field(default_factory=dict)
    cut: int = 0
    outside: int = 0
    shards: int = 0
    seconds_prepare: float = 0.0
    seconds_decode: float = 0.0
    seconds_encode: float = 0.0
    seconds_write: float = 0.0
    batches: MemoryBatches = field(init=False)

    def __post_init__(self) -> None:
        self.batches = MemoryBatches(self.encoder.batch_size)

    @property
    def key(self) -> str:
        return self.plan.spec.folder

    @property
    def batch_size(self) -> int:
        return self.batches.size
