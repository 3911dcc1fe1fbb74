"""A loss that also decides: its predictions come from class centres, not from the logits.

Legend: n examples, h values of the last hidden layer, c classes.
"""

from __future__ import annotations

from typing import ClassVar, Protocol

from torch import Tensor


class Decision(Protocol):
    """What a loss whose `decides` is True has beside `forward`. Every other loss says `decides = False`."""

    decides: ClassVar[bool]

    def refresh(self, hidden: Tensor, labels: Tensor) -> None:
        """Recompute the class centres from all training examples. Called before the first epoch and after each one,
        before dev is scored. hidden: float32 [n, h], of the head in evaluation mode; labels: int64 [n]."""

    def scores(self, hidden: Tensor) -> Tensor:
        """hidden: float32 [n, h] -> logarithms of chances, float32 [n, c]; the largest is the prediction."""
        ...

    def difficulty(self, hidden: Tensor, labels: Tensor) -> Tensor:
        """How far each example is from the centre of its own class, of all centres: float32 [n], in [0, 1]."""
        ...
