"""`text-cnn`: convolutions over an utterance's tokens, and the largest output of each filter."""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from heads.data.sequences import Sequences
from heads.dropout import Dropout
from heads.precision import in_float32
from heads.readers.shapes import vector_width

Size = Annotated[int, Field(ge=1, le=1 << 14)]
Windows = Annotated[tuple[Annotated[int, Field(ge=1, le=64)], ...], Field(min_length=1)]


class TextCNN(nn.Module):
    """The convolutional network for sentences (Kim 2014, section 2), in the sizes of MELD's baseline: filters over 3,
    4 and 5 tokens, 512 of each, ReLU, the maximum over the text, then a tanh layer of 100 values and dropout (checked
    against declare-lab/MELD, baseline.py; Kim's own code, yoonkim/CNN_sentence, has 100 filters and no tanh layer).

    length:  number of tokens that are read. Longer texts are cut
    windows: number of tokens that a filter sees; one group of filters for each number
    filters: number of filters in each group
    size:    number of values of the output vector
    dropout: dropout of the output vector

    A window starts at every real token, and may extend past the end into zeros. In the baseline, a window may lie
    wholly in the padding, where a filter gives its bias. There the padded length changes the result; here it does not.
    Without tokens every maximum is 0.

    The texts of a batch are convolved as one long sequence with zeros between them. They are not padded to the longest.
    """

    kinds = frozenset({"sequence"})
    over_batch = False

    def __init__(
        self,
        shape: tuple[int, ...],
        *,
        length: Size = 50,
        windows: Windows = (3, 4, 5),
        filters: Size = 512,
        size: Size = 100,
        dropout: Annotated[float, Field(ge=0, lt=1)] = 0.5,
    ) -> None:
        super().__init__()
        width = vector_width(shape, "text-cnn")
        self.length = length
        self.gap = max(windows)  # enough for every window, and never nothing to convolve
        self.convolutions = nn.ModuleList(nn.Conv1d(width, filters, window) for window in windows)
        self.dense = nn.Linear(filters * len(windows), size)
        self.dropout = Dropout(dropout)
        self.width = size

    @in_float32
    def forward(self, values: Sequences) -> Tensor:
        spaced, starts, lengths = self._spaced(values)
        maxima = []
        for convolution in self.convolutions:
            answers = convolution(spaced).squeeze(0).T[starts].relu()  # [tokens, filters]
            maxima.append(torch.segment_reduce(answers, "max", lengths=lengths, axis=0, initial=0.0))
        return self.dropout(self.dense(torch.cat(maxima, dim=1)).tanh())

    def _spaced(self, values: Sequences) -> tuple[Tensor, Tensor, Tensor]:
        """All texts in one, float32 [1, d, s], a gap of zeros after each; int64 [tokens], where in s the tokens stand;
        int64 [n], how many tokens of each text are read."""
        padded, mask = values.padded(min(self.length, max(1, int(values.lengths.max()))))
        lengths = mask.sum(dim=1)
        padded = functional.pad(padded, (0, 0, 0, self.gap))
        real = functional.pad(mask, (0, self.gap))
        kept = torch.arange(padded.shape[1], device=padded.device) < (lengths + self.gap).unsqueeze(1)
        return padded[kept].T.unsqueeze(0), real[kept].nonzero().squeeze(1), lengths
