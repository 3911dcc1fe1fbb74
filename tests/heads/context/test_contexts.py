"""Contexts: each against its equations stepped through plainly, dialogue by dialogue, and what a turn may see."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from part_factory import (
    LENGTHS,
    Case,
    alone,
    assert_gradients,
    attend_one,
    case_id,
    layout_of,
    make,
    rows_of,
    torch_attention,
)
from torch import Tensor, nn
from torch.nn import functional

from features.errors import ConfigError
from heads.context import CONTEXTS
from heads.context.positions import sinusoidal
from heads.context.steps import Steps

WIDTH = 6
COUNT = sum(LENGTHS)
KINDS: list[Case] = [
    ("none", {}),
    ("bclstm", {"units": 5}),
    ("bclstm", {"units": 16, "layers": 1, "activation": "relu"}),
    ("dialogue-rnn", {"state": 5, "emotion": 4, "hidden": 12}),
    ("transformer", {"dim": 8, "heads": 2, "feedforward": 12, "layers": 2}),
    ("transformer", {"dim": 8, "heads": 2, "feedforward": 12, "blocks": 1, "positions": "none"}),
    ("speaker-attention", {"dim": 8, "heads": 2, "layers": 2}),
    ("previous-turns", {"turns": 2, "same_speaker": True}),
    ("previous-turns", {"turns": 1}),
]
CASES: list[Case] = [(name, settings | {"causal": causal}) for name, settings in KINDS for causal in (False, True)]
ALWAYS_CAUSAL = {"none", "previous-turns"}
every_case = pytest.mark.parametrize("case", CASES, ids=case_id)


def vectors(seed: int = 0) -> Tensor:
    return torch.randn(COUNT, WIDTH, generator=torch.Generator().manual_seed(seed))


def test_every_context_is_tried_and_says_what_it_needs() -> None:
    assert {name for name, _ in CASES} == set(CONTEXTS)
    assert len(CASES) == 18
    free = {name for name, part in CONTEXTS.items() if not part.needs_dialogues}  # type: ignore[attr-defined]
    assert free == {"none"}


@every_case
def test_a_context_says_whether_it_is_causal(case: Case) -> None:
    context = make(CONTEXTS, case, WIDTH)
    assert context.causal == (case[1]["causal"] or case[0] in ALWAYS_CAUSAL)


@every_case
def test_gradients_reach_every_parameter_and_the_input(case: Case) -> None:
    context = make(CONTEXTS, case, WIDTH)
    values = vectors().requires_grad_()
    out = context(values, layout_of())
    assert out.shape == (COUNT, context.width)
    torch.manual_seed(1)
    (out * torch.randn(out.shape)).sum().backward()
    assert_gradients(context)
    assert values.grad is not None
    assert (values.grad.abs().amax(dim=1) > 0).all()


@every_case
def test_a_dialogue_is_read_as_if_it_were_alone(case: Case) -> None:
    """Neither other dialogues nor the padding that longer ones cause have a say."""
    context = make(CONTEXTS, case, WIDTH)
    values, layout = vectors(), layout_of()
    whole = context(values, layout)
    for place in range(len(LENGTHS)):
        rows = rows_of(place)
        assert torch.allclose(context(values[rows], alone(layout, place)), whole[rows], atol=1e-5)


@every_case
def test_nothing_of_a_dialogue_leaks_into_another(case: Case) -> None:
    context = make(CONTEXTS, case, WIDTH)
    values = vectors().requires_grad_()
    context(values, layout_of())[rows_of(2)].square().sum().backward()
    assert values.grad is not None
    outside = values.grad.clone()
    outside[rows_of(2)] = 0.0
    assert torch.equal(outside, torch.zeros_like(outside))


@every_case
def test_a_later_turn_is_seen_if_and_only_if_the_context_is_not_causal(case: Case) -> None:
    context = make(CONTEXTS, case, WIDTH)
    values, layout = vectors(), layout_of()
    first, last = rows_of(2).start, rows_of(2).stop
    assert len(set(layout.slots[2].tolist())) > 1
    before = context(values, layout)
    for turn in range(first + 1, last):
        changed = values.clone()
        changed[turn:last] += 1.0
        difference = (context(changed, layout) - before)[first:turn].abs().amax(dim=1)
        if context.causal:
            assert difference.max() < 1e-6
        elif turn == first + 1:
            assert difference.max() > 1e-5
    if not context.causal:
        changed = values.clone()
        changed[first + 1 : last] += 1.0
        assert (context(changed, layout) - before)[first].abs().max() > 1e-5


@every_case
def test_earlier_turns_are_seen(case: Case) -> None:
    context = make(CONTEXTS, case, WIDTH)
    values, layout = vectors(), layout_of()
    first, last = rows_of(2).start, rows_of(2).stop
    changed = values.clone()
    changed[first : last - 1] += 1.0
    difference = (context(changed, layout) - context(values, layout))[last - 1].abs().max()
    assert (difference > 1e-5) == (case[0] != "none")


@pytest.mark.parametrize("backwards", [False, True])
def test_steps_hold_the_dialogues_that_still_go_on(backwards: bool) -> None:
    layout = layout_of()
    steps = Steps.of(layout, backwards=backwards)
    assert steps.sizes == [5, 4, 4, 3, 2, 1, 1]
    starts = [0, 4, 5, 12, 15]
    by_length = [2, 4, 0, 3, 1]
    expected = [
        starts[place] + (LENGTHS[place] - 1 - turn if backwards else turn)
        for turn in range(7)
        for place in by_length
        if turn < LENGTHS[place]
    ]
    assert steps.rows.tolist() == expected
    values = vectors()
    assert torch.equal(steps.put_back(steps.take(values)), values)


@pytest.mark.parametrize("causal", [False, True])
def test_bclstm_is_torchs_lstm_on_each_dialogue(causal: bool) -> None:
    context = make(CONTEXTS, ("bclstm", {"units": 5, "causal": causal}), WIDTH)
    out = context(vectors(), layout_of())
    for place in range(len(LENGTHS)):
        states = vectors()[rows_of(place)]
        for layer in context.layers:
            states = layer(states)[0]
        assert torch.allclose(out[rows_of(place)], states, atol=1e-6)


def test_bclstm_with_relu_is_its_equation() -> None:
    context = make(CONTEXTS, ("bclstm", {"units": 5, "layers": 1, "activation": "relu"}), WIDTH)
    lstm = context.layers[0]
    out = context(vectors(), layout_of())
    for place in range(len(LENGTHS)):
        for suffix, part in (("", slice(0, 5)), ("_reverse", slice(5, 10))):
            turns = list(range(*rows_of(place).indices(COUNT)))
            hidden, cell = torch.zeros(5), torch.zeros(5)
            for turn in reversed(turns) if suffix else turns:
                gates = (
                    getattr(lstm, f"weight_ih_l0{suffix}") @ vectors()[turn]
                    + getattr(lstm, f"bias_ih_l0{suffix}")
                    + getattr(lstm, f"weight_hh_l0{suffix}") @ hidden
                    + getattr(lstm, f"bias_hh_l0{suffix}")
                )
                entry, forget, candidate, exit_ = gates[:5], gates[5:10], gates[10:15], gates[15:]
                cell = torch.sigmoid(forget) * cell + torch.sigmoid(entry) * torch.relu(candidate)
                hidden = torch.sigmoid(exit_) * torch.relu(cell)
                assert torch.allclose(out[turn, part], hidden, atol=1e-6)


def gru_cell(cells: Any, direction: int) -> nn.GRUCell:
    """torch's own cell with the weights of one direction."""
    parts = [cells.early[direction]] + ([] if cells.late is None else [cells.late[direction]])
    weight = torch.cat(parts).T
    cell = nn.GRUCell(weight.shape[1], cells.states)
    with torch.no_grad():
        cell.weight_ih.copy_(weight)
        cell.weight_hh.copy_(cells.recurrent[direction].T)
        cell.bias_ih.copy_(cells.early_bias[direction, 0])
        cell.bias_hh.copy_(cells.recurrent_bias[direction, 0])
    return cell


def dialogue_rnn_plainly(context: Any, utterances: Tensor, slots: list[int]) -> Tensor:
    """One dialogue, turn by turn, as the docstring's equations say."""
    directions = 1 if context.causal else 2
    emotions = []
    for direction in range(directions):
        glob, party, emotion = (gru_cell(cells, direction) for cells in (context.glob, context.party, context.emotion))
        look_back = context.look_back[direction].weight
        speakers = {slot: torch.zeros(party.hidden_size) for slot in slots}
        g, e = torch.zeros(glob.hidden_size), torch.zeros(emotion.hidden_size)
        history: list[Tensor] = []
        found = {}
        order = range(len(slots)) if direction == 0 else range(len(slots) - 1, -1, -1)
        for turn in order:
            u, speaker = utterances[turn], slots[turn]
            c = torch.zeros(glob.hidden_size)
            if history:
                scores = torch.stack([past @ (look_back @ u) for past in history])
                c = sum(weight * past for weight, past in zip(scores.softmax(dim=0), history, strict=True))
            g = glob(torch.cat([u, speakers[speaker]])[None], g[None])[0]
            history.append(g)
            speakers[speaker] = party(torch.cat([u, c])[None], speakers[speaker][None])[0]
            e = emotion(speakers[speaker][None], e[None])[0]
            found[turn] = e
        emotions.append(torch.stack([found[turn] for turn in range(len(slots))]))
    both = torch.cat(emotions, dim=1)
    rows = []
    for turn in range(len(slots)):
        seen = both[: turn + 1] if context.causal else both
        weights = (seen @ context.match(both[turn])).softmax(dim=0)
        rows.append(context.hidden(weights @ seen).relu())
    return torch.stack(rows)


@pytest.mark.parametrize("causal", [False, True])
def test_dialogue_rnn_is_its_equations_turn_by_turn(causal: bool) -> None:
    case = ("dialogue-rnn", {"state": 5, "emotion": 4, "hidden": 12, "causal": causal})
    context = make(CONTEXTS, case, WIDTH)
    layout = layout_of()
    values = vectors() * 2
    out = context(values, layout)
    assert int(layout.slots.max()) == 2
    for place, length in enumerate(LENGTHS):
        slots = layout.slots[place, :length].tolist()
        assert torch.allclose(
            out[rows_of(place)], dialogue_rnn_plainly(context, values[rows_of(place)], slots), atol=1e-5
        )


@pytest.mark.parametrize("causal", [False, True])
def test_dialogue_rnns_last_attention_is_a_masked_softmax_renormalised(causal: bool) -> None:
    """The script's "general2": the softmax over all turns, padding with a score of 0, then masked, then its sum made 1.
    Scores are far above 1, where anything between product and softmax shows."""
    context = make(CONTEXTS, ("dialogue-rnn", {"state": 5, "emotion": 4, "hidden": 12, "causal": causal}), WIDTH)
    layout = layout_of()
    emotions = 3 * torch.randn(COUNT, context.match.in_features, generator=torch.Generator().manual_seed(3))
    out = context._attend(emotions, layout)
    for place, length in enumerate(LENGTHS):
        memory = torch.zeros(max(LENGTHS), emotions.shape[1])
        memory[:length] = emotions[rows_of(place)]
        for turn in range(length):
            seen = torch.arange(max(LENGTHS)) < (turn + 1 if causal else length)
            products = (memory @ (context.match.weight @ memory[turn] + context.match.bias)) * seen
            weights = products.softmax(dim=0) * seen
            expected = (weights / weights.sum()) @ memory
            assert torch.allclose(out[rows_of(place)][turn], expected, atol=1e-5)
    assert products.abs().max() > 2


def test_dialogue_rnn_keeps_speakers_apart() -> None:
    context = make(CONTEXTS, ("dialogue-rnn", {"state": 5, "emotion": 4, "hidden": 12}), WIDTH)
    values = vectors()
    one, many = layout_of(speakers=1), layout_of(speakers=3)
    assert not torch.allclose(context(values, one), context(values, many), atol=1e-4)


def test_dropout_of_states_draws_when_training_alone() -> None:
    context = make(CONTEXTS, ("dialogue-rnn", {"dropout": 0.0, "emotion_dropout": 0.0, "state_dropout": 0.5}), WIDTH)
    values, layout = vectors(), layout_of()
    assert torch.equal(context(values, layout), context(values, layout))
    assert not torch.equal(context.train()(values, layout), context(values, layout))


def encoder_layer(ours: Any) -> nn.TransformerEncoderLayer:
    """torch's own layer with the weights of ours."""
    dim, wide = ours.widen.in_features, ours.widen.out_features
    layer = nn.TransformerEncoderLayer(dim, ours.attention.heads, wide, dropout=0.0, batch_first=True)
    layer.self_attn = torch_attention(ours.attention)
    layer.linear1, layer.linear2, layer.norm1, layer.norm2 = ours.widen, ours.narrow, ours.attention_norm, ours.norm
    return layer.train()  # no dropout; keeps torch from its fused path


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("positions", ["sinusoidal", "none"])
def test_transformer_is_torchs_encoder_with_a_residual_on_each_dialogue(causal: bool, positions: str) -> None:
    settings = {"dim": 8, "heads": 2, "feedforward": 12, "layers": 2, "blocks": 3, "causal": causal}
    context = make(CONTEXTS, ("transformer", settings | {"positions": positions}), WIDTH)
    out = context(vectors(), layout_of())
    for place, length in enumerate(LENGTHS):
        states = context.project(vectors()[rows_of(place)])
        if positions == "sinusoidal":
            states = states + sinusoidal(layout_of((length,)), 8)
        hidden = torch.ones(length, length, dtype=torch.bool).triu(1) if causal else None
        for block in context.blocks:
            encoded = states[None]
            for layer in block:
                encoded = encoder_layer(layer)(encoded, src_mask=hidden)
            states = states + encoded[0]
        assert torch.allclose(out[rows_of(place)], states, atol=1e-5)


@pytest.mark.parametrize("dim", [6, 7])
def test_positions_are_sines_and_cosines_of_the_turn(dim: int) -> None:
    found = sinusoidal(layout_of(), dim)
    for turn in range(LENGTHS[2]):
        for place in range(dim):
            angle = torch.tensor(turn / 10000 ** ((place - place % 2) / dim), dtype=torch.float64)
            expected = angle.cos() if place % 2 else angle.sin()
            assert found[rows_of(2).start + turn, place].item() == pytest.approx(expected.item(), abs=1e-5)


@pytest.mark.parametrize("causal", [False, True])
def test_speaker_attention_is_two_attentions_turn_by_turn(causal: bool) -> None:
    settings = {"dim": 8, "heads": 2, "layers": 2, "positions": "none", "causal": causal}
    context = make(CONTEXTS, ("speaker-attention", settings), WIDTH)
    layout = layout_of()
    out = context(vectors(), layout)
    nobody = 0
    for place, length in enumerate(LENGTHS):
        slots = layout.slots[place].tolist()
        states = context.project(vectors()[rows_of(place)])
        for same, other, norm in zip(context.same, context.other, context.norms, strict=True):
            rows = []
            for turn in range(length):
                seen = [at for at in range(length) if at <= turn or not causal]
                mixed = states[turn]
                for attention, wanted in ((same, True), (other, False)):
                    keys = states[[at for at in seen if (slots[at] == slots[turn]) == wanted]]
                    nobody += not len(keys)
                    mixed = mixed + attend_one(torch_attention(attention), states[turn], keys, keys)
                rows.append(functional.layer_norm(mixed, (8,), norm.weight, norm.bias))
            states = torch.stack(rows)
        assert torch.allclose(out[rows_of(place)], states, atol=1e-5)
    assert nobody >= 2  # of the monologue of one turn, in both layers


def test_speaker_attention_tells_who_speaks() -> None:
    context = make(CONTEXTS, ("speaker-attention", {"dim": 8, "heads": 2}), WIDTH)
    one, many = context(vectors(), layout_of(speakers=1)), context(vectors(), layout_of(speakers=3))
    assert not torch.allclose(one, many, atol=1e-4)


@pytest.mark.parametrize("turns", [0, 1, 3])
@pytest.mark.parametrize("same_speaker", [False, True])
def test_previous_turns_stand_side_by_side(turns: int, same_speaker: bool) -> None:
    context = make(CONTEXTS, ("previous-turns", {"turns": turns, "same_speaker": same_speaker}), WIDTH)
    with torch.no_grad():
        for number, vector in enumerate(context.absent):
            vector.fill_(100.0 + number)
    layout = layout_of()
    out = context(vectors(), layout)
    far = 0
    for place, length in enumerate(LENGTHS):
        own = vectors()[rows_of(place)]
        slots = layout.slots[place].tolist()
        for turn in range(length):
            parts = [own[turn]]
            for distance in range(1, turns + 1):
                parts.append(own[turn - distance] if turn >= distance else context.absent[distance - 1])
            if same_speaker:
                mine = [at for at in range(turn) if slots[at] == slots[turn]]
                far += bool(mine) and turn - mine[-1] > 1
                parts.append(own[mine[-1]] if mine else context.absent[turns])
            assert torch.equal(out[rows_of(place).start + turn], torch.cat(parts))
    assert far > 0 or not same_speaker


@pytest.mark.parametrize(
    ("case", "message"),
    [
        (("transformer", {"dim": 512, "heads": 3}), r"context\.heads \(3\) must divide dim \(512\): try 2"),
        (("speaker-attention", {"dim": 10, "heads": 4}), r"context\.heads \(4\) must divide dim \(10\): try 2"),
    ],
)
def test_settings_that_do_not_fit_are_refused(case: Case, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make(CONTEXTS, case, WIDTH)
