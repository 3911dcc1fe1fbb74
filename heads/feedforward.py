"""Hidden layers between the context and the classifier."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

from torch import nn

ACTIVATIONS: dict[str, type[nn.Module]] = {"relu": nn.ReLU, "gelu": nn.GELU, "tanh": nn.Tanh}


def feedforward(width: int, sizes: Sequence[int], dropout: float, activation: str) -> nn.Sequential:
    """[dropout, linear, activation] for each size: [b, width] -> [b, sizes[-1]], or [b, width] where there is none.

    Dropout stands before each layer, so that the first one drops values of the fused embedding.
    """
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    for index, size in enumerate(sizes):
        layers[f"dropout{index}"] = nn.Dropout(dropout)
        layers[f"linear{index}"] = nn.Linear(width, size)
        layers[f"{activation}{index}"] = ACTIVATIONS[activation]()
        width = size
    return nn.Sequential(layers)
