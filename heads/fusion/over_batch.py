"""`attention-over-batch`: what the HLM12ERC code does where its report speaks of attention between modalities."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from features.errors import ConfigError
from heads.attention import check_heads
from heads.data.layout import Layout
from heads.fusion.inputs import Dim, Heads, Present, visible


class AttentionOverBatch(nn.Module):
    """Each modality projected to a share of `dim` that is proportional to its width, side by side;
    `nn.MultiheadAttention` on that, residual, layer norm.

    The attention is given [b, dim], which torch reads as one sequence of length b. So it runs among the utterances of
    the batch, in training and in evaluation, and an utterance's vector changes with the rest of its batch. This fusion
    exists to repeat the report's rows. Use it for nothing else.

    The shares of `dim` are rounded down, and the widest share gets the rest, as in that code. Its "heads degree" of 3
    is the third divisor of 512 or 1024: 4 heads. A missing modality counts as zeros. The report's code put dummies (a
    black picture, silence) through its encoders instead.

    dim:   number of values of all modalities together
    heads: number of attention heads. It must divide `dim`
    """

    over_batch = True
    over_dialogue = False

    def __init__(self, widths: Mapping[str, int], *, dim: Dim = 512, heads: Heads = 4) -> None:
        super().__init__()
        check_heads(heads, dim, "fusion.heads")
        shares = proportional(widths, dim)
        self.project = nn.ModuleDict({key: nn.Linear(width, shares[key]) for key, width in widths.items()})
        self.attention = nn.MultiheadAttention(dim, heads)
        self.norm = nn.LayerNorm(dim)
        self.width = dim

    def forward(
        self, values: Mapping[str, Tensor], present: Mapping[str, Present], layout: Layout | None = None
    ) -> Tensor:
        parts = [project(visible(values[modality], present[modality])) for modality, project in self.project.items()]
        joined = torch.cat(parts, dim=1)  # [b, dim]
        attended, _ = self.attention(joined, joined, joined, need_weights=False)
        return self.norm(joined + attended)


def proportional(widths: Mapping[str, int], dim: int) -> dict[str, int]:
    """`dim` shared out by width, rounded down; the rest goes to the largest share.

    Raises ConfigError where a modality would get nothing."""
    total = sum(widths.values())
    shares = {modality: dim * width // total for modality, width in widths.items()}
    shares[max(shares, key=lambda modality: shares[modality])] += dim - sum(shares.values())
    for modality, share in shares.items():
        if not share:
            least = -(-total // widths[modality])
            raise ConfigError(f"fusion.dim ({dim}) leaves no value for {modality}: at least {least}")
    return shares
