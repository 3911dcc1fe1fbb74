"""`speaker-attention`: one attention over the turns of the same speaker, another over those of all others."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field
from torch import Tensor, nn

from heads.attention import Attention, turns_seen
from heads.context.positions import sinusoidal
from heads.data.layout import Layout
from heads.dropout import Dropout


class SpeakerAttention(nn.Module):
    """From a linear projection to `dim`, `layers` times

      H <- LayerNorm(H + MHA_same(H) + MHA_other(H))

    In MHA_same, a turn sees the turns of its own speaker, including itself. In MHA_other, it sees the turns of all
    other speakers. These are the Intra-Speaker and Inter-Speaker masks of Li et al. 2020 ("A Hierarchical Transformer
    with Speaker Modeling for Emotion Recognition in Conversation", TRMSM; not checked against code: none was found). If
    a turn sees no other speaker, MHA_other gives zeros.

    Deviations: TRMSM has a third, unmasked block, and weights three whole Transformers by a learned attention. Here
    each layer adds its two attentions, and has no feed-forward network. As in TRMSM, a speaker is only the same or
    another.

    causal:    a turn sees only itself and earlier turns
    dim:       number of values that each turn is projected to, and of the output vector
    layers:    how many times the equation is applied, each time with its own weights
    heads:     number of heads of each attention. It must divide `dim`
    dropout:   dropout of attention weights, and of the sum of the attentions
    positions: as in the context `transformer`
    """

    needs_dialogues = True
    always_causal = False

    def __init__(
        self,
        width: int,
        *,
        causal: bool = False,
        dim: Annotated[int, Field(ge=1, le=1 << 14)] = 512,
        layers: Annotated[int, Field(ge=1, le=64)] = 1,
        heads: Annotated[int, Field(ge=1, le=1 << 10)] = 8,
        dropout: Annotated[float, Field(ge=0, lt=1)] = 0.2,
        positions: Literal["sinusoidal", "none"] = "sinusoidal",
    ) -> None:
        super().__init__()
        self.causal = causal
        self.width = dim
        self.positions = positions
        self.project = nn.Linear(width, dim)
        self.same = nn.ModuleList(Attention(dim, heads, dropout=dropout, what="context.heads") for _ in range(layers))
        self.other = nn.ModuleList(Attention(dim, heads, dropout=dropout, what="context.heads") for _ in range(layers))
        self.norms = nn.ModuleList(nn.LayerNorm(dim) for _ in range(layers))
        self.dropout = Dropout(dropout)

    def forward(self, fused: Tensor, layout: Layout) -> Tensor:
        states: Tensor = self.project(fused)
        if self.positions == "sinusoidal":
            states = states + sinusoidal(layout, self.width)
        seen = turns_seen(layout, causal=self.causal)
        same_speaker = layout.slots.unsqueeze(2) == layout.slots.unsqueeze(1)  # [d, t, t]
        for same, other, norm in zip(self.same, self.other, self.norms, strict=True):
            own = same(states, states, states, seen & same_speaker, layout)
            theirs = other(states, states, states, seen & ~same_speaker, layout)
            states = norm(states + self.dropout(own + theirs))
        return states
