"""Fusions: the modalities of an utterance as one vector. One file a fusion, one line in FUSIONS.

A fusion takes `widths` (modality -> values) and keyword-only settings, and is called with

  values:  modality -> float32 [b, width]
  present: modality -> bool [b], True where the modality is there; what `values` holds elsewhere is never looked at, be
           it NaN. None stands for a mask that is known to be True everywhere: the same numbers with less work
  layout:  how the utterances stand in their dialogues. None is enough unless `over_dialogue`

It gives float32 [b, fusion.width], finite also for an utterance of which no modality is there. An utterance's vector
depends on that utterance alone, but for two kinds that say so:

  over_dialogue: it depends on the other turns of the dialogue too; batches must hold whole dialogues
  over_batch:    it depends on all utterances of the batch, so that a prediction changes with its batch-mates
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from torch import Tensor

from heads.data.layout import Layout
from heads.fusion.attention import AttentionFusion
from heads.fusion.concat import Concat, NormedConcat
from heads.fusion.gated import Gated
from heads.fusion.inputs import Present
from heads.fusion.m2fnet import M2FNetFusion
from heads.fusion.mean import Mean
from heads.fusion.over_batch import AttentionOverBatch


class Fusion(Protocol):
    """What a head may rely on; every fusion is an nn.Module besides."""

    over_batch: bool
    over_dialogue: bool
    width: int

    def __call__(
        self, values: Mapping[str, Tensor], present: Mapping[str, Present], layout: Layout | None = None
    ) -> Tensor: ...


FUSIONS: dict[str, type[Fusion]] = {
    "concat": Concat,
    "concat+norm": NormedConcat,
    "mean": Mean,
    "gated": Gated,
    "attention": AttentionFusion,
    "m2fnet": M2FNetFusion,
    "attention-over-batch": AttentionOverBatch,
}
