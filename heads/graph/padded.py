"""Dialogues and sequences as padded tensors: the same questions as `Layout` and `Sequences` answer, with shapes that
depend on no value.

Legend: d dialogues, t turns of the longest, b = d * t utterances (padding among them), n elements of the longest
sequence, e the shape of one element.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from heads.data.batch import Batch
from heads.data.layout import Layout


class PaddedLayout(Layout):
    """A layout in which the utterances of a batch are all [d * t] places; what stands in the padding has no meaning."""

    @classmethod
    def of_mask(cls, mask: Tensor, slots: Tensor) -> PaddedLayout:
        """mask: bool [d, t], True where a turn is real, the real ones at the left; slots: int64 [d, t]."""
        return cls(mask, torch.where(mask, slots, -1), torch.arange(mask.shape[0] * mask.shape[1]))

    @property
    def turns(self) -> Tensor:
        return torch.arange(self.mask.shape[1]).expand(self.mask.shape).flatten()

    def pad(self, values: Tensor) -> Tensor:
        padded = values.unflatten(0, self.mask.shape)
        mask = self.mask.reshape(*self.mask.shape, *[1] * (padded.dim() - 2))
        return padded & mask if padded.dtype == torch.bool else torch.where(mask, padded, 0)

    def unpad(self, padded: Tensor) -> Tensor:
        return padded.flatten(0, 1)

    def reverse(self, padded: Tensor) -> Tensor:
        turns = torch.arange(self.mask.shape[1])
        mirrored = torch.where(self.mask, self.lengths.unsqueeze(1) - 1 - turns, turns)  # [d, t]
        places = mirrored.reshape(*mirrored.shape, *[1] * (padded.dim() - 2)).expand(padded.shape)
        return padded.gather(1, places)


@dataclass(frozen=True)
class PaddedSequences:
    """values: float32 [b, n, *e], zeros in the padding; mask: bool [b, n]; real: bool [b], False for turns that are
    padding themselves, or None"""

    values: Tensor
    mask: Tensor
    real: Tensor | None = None

    def padded(self) -> tuple[Tensor, Tensor]:
        return self.values, self.mask

    def filled(self, length: int) -> Tensor:
        """float32 [b, length, *e], cut or filled with zeros."""
        widths = [0, 0] * (self.values.dim() - 2)
        return functional.pad(self.values, [*widths, 0, length])[:, :length]


@dataclass(frozen=True)
class GraphBatch(Batch):
    """A batch that knows its layout; `dialogues` and `slots` are not read."""

    turns: PaddedLayout | None = None

    def layout(self) -> Layout:
        if self.turns is None:
            return super().layout()
        return self.turns
