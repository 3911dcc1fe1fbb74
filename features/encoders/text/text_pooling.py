"""How the states of a window's tokens become one: what `features.pooling` has, and what text models alone are made for.

b: batch, t: tokens, d: width. mask: bool [b, t], True over the one span of tokens that is pooled.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from features.pooling import POOLINGS, Pool, pool

if TYPE_CHECKING:
    import torch


def first_token(values: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """The state of the first token: of BERT's kind [CLS]. -> float32 [b, d]"""
    return _one(values, mask.int().argmax(dim=1))


def last_token(values: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """The state of the last token, the only one of a causal model that sees all others. -> float32 [b, d]"""
    return _one(values, mask.shape[1] - 1 - mask.int().flip(1).argmax(dim=1))


def weighted_mean(values: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Mean with a weight that grows by the place in the window: 1 for its first token (SGPT). -> float32 [b, d]"""
    import torch

    places = torch.arange(1, mask.shape[1] + 1, device=mask.device) * mask  # [b, t]
    weights = places.unsqueeze(-1).float()
    return values.float().masked_fill(weights == 0, 0.0).mul(weights).sum(dim=1) / weights.sum(dim=1)


# name -> the parts that are joined, in this order
TEXT_POOLINGS: dict[str, tuple[Pool, ...]] = {
    **POOLINGS,
    "cls": (first_token,),
    "last": (last_token,),
    "weightedmean": (weighted_mean,),
}
ONE_STATE = ("cls", "last")
"""Poolings that take one token's state of the whole window."""


def pool_tokens(values: torch.Tensor, mask: torch.Tensor, name: str) -> torch.Tensor:
    """values [b, t, d], mask bool [b, t] -> float32 [b, d], or [b, 2 d] for `mean+max`."""
    if name in POOLINGS:
        return pool(values, mask, name)
    (part,) = TEXT_POOLINGS[name]
    return part(values, mask)


def _one(values: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
    import torch

    return values[torch.arange(len(values), device=values.device), places].float()
