"""The turns of many dialogues one after the other, for networks that step through them. No step holds padding.

Legend: b utterances, d dialogues, t turns of the longest.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from heads.data.layout import Layout


@dataclass(frozen=True)
class Steps:
    """First every dialogue's first turn, then every second turn, ...; longer dialogues stand first, so that those which
    still go on at a step are the first few of the step before.

    rows:  int64 [b], the row of the batch that stands at each place of this order
    sizes: how many dialogues each step holds, t of them, falling
    """

    rows: Tensor
    sizes: list[int]

    @classmethod
    def of(cls, layout: Layout, *, backwards: bool = False) -> Steps:
        """backwards: from each dialogue's last turn to its first."""
        numbers = torch.arange(len(layout.rows), device=layout.mask.device)
        table = layout.pad(numbers)  # [d, t]
        if backwards:
            table = layout.reverse(table)
        longest_first = layout.lengths.argsort(descending=True, stable=True)
        mask = layout.mask[longest_first].T  # [t, d]
        return cls(table[longest_first].T[mask], mask.sum(dim=1).tolist())

    def take(self, values: Tensor) -> Tensor:
        """[b, *w] in the batch's order -> [b, *w] in the order of steps; `split(sizes)` gives the steps."""
        return values.index_select(0, self.rows)

    def put_back(self, stepped: Tensor) -> Tensor:
        """[b, *w] in the order of steps -> in the batch's order."""
        return stepped.index_select(0, self.rows.argsort())
