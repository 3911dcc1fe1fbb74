"""Multi-head attention under a mask of who may see whom, with exact zeros for those who may see nobody.

Legend: n groups (utterances or dialogues), q queries, k keys, w values of a vector.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from features.errors import ConfigError
from heads.data.layout import Layout
from heads.dropout import Dropout


class Attention(nn.Module):
    """Multi-head attention (Vaswani et al. 2017, section 3.2.2).

    It differs from `nn.MultiheadAttention` in two biases, which would do nothing or harm. A bias of the keys adds the
    same to every score of a query, and the softmax takes it out again. A bias of the output does what the bias of the
    values does already, except where a query may see nobody: without it such a query gets zeros.
    """

    def __init__(self, dim: int, heads: int, *, dropout: float = 0.0, what: str = "heads") -> None:
        super().__init__()
        check_heads(heads, dim, what)
        self.heads = heads
        self.query = nn.Linear(dim, dim)
        self.key = nn.Linear(dim, dim, bias=False)
        self.value = nn.Linear(dim, dim)
        self.out = nn.Linear(dim, dim, bias=False)
        self.dropout = Dropout(dropout)

    def forward(
        self, query: Tensor, key: Tensor, value: Tensor, allowed: Tensor | None, layout: Layout | None = None
    ) -> Tensor:
        """float32 [n, q, w], [n, k, w] and [n, k, w] -> [n, q, w].

        allowed: bool, broadcast to [n, q, k], True where the query may see the key; None: everywhere
        layout:  where given, queries, keys and values are rows of a batch, float32 [b, w], and so is the result; n are
                 its dialogues, q and k its turns. Padding is then neither projected nor seen, as long as `allowed`
                 hides it
        """
        query, key, value = self.query(query), self.key(key), self.value(value)
        if layout is None:
            return self.out(self._mix(query, key, value, allowed))
        mixed = self._mix(layout.pad(query), layout.pad(key), layout.pad(value), allowed)
        return self.out(layout.unpad(mixed))

    def _mix(self, query: Tensor, key: Tensor, value: Tensor, allowed: Tensor | None) -> Tensor:
        query, key, value = (item.unflatten(-1, (self.heads, -1)).transpose(1, 2) for item in (query, key, value))
        scores = query @ key.transpose(2, 3) / math.sqrt(query.shape[-1])  # [n, heads, q, k]
        weights = self.dropout(masked_softmax(scores, None if allowed is None else allowed.unsqueeze(-3)))
        return (weights @ value).transpose(1, 2).flatten(2)


def masked_softmax(scores: Tensor, allowed: Tensor | None) -> Tensor:
    """The softmax over the last dimension of float32 `scores`, over what is allowed alone; zeros where nothing is.

    allowed: bool, broadcast to the scores' shape; None: everywhere
    """
    if allowed is None:
        return scores.softmax(dim=-1)
    weights = scores.masked_fill(~allowed, torch.finfo(scores.dtype).min).softmax(dim=-1)
    return weights.masked_fill(~allowed, 0.0)


def turns_seen(layout: Layout, *, causal: bool) -> Tensor:
    """bool [d, t, t]: True where a turn (second place) may see a turn (third): the real ones of its dialogue, and if
    `causal`, none after it. What turns in the padding may see has no meaning."""
    seen = layout.mask.unsqueeze(1).expand(-1, layout.mask.shape[1], -1)
    return seen.tril() if causal else seen


def check_heads(heads: int, dim: int, what: str = "heads") -> None:
    """Raises ConfigError where heads do not divide dim."""
    if dim % heads:
        fitting = max(number for number in range(1, heads) if dim % number == 0)
        raise ConfigError(f"{what} ({heads}) must divide dim ({dim}): try {fitting}")
