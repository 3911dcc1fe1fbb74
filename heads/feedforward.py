"""Hidden layers between the context and the classifier."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

from torch import nn

ACTIVATIONS: dict[str, type[nn.Module]] = {"relu": nn.ReLU, "gelu": nn.GELU, "tanh": nn.Tanh}


def feedforward(
    width: int, *, sizes: Sequence[int], dropout: float, input_dropout: float, activation: str
) -> nn.Sequential:
    """Dropout on the input, then linear, activation and dropout for each size: [b, width] -> [b, sizes[-1]].

    Without sizes only the dropout on the input is left, [b, width] -> [b, width], and the head is linear.
    """
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    if input_dropout:
        layers["input_dropout"] = nn.Dropout(input_dropout)
    for index, size in enumerate(sizes):
        layers[f"linear{index}"] = nn.Linear(width, size)
        layers[f"activation{index}"] = ACTIVATIONS[activation]()
        layers[f"dropout{index}"] = nn.Dropout(dropout)
        width = size
    return nn.Sequential(layers)
