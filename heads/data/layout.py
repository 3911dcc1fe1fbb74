"""How the utterances of a batch stand in their dialogues: what contexts see beside the fused vectors.

Legend: b utterances, d dialogues, t turns of the longest dialogue.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Layout:
    """Whole dialogues, one after the other, each in the order of its turns.

    mask:  bool [d, t], True where an utterance is real; the real ones stand at the left
    slots: int64 [d, t], the speaker's slot within the dialogue: 0 for who speaks first, then 1, ...; -1 in the padding
    rows:  int64 [b], each utterance's place in the flattened [d * t]
    """

    mask: Tensor
    slots: Tensor
    rows: Tensor

    @classmethod
    def of(cls, dialogues: Tensor, slots: Tensor) -> Layout:
        """dialogues: int64 [b], equal for the utterances of one dialogue, which stand together; slots: int64 [b]."""
        _, lengths = torch.unique_consecutive(dialogues, return_counts=True)
        longest = int(lengths.max()) if len(lengths) else 0
        mask = torch.arange(longest, device=lengths.device) < lengths.unsqueeze(1)
        padded = torch.full(mask.shape, -1, dtype=torch.int64, device=mask.device)
        padded[mask] = slots
        return cls(mask, padded, mask.flatten().nonzero().squeeze(1))

    @property
    def lengths(self) -> Tensor:
        """int64 [d]: the utterances of each dialogue."""
        return self.mask.sum(dim=1)

    @property
    def turns(self) -> Tensor:
        """int64 [b]: the number of each utterance's turn in its dialogue, from 0 on."""
        return self.rows % self.mask.shape[1]

    def pad(self, values: Tensor) -> Tensor:
        """[b, *w] -> [d, t, *w], zeros in the padding."""
        padded = values.new_zeros((self.mask.numel(), *values.shape[1:]))
        return padded.index_copy(0, self.rows, values).view(*self.mask.shape, *values.shape[1:])

    def unpad(self, padded: Tensor) -> Tensor:
        """[d, t, *w] -> [b, *w]: the inverse of `pad`."""
        return padded.flatten(0, 1).index_select(0, self.rows)

    def reverse(self, padded: Tensor) -> Tensor:
        """[d, t, *w] with the real turns of each dialogue in reverse order; padding stays at the right."""
        places = torch.arange(self.mask.shape[1], device=padded.device).expand(self.mask.shape)
        mirrored = torch.where(self.mask, self.lengths.unsqueeze(1) - 1 - places, places)
        return padded[torch.arange(len(padded), device=padded.device).unsqueeze(1), mirrored]
