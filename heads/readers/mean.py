"""`mean`: the mean of a sequence."""

from __future__ import annotations

from torch import Tensor, nn

from heads.data.sequences import Sequences
from heads.readers.shapes import vector_width


class MeanReader(nn.Module):
    """The mean of an utterance's elements; zeros where it has none."""

    kinds = frozenset({"sequence"})
    over_batch = False

    def __init__(self, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.width = vector_width(shape, "mean")

    def forward(self, values: Sequences) -> Tensor:
        padded, mask = values.padded()  # zeros in the padding
        return padded.sum(dim=1) / mask.sum(dim=1, keepdim=True).clamp(min=1)
