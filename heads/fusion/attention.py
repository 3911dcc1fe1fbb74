"""`attention`: self-attention among the modalities of one utterance."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor, nn

from heads.attention import Attention
from heads.data.layout import Layout
from heads.dropout import Dropout
from heads.fusion.inputs import Dim, Heads, Present, Rate, masks_of, projections, visible
from heads.fusion.mean import masked_mean


class AttentionFusion(nn.Module):
    """Each modality is one token: projected to `dim`, plus a learned embedding that says which modality it is. The
    tokens of an utterance attend to each other (Vaswani et al. 2017, section 3.2.2). A residual and a layer norm
    follow, and then the mean over the tokens.

    A missing modality is neither seen nor counted in the mean. If all are missing, the result is zeros. This is what
    the HLM12ERC report describes. Its code attends over the batch instead (`attention-over-batch`).

    dim:     number of values that each modality is projected to
    heads:   number of attention heads. It must divide `dim`
    dropout: dropout of the attention's result, before it is added to the residual
    """

    over_batch = False
    over_dialogue = False
    decayed: ClassVar[tuple[str, ...]] = ()  # see heads/training/weight_decay.py

    def __init__(self, widths: Mapping[str, int], *, dim: Dim = 512, heads: Heads = 4, dropout: Rate = 0.0) -> None:
        super().__init__()
        self.attention = Attention(dim, heads, what="fusion.heads")
        self.project = projections(widths, dim)
        self.embedding = nn.Parameter(torch.randn(len(widths), dim) * 0.02)
        self.dropout = Dropout(dropout)
        self.norm = nn.LayerNorm(dim)
        self.width = dim

    def forward(
        self, values: Mapping[str, Tensor], present: Mapping[str, Present], layout: Layout | None = None
    ) -> Tensor:
        each = [project(visible(values[modality], present[modality])) for modality, project in self.project.items()]
        tokens = torch.stack(each, dim=1) + self.embedding  # [b, m, dim]
        there = masks_of(present, values, self.project)  # [b, m]
        attended = self.attention(tokens, tokens, tokens, None if there is None else there.unsqueeze(1))
        return masked_mean(self.norm(tokens + self.dropout(attended)), there)
