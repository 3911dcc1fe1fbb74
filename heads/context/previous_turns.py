"""`previous-turns`: a turn's vector beside those of the turns just before it."""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn

from heads.data.layout import Layout


class PreviousTurns(nn.Module):
    """A turn's own vector, and then those of the `turns` turns before it in the dialogue, the nearest first. With
    `same_speaker`, the vector of the speaker's own previous turn follows, however long ago that was. Where there is no
    such turn, a learned vector takes its place. This context is our own: the simplest one, for comparison.

    causal: changes nothing here: this context is always causal
    turns: number of earlier turns beside a turn
    same_speaker: whether to add the speaker's own previous turn
    """

    needs_dialogues = True
    always_causal = True

    def __init__(
        self,
        width: int,
        *,
        causal: bool = False,
        turns: Annotated[int, Field(ge=0, le=64)] = 2,
        same_speaker: bool = False,
    ) -> None:
        super().__init__()
        self.causal = True
        self.turns = turns
        self.same_speaker = same_speaker
        self.absent = nn.ParameterList(nn.Parameter(torch.zeros(width)) for _ in range(turns + same_speaker))
        self.width = width * (1 + turns + same_speaker)

    def forward(self, fused: Tensor, layout: Layout) -> Tensor:
        back = [torch.full_like(layout.rows, distance) for distance in range(1, self.turns + 1)]
        place = layout.turns
        if self.same_speaker:
            back.append(place - layout.unpad(_own_previous(layout)))
        rows = torch.arange(fused.shape[0], device=fused.device)
        parts = [fused]
        for distance, vector in zip(back, self.absent, strict=True):
            exists = (distance <= place).unsqueeze(1)
            earlier = fused.index_select(0, (rows - distance).clamp(min=0))
            parts.append(torch.where(exists, earlier, vector))
        return torch.cat(parts, dim=1)


def _own_previous(layout: Layout) -> Tensor:
    """int64 [d, t]: the number of the last earlier turn of the same speaker, -1 where there is none."""
    turns = torch.arange(layout.mask.shape[1], device=layout.mask.device)
    same = layout.slots.unsqueeze(2) == layout.slots.unsqueeze(1)  # [d, t, t]
    earlier = same & (turns < turns.unsqueeze(1))
    return torch.where(earlier, turns, -1).amax(dim=2)
