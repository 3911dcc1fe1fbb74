"""A batch of normalised features as tensors. The whole table is a batch, too; `select` takes rows of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from heads.data.data import FeatureRows, HeadData
from heads.data.layout import Layout
from heads.data.sequences import Sequences


@dataclass(frozen=True)
class Batch:
    """Legend: b utterances, k features of a modality, d values of a feature.

    values:    modality -> per feature a float32 [b, d] (a stack of layers laid end to end), zeros where it is missing,
               or Sequences of b utterances, empty where it is missing
    present:   modality -> bool [b, k], True where the feature is there
    dialogues: int64 [b], equal for utterances of one dialogue
    slots:     int64 [b], the speaker's slot within the dialogue, by first appearance
    speakers:  int64 [b], the speaker's place in the head's vocabulary; 0 is every other one
    whole:     modalities known to be there for every utterance, by one feature or more. What is not named may be, too:
               to look would have the host wait for a GPU
    """

    values: dict[str, tuple[Tensor | Sequences, ...]]
    present: dict[str, Tensor]
    dialogues: Tensor
    slots: Tensor
    speakers: Tensor
    whole: frozenset[str] = field(default=frozenset(), kw_only=True)

    def __len__(self) -> int:
        return len(self.dialogues)

    @property
    def device(self) -> torch.device:
        return self.dialogues.device

    @property
    def nbytes(self) -> int:
        """What the features hold, in memory or mapped."""
        tensors = [
            item.values if isinstance(item, Sequences) else item for items in self.values.values() for item in items
        ]
        return sum(item.numel() * item.element_size() for item in tensors)

    def layout(self) -> Layout:
        """How these utterances stand in dialogues. Expects whole dialogues in the order of their turns."""
        return Layout.of(self.dialogues, self.slots)

    def select(self, positions: Tensor) -> Batch:
        """The utterances at int64 `positions` [m], in that order."""
        positions = positions.to(self.device)
        return Batch(
            {
                modality: tuple(item.index_select(0, positions) for item in items)
                for modality, items in self.values.items()
            },
            {modality: mask.index_select(0, positions) for modality, mask in self.present.items()},
            *(item.index_select(0, positions) for item in (self.dialogues, self.slots, self.speakers)),
            whole=self.whole,
        )

    def split(self, sizes: Sequence[int]) -> list[Batch]:
        """The first `sizes[0]` utterances, the next `sizes[1]`, ...; views. `sizes` add up to all of them."""
        values = {
            modality: list(zip(*(item.split(sizes) for item in items), strict=True))
            for modality, items in self.values.items()
        }
        present = {modality: mask.split(sizes) for modality, mask in self.present.items()}
        numbers = zip(*(item.split(sizes) for item in (self.dialogues, self.slots, self.speakers)), strict=True)
        return [
            Batch(
                {modality: items[place] for modality, items in values.items()},
                {modality: masks[place] for modality, masks in present.items()},
                *each,
                whole=self.whole,
            )
            for place, each in enumerate(numbers)
        ]

    def to(self, device: torch.device | str) -> Batch:
        return Batch(
            {modality: tuple(item.to(device) for item in items) for modality, items in self.values.items()},
            {modality: mask.to(device) for modality, mask in self.present.items()},
            *(item.to(device) for item in (self.dialogues, self.slots, self.speakers)),
            whole=self.whole,
        )


def batch_of(data: HeadData, vocabulary: Sequence[str] = ()) -> Batch:
    """Every utterance of `data`; values share memory with its arrays.

    vocabulary: the speakers that a head knows by name, from place 1 on
    """
    places = {name: place for place, name in enumerate(vocabulary, start=1)}
    utterances = data.utterances
    return Batch(
        {modality: tuple(_tensor(item) for item in items) for modality, items in data.inputs.items()},
        {
            modality: torch.stack([torch.from_numpy(item.present) for item in items], dim=1)
            for modality, items in data.inputs.items()
        },
        torch.from_numpy(utterances.dialogues),
        torch.from_numpy(utterances.slots),
        torch.tensor([places.get(name, 0) for name in utterances.speakers], dtype=torch.int64),
        whole=frozenset(modality for modality, there in data.modalities_there().items() if there.all()),
    )


def _tensor(item: FeatureRows) -> Tensor | Sequences:
    values = torch.from_numpy(item.values)
    return values if item.offsets is None else Sequences(values, torch.from_numpy(item.offsets), item.scale)
