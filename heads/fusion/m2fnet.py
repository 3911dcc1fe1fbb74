"""`m2fnet`: text attends to the other modalities, over the turns of its dialogue."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn

from features.errors import ConfigError, UsageError
from heads.attention import Attention, turns_seen
from heads.data.layout import Layout
from heads.fusion.inputs import Dim, Heads, Present, Rate, learned_vectors, mask_of, projections, visible


class M2FNetFusion(nn.Module):
    """The fusion of M2FNet (Chudasama et al. 2022). From F = the projected text, `layers` times

      F <- ReLU(W ReLU([MHA(query F, key A, value F); F]))

    where A is another modality and the attention runs over the turns of the dialogue; the result is [F; A].

    Not checked against code of its authors, which is not public. The equation is that of a re-implementation with text
    and audio. Not in it, but here: with several other modalities, each layer has one attention for each of them. The
    attentions stand side by side in the brackets, and all modalities are in the result.

    Turns that lack a modality are hidden from its attention: a turn without sound has no key. A learned vector takes
    the place of missing text. Another learned vector takes the place of another missing modality in the result. If a
    turn sees no turn with a modality, it gets zeros from that attention.

    dim:     number of values that each modality is projected to
    layers:  how many times the equation is applied, each time with its own weights
    heads:   number of heads of each attention. It must divide `dim`
    causal:  a turn sees only itself and earlier turns. In the paper, turns see the whole dialogue
    dropout: dropout of the attention weights
    """

    over_batch = False
    over_dialogue = True

    def __init__(
        self,
        widths: Mapping[str, int],
        *,
        dim: Dim = 512,
        layers: Annotated[int, Field(ge=1, le=64)] = 5,
        heads: Heads = 8,
        dropout: Rate = 0.2,
        causal: bool = False,
    ) -> None:
        super().__init__()
        if "text" not in widths or len(widths) < 2:
            given = ", ".join(widths) or "none"
            raise ConfigError(
                f"fusion m2fnet has text attend to other modalities, and the inputs are {given}: "
                f"add {'another modality' if 'text' in widths else 'text'} to inputs, or take another fusion"
            )
        self.others = [modality for modality in widths if modality != "text"]
        self.project = projections(widths, dim)
        self.missing = learned_vectors(dict.fromkeys(widths, dim))
        self.layers = nn.ModuleList(_Layer(dim, heads, self.others, dropout) for _ in range(layers))
        self.causal = causal
        self.width = dim * len(widths)

    def forward(
        self, values: Mapping[str, Tensor], present: Mapping[str, Present], layout: Layout | None = None
    ) -> Tensor:
        """Raises UsageError without a layout."""
        if layout is None:
            raise UsageError("fusion m2fnet attends over dialogues: batches must hold whole dialogues and their layout")
        there = {modality: mask_of(present[modality], values[modality]) for modality in self.project}
        states = {
            modality: torch.where(
                there[modality].unsqueeze(1),
                project(visible(values[modality], present[modality])),
                self.missing[modality],
            )
            for modality, project in self.project.items()
        }
        seen = turns_seen(layout, causal=self.causal)
        allowed = {modality: seen & layout.pad(there[modality]).unsqueeze(1) for modality in self.others}
        fused = states["text"]
        for layer in self.layers:
            fused = layer(fused, states, allowed, layout)
        return torch.cat([fused, *(states[modality] for modality in self.others)], dim=1)


class _Layer(nn.Module):
    def __init__(self, dim: int, heads: int, others: list[str], dropout: float) -> None:
        super().__init__()
        self.attention = nn.ModuleDict(
            {modality: Attention(dim, heads, dropout=dropout, what="fusion.heads") for modality in others}
        )
        self.linear = nn.Linear(dim * (len(others) + 1), dim)

    def forward(
        self, fused: Tensor, states: Mapping[str, Tensor], allowed: Mapping[str, Tensor], layout: Layout
    ) -> Tensor:
        """fused: float32 [b, dim]; allowed: modality -> bool [d, t, t]. Gives float32 [b, dim]."""
        attended = [
            attention(fused, states[modality], fused, allowed[modality], layout)
            for modality, attention in self.attention.items()
        ]
        return self.linear(torch.cat([*attended, fused], dim=1).relu()).relu()
