"""`layer-weights`: a learned mean of a network's layers."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from heads.readers.shapes import layers_of


class LayerWeights(nn.Module):
    """scale * sum of s_l h_l over the layers l, where s is the softmax of one learned number for each layer. This is
    ELMo's scalar mix (Peters et al. 2018, equation 1). SUPERB's probes of speech models use it without the scale (Yang
    et al. 2021).

    At the start of training, all layers have the same weight, and the scale is 1.

    normalise: apply a layer norm without parameters to each layer first, so that layers with large values do not
               dominate the mean (Peters et al. recommend it in some cases). The norm is over the values of each vector,
               as in SUPERB's code (s3prl's Featurizer). In the code of Peters et al. (AllenNLP's ScalarMix) it is over
               all vectors of a batch
    """

    kinds = frozenset({"stack"})
    over_batch = False

    def __init__(self, shape: tuple[int, ...], *, normalise: bool = False) -> None:
        super().__init__()
        self.layers, self.width = layers_of(shape, "layer-weights")
        self.weights = nn.Parameter(torch.zeros(self.layers))
        self.scale = nn.Parameter(torch.ones(()))
        self.normalise = normalise

    def forward(self, values: Tensor) -> Tensor:
        """float32 [b, layers * d] -> [b, d]."""
        stack = values.unflatten(1, (self.layers, self.width))
        if self.normalise:
            stack = functional.layer_norm(stack, (self.width,))
        return torch.einsum("l,bld->bd", self.scale * self.weights.softmax(dim=0), stack)
