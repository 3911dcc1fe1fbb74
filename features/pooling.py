"""Pooling over the real elements of a padded sequence, in fp32.

b: batch, t: time (tokens, frames), d: width. mask: bool [b, t], True where an element is real.
A row whose mask has no True has no mean and no maximum: it comes out as NaN or -inf, which the runner records.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from features.errors import UsageError, nearest

if TYPE_CHECKING:
    import torch

Pool = Callable[["torch.Tensor", "torch.Tensor"], "torch.Tensor"]


def masked_mean(values: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Mean over the real elements: values [b, t, d] of any float dtype, mask bool [b, t] -> float32 [b, d].

    What stands in the padding has no influence, not even NaN.
    """
    hidden = ~mask.unsqueeze(-1)
    total = values.float().masked_fill(hidden, 0.0).sum(dim=1)
    return total / mask.sum(dim=1, keepdim=True)


def masked_max(values: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Maximum over the real elements: values [b, t, d] of any float dtype, mask bool [b, t] -> float32 [b, d]."""
    hidden = ~mask.unsqueeze(-1)
    return values.float().masked_fill(hidden, float("-inf")).amax(dim=1)


# name -> the parts that are joined, in this order
POOLINGS: dict[str, tuple[Pool, ...]] = {
    "mean": (masked_mean,),
    "max": (masked_max,),
    "mean+max": (masked_mean, masked_max),
}


def check_pooling(name: str, others: Sequence[str] = ()) -> str:
    """The name, where POOLINGS has it, or the `others` that an encoder has besides. Raises UsageError else."""
    known = (*POOLINGS, *others)
    if name not in known:
        raise UsageError(f"no pooling {name!r}: {nearest(name, known)}")
    return name


def pool(values: torch.Tensor, mask: torch.Tensor, name: str) -> torch.Tensor:
    """values [b, t, d], mask bool [b, t] -> float32 [b, d], or [b, 2 d] for `mean+max` (the mean first)."""
    import torch

    return torch.cat([part(values, mask) for part in POOLINGS[name]], dim=-1)
