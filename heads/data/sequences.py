"""Sequences of many utterances, laid end to end: tokens, frames, faces, waveforms."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence


@dataclass(frozen=True)
class Sequences:
    """Legend: n utterances, t the longest of them, e the shape of one element (empty for a waveform).

    values:  [sum of lengths, *e], float32 or float16, perhaps a memory map
    offsets: int64 [n + 1], on the CPU; utterance i is values[offsets[i] : offsets[i + 1]], which is empty where missing
    scale:   what every value is multiplied by when it is read (float16 waveforms are scaled by one train RMS)
    """

    values: Tensor
    offsets: Tensor
    scale: float = 1.0

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def lengths(self) -> Tensor:
        """int64 [n], on the CPU."""
        return self.offsets.diff()

    def index_select(self, dim: int, positions: Tensor) -> Sequences:
        """The utterances at int64 `positions` [m], in that order. Named as a tensor's; `dim` is 0."""
        starts, stops = self.offsets[:-1][positions.cpu()], self.offsets[1:][positions.cpu()]
        parts = [self.values[start:stop] for start, stop in zip(starts.tolist(), stops.tolist(), strict=True)]
        values = torch.cat(parts) if parts else self.values[:0]
        return Sequences(values, torch.cat([starts.new_zeros(1), (stops - starts).cumsum(0)]), self.scale)

    def split(self, sizes: Sequence[int]) -> tuple[Sequences, ...]:
        """The first `sizes[0]` utterances, the next `sizes[1]`, ...; views. Named as a tensor's."""
        bounds = [0, *accumulate(sizes)]
        edges: list[int] = self.offsets[bounds].tolist()
        return tuple(
            Sequences(self.values[start:stop], self.offsets[first : last + 1] - start, self.scale)
            for first, last, start, stop in zip(bounds, bounds[1:], edges, edges[1:], strict=False)
        )

    def padded(self, length: int | None = None) -> tuple[Tensor, Tensor]:
        """(values float32 [n, t, *e], zeros in the padding; mask bool [n, t], True where a value is real).

        length: t; longer sequences are cut to it. None: the longest of these (at least 1)
        """
        values = self.filled(length)
        places = torch.arange(values.shape[1], device=values.device)
        return values, places < self.lengths.to(values.device).unsqueeze(1)

    def filled(self, length: int | None = None) -> Tensor:
        """The values of `padded` alone: for waveforms the mask takes longer than they do."""
        lengths: list[int] = self.lengths.tolist()
        width = max([1, *lengths]) if length is None else length
        values = self.values.new_zeros((len(self), width, *self.values.shape[1:]), dtype=torch.float32)
        if lengths:
            rows = self.values[self.offsets[0] : self.offsets[-1]].split(lengths)
            joined = pad_sequence([row[:width] for row in rows], batch_first=True)  # as stored; converted in one go
            values[:, : joined.shape[1]] = joined
        if self.scale != 1.0:
            values *= self.scale
        return values

    def to(self, device: torch.device | str) -> Sequences:
        return Sequences(self.values.to(device), self.offsets, self.scale)
