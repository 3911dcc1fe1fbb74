"""`transformer`: self-attention over the turns of a dialogue, in stacks with a residual as in M2FNet."""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from heads.attention import Attention, turns_seen
from heads.context.positions import sinusoidal
from heads.data.layout import Layout
from heads.dropout import Dropout

Size = Annotated[int, Field(ge=1, le=1 << 14)]
Count = Annotated[int, Field(ge=1, le=64)]


class TransformerContext(nn.Module):
    """H <- H + TransformerEncoder(H), `blocks` times, from a linear projection to `dim` (M2FNet, Chudasama et al.
    2022: the dialogue-level stacks of each modality).

    An encoder is `layers` layers as in Vaswani et al. 2017, section 3.1: self-attention and a ReLU network, each
    followed by dropout, residual and layer norm. Linear parts run over real turns only, not over padding.

    causal:    a turn sees only itself and earlier turns
    dim:       number of values that each turn is projected to, and of the output vector
    blocks:    number of encoders, one after the other, each with a residual around it
    layers:    number of layers of each encoder
    heads:     number of heads of each attention. It must divide `dim`
    feedforward: number of values of the hidden layer of each ReLU network
    dropout:   dropout of attention weights, and of the output of each part of a layer
    positions: `sinusoidal`: positions (Vaswani et al. 2017, section 3.5) are added after the projection. `none`: a turn
               of a full dialogue cannot tell earlier turns from later ones. Whether M2FNet adds positions could not be
               verified

    M2FNet's sizes could not be verified either, since no code of its authors is public. The sizes here are our choice.
    """

    needs_dialogues = True
    always_causal = False

    def __init__(
        self,
        width: int,
        *,
        causal: bool = False,
        dim: Size = 512,
        blocks: Count = 2,
        layers: Count = 1,
        heads: Annotated[int, Field(ge=1, le=1 << 10)] = 8,
        feedforward: Size = 1024,
        dropout: Annotated[float, Field(ge=0, lt=1)] = 0.2,
        positions: Literal["sinusoidal", "none"] = "sinusoidal",
    ) -> None:
        super().__init__()
        self.causal = causal
        self.width = dim
        self.positions = positions
        self.project = nn.Linear(width, dim)
        self.blocks = nn.ModuleList(
            nn.ModuleList(_Layer(dim, heads, feedforward, dropout) for _ in range(layers)) for _ in range(blocks)
        )

    def forward(self, fused: Tensor, layout: Layout) -> Tensor:
        states: Tensor = self.project(fused)
        if self.positions == "sinusoidal":
            states = states + sinusoidal(layout, self.width)
        seen = turns_seen(layout, causal=self.causal)
        for block in self.blocks:
            encoded = states
            for layer in block:  # type: ignore[attr-defined]
                encoded = layer(encoded, seen, layout)
            states = states + encoded
        return states


class _Layer(nn.Module):
    def __init__(self, dim: int, heads: int, feedforward: int, dropout: float) -> None:
        super().__init__()
        self.attention = Attention(dim, heads, dropout=dropout, what="context.heads")
        self.attention_norm = nn.LayerNorm(dim)
        self.widen = nn.Linear(dim, feedforward)
        self.narrow = nn.Linear(feedforward, dim)
        self.norm = nn.LayerNorm(dim)
        self.dropout = Dropout(dropout)

    def forward(self, states: Tensor, seen: Tensor, layout: Layout) -> Tensor:
        """states: float32 [b, dim]; seen: bool [d, t, t]. Gives float32 [b, dim]."""
        attended = self.attention(states, states, states, seen, layout)
        states = self.attention_norm(states + self.dropout(attended))
        wide = self.dropout(torch.relu(self.widen(states)))
        return self.norm(states + self.dropout(self.narrow(wide)))
