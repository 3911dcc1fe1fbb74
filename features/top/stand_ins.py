"""Modules that stand in a top's network for what is left out of it: layers below the first that is kept, and modules
whose results nobody reads.

Legend: b windows, t tokens or frames, w width.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

KEPT = ["kept"]
"""In `TopDescription.passed`, of a layer below of which the layers above use a weight: it stays."""


class Passed(nn.Module):
    """Stands for a layer that is left out: gives the hidden states as they came, and passes on what it passed on. What
    it says of itself in plain values (which kind of attention it has) it still says.

    further: see `TopDescription.passed`
    """

    def __init__(self, layer: nn.Module, further: list[Any] | None) -> None:
        super().__init__()
        said = {name: value for name, value in vars(layer).items() if isinstance(value, (str, int, float))}
        self.__dict__.update({name: value for name, value in said.items() if name not in self.__dict__})
        self.further = further

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        hidden = hidden_of(args, kwargs)
        if self.further is None:
            return hidden
        return (hidden, *(_argument(where, args, kwargs) for where in self.further))


def hidden_of(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """The hidden states among a layer's arguments, or None."""
    return args[0] if args else kwargs.get("hidden_states")


def _argument(where: int | str | None, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    if where is None:
        return None
    return args[where] if isinstance(where, int) else kwargs[where]


class Blank(nn.Module):
    """Stands for a module whose result nobody reads: zeros of that width, or what it is given.

    weight, bias: zeros that take no memory, for code that reads them past the module's call
    zero: one zero on the network's device, which no state dict holds
    """

    zero: Tensor

    def __init__(self, module: nn.Module, width: int | None) -> None:
        super().__init__()
        self.width: int | None = width
        self.is_table = isinstance(module, nn.Embedding)
        self.padding_idx = getattr(module, "padding_idx", None)
        self.geometry: tuple[int, int, int] | None = None
        if isinstance(module, nn.Conv1d):
            self.geometry = (module.kernel_size[0], module.stride[0], int(module.padding[0]))
        self.shapes = {name: tuple(value.shape) for name, value in module.named_parameters()}
        self.register_buffer("zero", torch.zeros(()), persistent=False)

    def __getattr__(self, name: str) -> Any:
        if name in ("weight", "bias") and "shapes" in self.__dict__:
            shape = self.shapes.get(name)
            return None if shape is None else self.zero.expand(shape)
        return super().__getattr__(name)

    def forward(self, values: Tensor | torch.Size, *args: Any, **kwargs: Any) -> Tensor:
        if isinstance(values, torch.Size):  # a table of positions that is asked for as many as [b, t] needs: [t, w]
            return self.zero.new_zeros((values[1], self.width or 0))
        if self.width is None:
            return values
        if self.is_table:
            return torch.zeros(*values.shape, self.width, device=values.device)
        if self.geometry is not None:
            kernel, stride, padding = self.geometry
            length = (values.shape[2] + 2 * padding - kernel) // stride + 1
            return values.new_zeros((values.shape[0], self.width, length))
        return values.new_zeros((*values.shape[:-1], self.width))
