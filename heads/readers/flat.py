"""`flat`: all layers of a stack side by side."""

from __future__ import annotations

from torch import Tensor, nn

from heads.readers.shapes import layers_of


class Flat(nn.Module):
    """The layers of a stack, one after the other: float32 [b, layers * d]."""

    kinds = frozenset({"stack"})
    over_batch = False

    def __init__(self, shape: tuple[int, ...]) -> None:
        super().__init__()
        layers, width = layers_of(shape, "flat")
        self.width = layers * width

    def forward(self, values: Tensor) -> Tensor:
        return values
