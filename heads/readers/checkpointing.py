"""Layers that keep only what they are given, and are computed again when their gradient is asked for."""

from __future__ import annotations

from types import MethodType
from typing import Any

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from features.top.network import TopNetwork


def checkpoint_layers(network: TopNetwork) -> None:
    """Have each of the layers do so in training. A bound method, so that a copy of the network (its moving average)
    computes its own layers again and not these."""
    description = network.description
    layers: Any = network.network.get_submodule(description.layers)
    for layer in layers[description.first :]:
        layer.forward = MethodType(_forward, layer)


def _forward(layer: nn.Module, *args: Any, **kwargs: Any) -> Any:
    plain = type(layer).forward
    if not (layer.training and torch.is_grad_enabled()):
        return plain(layer, *args, **kwargs)
    return checkpoint(plain, layer, *args, use_reentrant=False, **kwargs)
