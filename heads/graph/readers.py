"""Readers whose shapes depend on values, on padded sequences.

Legend: b utterances, n elements of the longest, w values of an element.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from heads.graph.over_batch import among_rows, itself
from heads.graph.padded import PaddedSequences
from heads.readers.text_cnn import TextCNN
from heads.readers.waveform_mlp import WaveformMLP
from heads.unit_length import unit_length


class PaddedTextCNN(nn.Module):
    """`text-cnn` with the same weights: texts side by side, the gap of zeros behind each of them."""

    def __init__(self, reader: TextCNN) -> None:
        super().__init__()
        self.reader = reader
        self.width = reader.width

    def forward(self, sequences: PaddedSequences) -> Tensor:
        reader, (values, mask) = self.reader, sequences.padded()
        real = (mask & (torch.arange(mask.shape[1]) < reader.length)).unsqueeze(1)  # [b, 1, n]
        spaced = functional.pad(torch.where(real, values.transpose(1, 2), 0.0), (0, reader.gap))
        maxima = []
        for convolution in reader.convolutions:
            answers = convolution(spaced)[:, :, : real.shape[2]]
            maxima.append(torch.where(real, answers.relu(), 0.0).amax(dim=2))
        dense: Tensor = reader.dense(torch.cat(maxima, dim=1))
        return dense.tanh()


class PaddedWaveformMLP(nn.Module):
    """`waveform-mlp` with the same weights."""

    def __init__(self, reader: WaveformMLP) -> None:
        super().__init__()
        self.reader = reader
        self.width = reader.width

    def forward(self, sequences: PaddedSequences) -> Tensor:
        reader = self.reader
        states: Tensor = reader.layers(sequences.filled(reader.samples))
        if reader.attention is not None and reader.norm is not None:
            attention = reader.attention
            seen = among_rows(attention, states, sequences.real) if reader.over_batch else itself(attention, states)
            states = reader.norm(states + seen)
        return unit_length(states)
