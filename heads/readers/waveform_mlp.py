"""`waveform-mlp`: the HLM12ERC report's network over raw samples."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field
from torch import Tensor, nn

from features.errors import ConfigError
from heads.attention import check_heads
from heads.data.sequences import Sequences
from heads.feedforward import feedforward
from heads.unit_length import unit_length


class WaveformMLP(nn.Module):
    """Three linear layers on the samples themselves, of widths 3h, 2h and h, each with ReLU and dropout; the result is
    brought to length 1 (HLM12ERC report, figure 10).

    seconds:          length of sound that is read: round(seconds * rate_hz) samples. Longer sounds are cut; shorter
                      ones are filled with zeros. The report's "200K samples" are 2.27 s of 44.1 kHz stereo
    rate_hz:          samples per second of the stored feature
    hidden:           h, the number of values of the output vector (50, 256 or 768 in the report)
    dropout:          dropout after each layer
    attention:        `over-batch` is the report's variant 23: self-attention among the utterances of the batch,
                      residual and layer norm, before the length is brought to 1. An utterance's vector then changes
                      with the rest of its batch, and the reader says so in `over_batch`. `itself` has the same weights,
                      but each utterance attends only to itself: this is the variant without the slip
    heads:            number of attention heads. It must divide `hidden`

    The report read interleaved stereo as 16-bit integers. Here samples are mono, at the scale at which they are stored
    and normalised. A missing utterance counts as silence.
    """

    kinds = frozenset({"sequence"})
    over_batch = False

    def __init__(
        self,
        shape: tuple[int, ...],
        *,
        seconds: Annotated[float, Field(gt=0, le=60)] = 2.27,
        rate_hz: Annotated[int, Field(ge=1, le=192_000)] = 8000,
        hidden: Annotated[int, Field(ge=1, le=1 << 14)] = 256,
        dropout: Annotated[float, Field(ge=0, lt=1)] = 0.1,
        attention: Literal["none", "over-batch", "itself"] = "none",
        heads: Annotated[int, Field(ge=1, le=1 << 10)] = 4,
    ) -> None:
        super().__init__()
        if shape:
            raise ConfigError(f"reader waveform-mlp reads samples, and this feature's elements have shape {shape}")
        self.samples = max(1, round(seconds * rate_hz))
        self.layers = feedforward(
            self.samples, sizes=(3 * hidden, 2 * hidden, hidden), dropout=dropout, activation="relu"
        )
        self.over_batch = attention == "over-batch"
        attends = attention != "none"
        if attends:
            check_heads(heads, hidden, "reader.heads")
        self.attention = nn.MultiheadAttention(hidden, heads) if attends else None
        self.norm = nn.LayerNorm(hidden) if attends else None
        self.width = hidden

    def forward(self, values: Sequences) -> Tensor:
        states: Tensor = self.layers(values.filled(self.samples))
        if self.attention is not None and self.norm is not None:
            seen = states if self.over_batch else states.unsqueeze(0)  # one sequence of b, or b sequences of one
            attended, _ = self.attention(seen, seen, seen, need_weights=False)
            states = self.norm(states + attended.view_as(states))
        return unit_length(states)
