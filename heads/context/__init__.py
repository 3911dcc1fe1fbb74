"""Contexts: how an utterance sees the rest of its dialogue. One file a context, one line in CONTEXTS.

A context takes `width` and keyword-only settings, `causal` among them, and is called with

  fused:  float32 [b, width], utterances of whole dialogues
  layout: how they stand in their dialogues

It gives float32 [b, context.width]. A turn's vector depends on its own dialogue alone. If `context.causal`, no later
turn has a say in it; what the setting `causal` says is what `context.causal` is, save for those that are causal
always (`always_causal`). Where `needs_dialogues` is False, a batch need not hold whole dialogues.
"""

from __future__ import annotations

from typing import Protocol

from torch import Tensor

from heads.context.bclstm import BiLSTM
from heads.context.dialogue_rnn import DialogueRNN
from heads.context.none import NoContext
from heads.context.previous_turns import PreviousTurns
from heads.context.speaker_attention import SpeakerAttention
from heads.context.transformer import TransformerContext
from heads.data.layout import Layout


class Context(Protocol):
    """What a head may rely on; every context is an nn.Module besides."""

    needs_dialogues: bool
    always_causal: bool
    causal: bool
    width: int

    def __call__(self, fused: Tensor, layout: Layout) -> Tensor: ...


CONTEXTS: dict[str, type[Context]] = {
    "none": NoContext,
    "bclstm": BiLSTM,
    "dialogue-rnn": DialogueRNN,
    "transformer": TransformerContext,
    "speaker-attention": SpeakerAttention,
    "previous-turns": PreviousTurns,
}
