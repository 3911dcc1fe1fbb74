"""A batch of normalised features as tensors. The whole table is a batch, too; `select` takes rows of it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from heads.data import HeadData


@dataclass(frozen=True)
class Batch:
    """Legend: b utterances, k features of a modality, d values of a feature.

    values:  modality -> one float32 [b, d] per feature; zeros where it is missing
    present: modality -> bool [b, k], True where the feature is there
    """

    values: dict[str, tuple[Tensor, ...]]
    present: dict[str, Tensor]

    def __len__(self) -> int:
        return len(next(iter(self.present.values())))

    def select(self, positions: Tensor) -> Batch:
        """The utterances at int64 `positions` [m], in that order."""
        return Batch(
            {
                modality: tuple(item.index_select(0, positions) for item in items)
                for modality, items in self.values.items()
            },
            {modality: mask.index_select(0, positions) for modality, mask in self.present.items()},
        )

    def to(self, device: torch.device | str) -> Batch:
        return Batch(
            {modality: tuple(item.to(device) for item in items) for modality, items in self.values.items()},
            {modality: mask.to(device) for modality, mask in self.present.items()},
        )


def batch_of(data: HeadData) -> Batch:
    """Every utterance of `data`; values share memory with its arrays."""
    return Batch(
        {modality: tuple(torch.from_numpy(item.values) for item in items) for modality, items in data.inputs.items()},
        {
            modality: torch.stack([torch.from_numpy(item.present) for item in items], dim=1)
            for modality, items in data.inputs.items()
        },
    )
