"""`dialogue-rnn`: a global state, a state for each speaker, and emotion states computed from them."""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn

from heads.attention import masked_softmax, turns_seen
from heads.context.gru import GRUCells
from heads.context.steps import Steps
from heads.data.layout import Layout
from heads.dropout import Dropout
from heads.precision import in_float32

States = Annotated[int, Field(ge=1, le=1 << 14)]
Rate = Annotated[float, Field(ge=0, lt=1)]


class DialogueRNN(nn.Module):
    """BiDialogueRNN with attention (Majumder et al. 2019, "DialogueRNN: An Attentive RNN for Emotion Detection in
    Conversations", section 3, in the sizes of the authors' MELD script). For turn t of speaker s,

      g_t = GRU_G([u_t; q_s], g_{t-1})                                      global state
      c_t = sum of a_i g_i over i < t, a = softmax of g_i . (W_a u_t)       what was said before
      q_s = GRU_P([u_t; c_t], q_s)                                          the speaker's state; a listener's stays
      e_t = GRU_E(q_s, e_{t-1})                                             emotion state

    in each direction. q_s in the first line is the state before t. All states and c_1 start at zero. Let e_t be the two
    directions side by side. Then h_t = ReLU(W b_t), where b_t = sum of w_i e_i over the dialogue and
    w = softmax of e_i . (W_b e_t + bias). The script calls this "general2".

    Checked against declare-lab/conv-emotion, DialogueRNN/model.py and train_MELD.py: no revision has a tanh in
    "general2". COSMIC and DialogueGCN, in the same repository, have one. The script has no `causal`.

    causal:          run forwards only, with b_t over i <= t: a turn sees only itself and earlier turns
    state:           number of values of g, the global state, and of q, a speaker's state (150 in the script)
    emotion:         number of values of e, the emotion state (100 in the script)
    hidden:          number of values of h, the output vector (200 in the script)
    dropout:         dropout of h (.1 in the script)
    state_dropout:   dropout of g, q and e at every step. The next step sees the states after dropout (.1 in the script)
    emotion_dropout: dropout of e after the last step (.25 in the script)

    Each step takes all dialogues and both directions at once. No step goes through padding.
    """

    needs_dialogues = True
    always_causal = False

    def __init__(
        self,
        width: int,
        *,
        causal: bool = False,
        state: States = 150,
        emotion: States = 100,
        hidden: States = 200,
        dropout: Rate = 0.1,
        state_dropout: Rate = 0.1,
        emotion_dropout: Rate = 0.25,
    ) -> None:
        super().__init__()
        self.causal = causal
        self.width = hidden
        directions = 1 if causal else 2
        self.glob = GRUCells(directions, width, state, late=state)
        self.party = GRUCells(directions, width, state, late=state)
        self.emotion = GRUCells(directions, state, emotion)
        self.look_back = nn.ModuleList(nn.Linear(width, state, bias=False) for _ in range(directions))
        self.match = nn.Linear(directions * emotion, directions * emotion)
        self.hidden = nn.Linear(directions * emotion, hidden)
        self.dropout = Dropout(dropout)
        self.state_dropout = Dropout(state_dropout)
        self.emotion_dropout = Dropout(emotion_dropout)

    @in_float32
    def forward(self, fused: Tensor, layout: Layout) -> Tensor:
        directions = [Steps.of(layout)] if self.causal else [Steps.of(layout), Steps.of(layout, backwards=True)]
        stepped = self._emotions(self._parties(fused, layout, directions), directions[0].sizes)
        emotions = torch.cat(
            [self.emotion_dropout(steps.put_back(one)) for steps, one in zip(directions, stepped, strict=True)], dim=1
        )
        return self.dropout(self.hidden(self._attend(emotions, layout)).relu())

    def _parties(self, fused: Tensor, layout: Layout, directions: list[Steps]) -> Tensor:
        """[b, width] -> [k, b, state]: the speaker's state after each turn, in the order of steps."""
        stepped = torch.stack([steps.take(fused) for steps in directions])  # [k, b, width]
        queries = torch.stack([layer(one) for layer, one in zip(self.look_back, stepped, strict=True)])
        sizes = directions[0].sizes
        seats = _seats(layout, directions)
        party = fused.new_zeros((int(layout.mask.shape[0]) * _slots(layout) * len(directions), self.party.states))
        glob = fused.new_zeros((len(directions), len(layout.mask), self.glob.states))
        history = fused.new_zeros((len(directions), len(layout.mask), 0, self.glob.states))
        kept = self.state_dropout(fused.new_ones((2, len(directions), len(fused), self.glob.states)))
        parts = zip(
            *(
                item.split(sizes, dim=-2 if item.is_floating_point() else -1)
                for item in (self.glob.project(stepped), self.party.project(stepped), queries, kept, seats)
            ),
            strict=True,
        )
        outputs = []
        for for_glob, for_party, query, keep, seat in parts:
            count = query.shape[1]
            history = history[:, :count]
            speaker = party.index_select(0, seat.flatten()).unflatten(0, seat.shape)  # [k, n, state]
            glob = self.glob(for_glob, glob[:, :count], speaker) * keep[0]
            past = None
            if history.shape[2]:
                weights = (history @ query.unsqueeze(3)).softmax(dim=2)  # [k, n, turns before, 1]
                past = (weights.transpose(2, 3) @ history).squeeze(2)
            speaker = self.party(for_party, speaker, past) * keep[1]
            party = party.index_copy(0, seat.flatten(), speaker.flatten(0, 1))
            history = torch.cat([history, glob.unsqueeze(2)], dim=2)
            outputs.append(speaker)
        return torch.cat(outputs, dim=1)

    def _emotions(self, parties: Tensor, sizes: list[int]) -> Tensor:
        """[k, b, state] -> [k, b, emotion], both in the order of steps."""
        directions, count, _ = parties.shape
        state = parties.new_zeros((directions, sizes[0], self.emotion.states))
        kept = self.state_dropout(parties.new_ones((directions, count, self.emotion.states)))
        outputs = []
        projected = self.emotion.project(parties).split(sizes, dim=1)
        for step, keep in zip(projected, kept.split(sizes, dim=1), strict=True):
            state = self.emotion(step, state[:, : step.shape[1]]) * keep
            outputs.append(state)
        return torch.cat(outputs, dim=1)

    def _attend(self, emotions: Tensor, layout: Layout) -> Tensor:
        """[b, k * emotion] -> the same: each turn's sum over the turns that it sees."""
        padded = layout.pad(emotions)
        scores = layout.pad(self.match(emotions)) @ padded.transpose(1, 2)  # [d, t, t]
        return layout.unpad(masked_softmax(scores, turns_seen(layout, causal=self.causal)) @ padded)


def _slots(layout: Layout) -> int:
    """How many speakers the dialogue with the most of them has."""
    return int(layout.slots.max()) + 1


def _seats(layout: Layout, directions: list[Steps]) -> Tensor:
    """int64 [k, b], in the order of steps: each turn's speaker among all speakers of all dialogues and directions."""
    dialogues = torch.arange(len(layout.mask), device=layout.mask.device).unsqueeze(1)
    seats = layout.unpad(dialogues * _slots(layout) + layout.slots)
    total = len(layout.mask) * _slots(layout)
    return torch.stack([steps.take(seats) + place * total for place, steps in enumerate(directions)])
