"""Recurrent contexts that step over all dialogues at once with torch's `scan`, which is ONNX's Scan.

Legend: d dialogues, t turns of the longest, b = d * t, w values of an input, s of a state.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from heads.attention import masked_softmax
from heads.context.bclstm import BiLSTM
from heads.context.dialogue_rnn import DialogueRNN
from heads.context.gru import GRUCells
from heads.data.layout import Layout


class SteppedBiLSTM(nn.Module):
    """`bclstm` with the same weights. Padding is stepped through, always behind the real turns."""

    def __init__(self, context: BiLSTM) -> None:
        super().__init__()
        self.context = context
        self.needs_dialogues, self.width = context.needs_dialogues, context.width

    def forward(self, fused: Tensor, layout: Layout) -> Tensor:
        for layer in self.context.layers:
            fused = self._layer(cast(nn.LSTM, layer), fused, layout)
        return fused

    def _layer(self, lstm: nn.LSTM, values: Tensor, layout: Layout) -> Tensor:
        """[b, w] -> [b, directions * units]"""
        results = []
        for suffix in ("", "_reverse") if lstm.bidirectional else ("",):
            names = ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0")
            to_input, to_hidden, input_bias, hidden_bias = (getattr(lstm, name + suffix) for name in names)
            projected = layout.pad(functional.linear(values, to_input, input_bias + hidden_bias))
            projected = layout.reverse(projected) if suffix else projected
            stepped = self._steps(projected.transpose(0, 1), to_hidden, lstm.hidden_size).transpose(0, 1)
            results.append(layout.unpad(layout.reverse(stepped) if suffix else stepped))
        return torch.cat(results, dim=1)

    def _steps(self, projected: Tensor, to_hidden: Tensor, units: int) -> Tensor:
        """[t, d, 4 * units] -> [t, d, units]"""
        activate = self.context.activate

        def step(carry: tuple[Tensor, Tensor], gates: Tensor) -> tuple[tuple[Tensor, Tensor], Tensor]:
            hidden, cell = carry
            entry, forget, candidate, out = (gates + hidden @ to_hidden.T).chunk(4, dim=1)
            cell = forget.sigmoid() * cell + entry.sigmoid() * activate(candidate)
            hidden = out.sigmoid() * activate(cell)
            return (hidden, cell), hidden.clone()

        zeros = projected.new_zeros((projected.shape[1], units))
        return _scan(step, (zeros, zeros.clone()), projected)


class SteppedDialogueRNN(nn.Module):
    """`dialogue-rnn` with the same weights. A dialogue has as many places for speakers as it has turns."""

    def __init__(self, context: DialogueRNN) -> None:
        super().__init__()
        self.context = context
        self.needs_dialogues, self.width = context.needs_dialogues, context.width

    def forward(self, fused: Tensor, layout: Layout) -> Tensor:
        context, padded = self.context, layout.pad(fused)
        emotions = [self._direction(0, padded, layout.slots)]
        if not context.causal:
            backwards = self._direction(1, layout.reverse(padded), layout.reverse(layout.slots))
            emotions.append(layout.reverse(backwards))
        joined = layout.unpad(torch.cat(emotions, dim=2))
        hidden: Tensor = context.hidden(context._attend(joined, layout))
        return hidden.relu()

    def _direction(self, place: int, values: Tensor, slots: Tensor) -> Tensor:
        """[d, t, w], int64 [d, t] -> [d, t, emotion], both in the order of steps."""
        context, (dialogues, turns, _) = self.context, values.shape
        glob, party, emotion = (_Cell(cells, place) for cells in (context.glob, context.party, context.emotion))
        numbers = torch.arange(turns)

        def step(carry: Any, given: Any) -> tuple[Any, Tensor]:
            state, parties, history, feeling, now = carry
            for_glob, for_party, query, slot = given
            mine = (numbers == slot.unsqueeze(1)).unsqueeze(2)  # [d, t, 1], the speaker's place
            speaker = torch.where(mine, parties, 0.0).sum(dim=1)
            state = glob(for_glob, state, speaker)
            scores = (history @ query.unsqueeze(2)).squeeze(2)
            past = (masked_softmax(scores, (numbers < now).unsqueeze(0)).unsqueeze(1) @ history).squeeze(1)
            speaker = party(for_party, speaker, past)
            parties = torch.where(mine, speaker.unsqueeze(1), parties)
            history = torch.where((numbers == now).reshape(1, -1, 1), state.unsqueeze(1), history)
            feeling = emotion(emotion.project(speaker), feeling)
            return (state, parties, history, feeling, now + 1), feeling.clone()

        queries = context.look_back[place](values)
        given = [item.transpose(0, 1) for item in (glob.project(values), party.project(values), queries)]
        size = context.glob.states
        state, history = values.new_zeros((dialogues, size)), values.new_zeros((dialogues, turns, size))
        feeling = values.new_zeros((dialogues, context.emotion.states))
        carry = (state, history, history.clone(), feeling, torch.zeros((), dtype=torch.int64))
        return _scan(step, carry, (*given, slots.T.contiguous())).transpose(0, 1)


class _Cell:
    """One direction of GRUCells, by the same equations."""

    def __init__(self, cells: GRUCells, place: int) -> None:
        self.states = cells.states
        self.early, self.early_bias = cells.early[place], cells.early_bias[place]
        self.recurrent, self.recurrent_bias = cells.recurrent[place], cells.recurrent_bias[place]
        self.late = None if cells.late is None else cells.late[place]

    def project(self, inputs: Tensor) -> Tensor:
        """[..., w] -> [..., 3 * s]"""
        return inputs @ self.early + self.early_bias

    def __call__(self, projected: Tensor, state: Tensor, late: Tensor | None = None) -> Tensor:
        """[d, 3 * s], [d, s], [d, late] -> [d, s]"""
        if late is not None and self.late is not None:
            projected = projected + late @ self.late
        recurrent = state @ self.recurrent + self.recurrent_bias
        cut = [2 * self.states, self.states]
        (gates, candidate), (recurrent_gates, recurrent_candidate) = projected.split(cut, 1), recurrent.split(cut, 1)
        reset, update = (gates + recurrent_gates).sigmoid().chunk(2, dim=1)
        new = (candidate + reset * recurrent_candidate).tanh()
        return new + update * (state - new)


def _scan(step: Callable[[Any, Any], tuple[Any, Tensor]], carry: Any, given: Any) -> Tensor:
    """What each step gives, [t, ...]: `step` over the first dimension of all tensors of `given`."""
    from torch._higher_order_ops import scan

    _, stepped = scan(step, carry, given)
    return cast(Tensor, stepped)
