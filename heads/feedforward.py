"""Hidden layers between the context and the classifier."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

from torch import nn

from heads.dropout import Dropout

ACTIVATIONS: dict[str, type[nn.Module]] = {"relu": nn.ReLU, "gelu": nn.GELU, "tanh": nn.Tanh}


def feedforward(width: int, *, sizes: Sequence[int], dropout: float, activation: str) -> nn.Sequential:
    """Linear, activation and dropout for each size: [b, width] -> [b, sizes[-1]]; without sizes nothing, [b, width]."""
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    for index, size in enumerate(sizes):
        layers[f"linear{index}"] = nn.Linear(width, size)
        layers[f"activation{index}"] = ACTIVATIONS[activation]()
        layers[f"dropout{index}"] = Dropout(dropout)
        width = size
    return nn.Sequential(layers)
