"""The layers that a feature comes with, as heads know them: how they are built, and where their weights are."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal, cast

import numpy as np

if TYPE_CHECKING:
    from torch import Tensor

    from features.store import Feature

Windows = Literal["utterance", "dialogue"]


@dataclass(frozen=True)
class StoredTop:
    """The top layers of the encoder behind a feature whose elements are hidden states below them (features/top).

    description: `features.top.top.TopDescription` as JSON: all that is needed to build them, but for their weights
    windows:     whether every utterance's elements are whole windows (`utterance`), or a window goes on over the turns
                 of a dialogue, and each utterance holds what is new in it (`dialogue`)
    stored:      (store, folder) of the feature that has the weights; None where the head's checkpoint has them
    """

    description: str
    windows: Windows
    stored: tuple[Path, str] | None = field(default=None, compare=False)

    @classmethod
    def of(cls, feature: Feature) -> StoredTop | None:
        """Of a stored feature, None where it has none. Raises StoreError where its file is gone or damaged."""
        if not feature.spec.from_top:
            return None
        description = feature.read_top().description.to_json()
        windows = cast(Windows, feature.spec.settings["windows"])
        return cls(description, windows, (feature.root, feature.folder))

    def tensors(self) -> dict[str, Tensor] | None:
        """The encoder's own weights, or None where no store has them. Raises StoreError as `of`."""
        if self.stored is None:
            return None
        from features.store import Feature

        return Feature(*self.stored).read_top().tensors


def set_begins(values: np.ndarray, offsets: np.ndarray, dialogues: np.ndarray, windows: Windows) -> None:
    """Have a window begin with the first element of every utterance, or of every dialogue: one whose first turn is
    missing must not go on with the window of the dialogue before it.

    values: [sum of lengths, w + 2] (features/top/elements.py), changed; offsets: int64 [n + 1]; dialogues: int64 [n]
    """
    there = np.flatnonzero(np.diff(offsets))
    if windows == "dialogue":
        there = there[np.diff(dialogues[there], prepend=-1) != 0]
    values[offsets[there], -1] = 1
