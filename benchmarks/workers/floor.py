"""The floor of a training step: its matrix products, forward and backward, and fused AdamW on its parameters.

The products are those of one real step, recorded as they run and repeated on the same tensors: no gather, no
activation, norm, softmax, dropout or loss, no sums of biases' gradients, no clipping, no graph.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

_PRODUCTS = ("aten::mm", "aten::addmm", "aten::bmm", "aten::baddbmm")


class Recorded(TorchDispatchMode):
    """Notes each matrix product that runs within it, with the very tensors that it is given."""

    def __init__(self) -> None:
        super().__init__()
        self.products: list[tuple[Callable[..., Tensor], tuple[Any, ...]]] = []

    def __torch_dispatch__(
        self, func: Any, types: Sequence[Any], args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        if func._schema.name in _PRODUCTS:
            given = tuple(item.detach() if isinstance(item, Tensor) else item for item in args)
            self.products.append((getattr(torch, func._schema.name.partition("::")[2]), given))
        return func(*args, **(kwargs or {}))


def floor_step(model: nn.Module, loss: Callable[[], Tensor]) -> Callable[[], None]:
    """What repeats the products and AdamW of a step. loss: computes it anew, from a batch that is at hand."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.01, fused=True)
    with Recorded() as recorded:
        loss().backward()
    products = recorded.products

    def step() -> None:
        with torch.inference_mode():
            for product, given in products:
                product(*given)
        optimizer.step()

    return step
