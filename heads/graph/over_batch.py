"""Attention among the utterances of a batch, as the parts that re-state that slip have it; turns that are padding are
nobody's batch-mates.

Legend: b utterances, w values.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional

from heads.attention import masked_softmax
from heads.data.layout import Layout
from heads.fusion.inputs import Present, visible
from heads.fusion.over_batch import AttentionOverBatch


class OverBatch(nn.Module):
    """`attention-over-batch` with the same weights. Says `over_dialogue`, since a layout tells what is padding."""

    over_batch = True

    def __init__(self, fusion: AttentionOverBatch) -> None:
        super().__init__()
        self.fusion = fusion
        self.over_dialogue = True
        self.width = fusion.width

    def forward(
        self, values: Mapping[str, Tensor], present: Mapping[str, Present], layout: Layout | None = None
    ) -> Tensor:
        projections = self.fusion.project
        parts = [project(visible(values[modality], present[modality])) for modality, project in projections.items()]
        joined = torch.cat(parts, dim=1)
        real = None if layout is None else layout.mask.flatten()
        norm: Tensor = self.fusion.norm(joined + among_rows(self.fusion.attention, joined, real))
        return norm


def among_rows(attention: nn.MultiheadAttention, rows: Tensor, real: Tensor | None) -> Tensor:
    """Self-attention among float32 [b, w], by torch's weights; real: bool [b], whom others see; None: all."""
    projected = functional.linear(rows, attention.in_proj_weight, attention.in_proj_bias)
    heads = [item.unflatten(1, (attention.num_heads, -1)).transpose(0, 1) for item in projected.chunk(3, dim=1)]
    query, key, value = heads  # [heads, b, w / heads]
    scores = query @ key.transpose(1, 2) / math.sqrt(attention.head_dim)
    mixed = masked_softmax(scores, None if real is None else real.reshape(1, 1, -1)) @ value
    return functional.linear(mixed.transpose(0, 1).flatten(1), attention.out_proj.weight, attention.out_proj.bias)


def itself(attention: nn.MultiheadAttention, rows: Tensor) -> Tensor:
    """Each of float32 [b, w] attends to itself alone: its value, whatever query and key say."""
    weight = attention.in_proj_weight.chunk(3)[2]
    bias = attention.in_proj_bias.chunk(3)[2]
    value = functional.linear(rows, weight, bias)
    return functional.linear(value, attention.out_proj.weight, attention.out_proj.bias)
