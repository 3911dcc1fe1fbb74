"""`none`: every utterance on its own."""

from __future__ import annotations

from torch import Tensor, nn

from heads.data.layout import Layout


class NoContext(nn.Module):
    """Passes each utterance's vector on unchanged. It is causal with either setting, and needs no layout.

    causal: changes nothing here. Every context has it, so that suites can set it once
    """

    needs_dialogues = False
    always_causal = True

    def __init__(self, width: int, *, causal: bool = False) -> None:
        super().__init__()
        self.causal = True
        self.width = width

    def forward(self, fused: Tensor, layout: Layout | None = None) -> Tensor:
        return fused
