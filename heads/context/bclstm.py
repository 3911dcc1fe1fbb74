"""`bclstm`: bidirectional LSTMs over the turns of a dialogue."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Literal, cast

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from heads.context.steps import Steps
from heads.data.layout import Layout
from heads.dropout import Dropout
from heads.precision import in_float32


class BiLSTM(nn.Module):
    """bcLSTM (Poria et al. 2017, "Context-Dependent Sentiment Analysis in User-Generated Videos"), as MELD's baseline
    has it: two layers of 300 units a direction over a dialogue's utterances (checked against declare-lab/MELD,
    baseline.py).

    Each layer applies dropout to its input, and then an LSTM in each direction, whose outputs stand side by side. No
    step goes through padding.

    causal:     run forwards only: a turn sees only itself and earlier turns
    units:      number of values of a state, in each direction
    layers:     number of LSTMs, one after the other
    dropout:    dropout of each layer's input. MELD's baseline has .3 for text and .4 for audio
    activation: function that the cell applies to its candidate and to its state. MELD's baseline has `relu` for text

    The layers are `nn.LSTM`s only for their weights. The steps over turns are our own, since torch's cell has no other
    activation than tanh. They are no slower than torch's own steps over packed sequences.

    Deviations from the baseline: dropout is drawn for each turn (Keras draws once for a dialogue), gates are logistic
    (piecewise linear in Keras before 2.3), and all weights are initialised as in torch. The baseline's text network
    also steps through padded turns: its mask looks for zeros, and its CNN gives such turns its biases, which are no
    zeros once they are trained. So its backward LSTM has read the padding before it reaches the last turn.
    """

    needs_dialogues = True
    always_causal = False

    def __init__(
        self,
        width: int,
        *,
        causal: bool = False,
        units: Annotated[int, Field(ge=1, le=1 << 14)] = 300,
        layers: Annotated[int, Field(ge=1, le=16)] = 2,
        dropout: Annotated[float, Field(ge=0, lt=1)] = 0.4,
        activation: Literal["tanh", "relu"] = "tanh",
    ) -> None:
        super().__init__()
        self.causal = causal
        self.activate = torch.tanh if activation == "tanh" else torch.relu
        self.width = units * (1 if causal else 2)
        self.dropout = Dropout(dropout)
        self.layers = nn.ModuleList(
            nn.LSTM(width if place == 0 else self.width, units, bidirectional=not causal) for place in range(layers)
        )

    @in_float32
    def forward(self, fused: Tensor, layout: Layout) -> Tensor:
        for layer in self.layers:
            fused = _stepped(cast(nn.LSTM, layer), self.dropout(fused), layout, self.activate)
        return fused


def _stepped(lstm: nn.LSTM, values: Tensor, layout: Layout, activate: Callable[[Tensor], Tensor]) -> Tensor:
    """[b, w] -> [b, directions * units], by the equations of `nn.LSTM` with `activate` for both of its tanh."""
    results = []
    for suffix in ("", "_reverse") if lstm.bidirectional else ("",):
        steps = Steps.of(layout, backwards=bool(suffix))
        names = ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0")
        to_input, to_hidden, input_bias, hidden_bias = (getattr(lstm, name + suffix) for name in names)
        projected = steps.take(functional.linear(values, to_input, input_bias + hidden_bias))  # [b, 4 * units]
        hidden = cell = values.new_zeros((len(layout.mask), lstm.hidden_size))
        outputs = []
        for step in projected.split(steps.sizes):
            gates = torch.addmm(step, hidden[: len(step)], to_hidden.T)
            entry, forget, candidate, out = gates.chunk(4, dim=1)
            cell = forget.sigmoid() * cell[: len(step)] + entry.sigmoid() * activate(candidate)
            hidden = out.sigmoid() * activate(cell)
            outputs.append(hidden)
        results.append(steps.put_back(torch.cat(outputs)))
    return torch.cat(results, dim=1)
