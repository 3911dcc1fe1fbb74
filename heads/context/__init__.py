"""Contexts: how an utterance sees the rest of its dialogue, between fusion and feed-forward. One class a context.

A context takes `width` and keyword-only settings, and maps float32 [b, width] to [b, context.width].
"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn


class NoContext(nn.Module):
    """`none`: every utterance on its own."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width

    def forward(self, fused: Tensor) -> Tensor:
        return fused


CONTEXTS: dict[str, Callable[..., nn.Module]] = {"none": NoContext}
