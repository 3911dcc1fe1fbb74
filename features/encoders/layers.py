"""The `layers` setting: which hidden states of a transformer are kept, and whether they are joined or stacked."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from features.errors import UsageError
from features.spec import Kind

if TYPE_CHECKING:
    import torch

_STACK = "stack:"
_LAST = "last:"


@dataclass(frozen=True)
class Layers:
    """indices: hidden states counted from the end (-1 is the last layer); stacked: kept apart as [layers, d]."""

    indices: tuple[int, ...]
    stacked: bool = False

    @property
    def setting(self) -> str:
        """The setting in its one normal form, counted from the end: `6` and `-1` of six layers are one feature."""
        return (_STACK if self.stacked else "") + ",".join(map(str, self.indices))

    @property
    def kind(self) -> Kind:
        return "stack" if self.stacked else "vector"

    def shape(self, width: int) -> tuple[int, ...]:
        """Shape of one embedding, where each layer gives `width` values."""
        return (len(self.indices), width) if self.stacked else (len(self.indices) * width,)

    def combine(self, pooled: Sequence[torch.Tensor]) -> torch.Tensor:
        """One [b, w] per layer -> [b, layers, w] stacked, else [b, layers * w]."""
        import torch

        return torch.stack(list(pooled), dim=1) if self.stacked else torch.cat(list(pooled), dim=1)


def parse_layers(setting: str, num_states: int) -> Layers:
    """`-1`, `-3,-2,-1` or `stack:-3,-2,-1`, for a model with `num_states` hidden states: embeddings (0) and layers.

    `last:3` is `stack:-3,-2,-1`, and `all` a stack of every hidden state, the embeddings first.
    Raises UsageError for another form, a layer that the model does not have, or one named twice.
    """
    if setting == "all":
        setting = f"{_LAST}{num_states}"
    if match := re.fullmatch(rf"{_LAST}(\d+)", setting):
        count = int(match[1])
        if not 1 <= count <= num_states:
            raise UsageError(f"layers={setting!r}: the model has {num_states} hidden states, its embeddings among them")
        return Layers(tuple(range(-count, 0)), stacked=True)
    stacked = setting.startswith(_STACK)
    try:
        given = [int(part) for part in setting.removeprefix(_STACK).split(",")]
    except ValueError:
        raise UsageError(f"layers={setting!r} is not of the form -1, -3,-2,-1, stack:-3,-2,-1, last:3 or all") from None
    for index in given:
        if not -num_states <= index < num_states:
            raise UsageError(
                f"layers={setting!r}: the model has {-num_states} (its embeddings) to -1 (its last layer), no {index}"
            )
    indices = tuple(index if index < 0 else index - num_states for index in given)
    if len(set(indices)) < len(indices):
        raise UsageError(f"layers={setting!r} names a layer twice")
    return Layers(indices, stacked)


def parse_single_layer(setting: str, num_states: int) -> int:
    """`-1` or another one hidden layer, counted from the end. Raises UsageError as `parse_layers`, and for several."""
    layers = parse_layers(setting, num_states)
    if layers.stacked or len(layers.indices) > 1:
        raise UsageError(f"layer={setting!r} is not one hidden layer: give one, such as -1")
    return layers.indices[0]
