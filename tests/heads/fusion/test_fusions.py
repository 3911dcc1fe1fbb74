"""Fusions: each against its equation written out plainly, missing modalities, gradients, and who sees whom."""

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
from torch import Tensor
from torch.nn import functional

from features.errors import ConfigError, UsageError
from heads.fusion import FUSIONS
from heads.fusion.over_batch import proportional

WIDTHS = {"text": 6, "audio": 4, "visual": 5}
COUNT = sum(LENGTHS)
CASES: list[Case] = [
    ("concat", {}),
    ("concat", {"dim": 8}),
    ("concat+norm", {}),
    ("concat+norm", {"norm": "layer", "dim": 8}),
    ("mean", {"dim": 8}),
    ("gated", {"dim": 8}),
    ("gated", {"dim": 8, "gates": "sigmoid"}),
    ("attention", {"dim": 8, "heads": 2}),
    ("m2fnet", {"dim": 8, "heads": 2, "layers": 2}),
    ("m2fnet", {"dim": 8, "heads": 2, "layers": 3, "causal": True}),
    ("attention-over-batch", {"dim": 12, "heads": 2}),
]
OVER_DIALOGUE = {"m2fnet"}
OVER_BATCH = {"attention-over-batch"}
every_case = pytest.mark.parametrize("case", CASES, ids=case_id)
Inputs = tuple[dict[str, Tensor], dict[str, Tensor]]


def inputs(missing: float = 0.3, seed: int = 0) -> Inputs:
    """Row 0 has every modality and row 1 none, as long as anything is missing at all."""
    generator = torch.Generator().manual_seed(seed)
    values = {modality: torch.randn(COUNT, width, generator=generator) for modality, width in WIDTHS.items()}
    present = {modality: torch.rand(COUNT, generator=generator) >= missing for modality in WIDTHS}
    for item in present.values():
        item[0] = True
        item[1] = not missing
    return values, present


def picked(items: Inputs, rows: Any) -> Inputs:
    values, present = items
    return {key: item[rows] for key, item in values.items()}, {key: item[rows] for key, item in present.items()}


def poisoned(items: Inputs) -> Inputs:
    values, present = items
    return {key: item.masked_fill(~present[key][:, None], float("nan")) for key, item in values.items()}, present


def test_every_fusion_is_tried_and_says_what_it_depends_on() -> None:
    assert {name for name, _ in CASES} == set(FUSIONS)
    assert {name for name, part in FUSIONS.items() if part.over_dialogue} == OVER_DIALOGUE  # type: ignore[attr-defined]
    assert {name for name, part in FUSIONS.items() if part.over_batch} == OVER_BATCH  # type: ignore[attr-defined]


@every_case
def test_gradients_reach_every_parameter(case: Case) -> None:
    fusion = make(FUSIONS, case, WIDTHS)
    out = fusion(*poisoned(inputs()), layout_of())
    assert out.shape == (COUNT, fusion.width)
    torch.manual_seed(1)
    (out * torch.randn(out.shape)).sum().backward()
    assert_gradients(fusion)


@every_case
def test_what_stands_where_a_modality_is_missing_is_never_looked_at(case: Case) -> None:
    fusion = make(FUSIONS, case, WIDTHS)
    items = inputs(missing=0.5)
    clean, spoilt = fusion(*items, layout_of()), fusion(*poisoned(items), layout_of())
    assert torch.equal(clean, spoilt)
    one = torch.autograd.grad(clean.square().sum(), list(fusion.parameters()))
    other = torch.autograd.grad(spoilt.square().sum(), list(fusion.parameters()))
    assert all(torch.equal(left, right) for left, right in zip(one, other, strict=True))


@every_case
def test_that_a_modality_is_missing_is_seen(case: Case) -> None:
    fusion = make(FUSIONS, case, WIDTHS)
    values, present = inputs(missing=0.0)
    whole = fusion(values, present, layout_of())
    for modality in WIDTHS:
        hidden = present | {modality: torch.arange(COUNT) != 2}
        assert not torch.allclose(fusion(values, hidden, layout_of())[2], whole[2], atol=1e-4), modality


@every_case
def test_utterances_without_any_modality_get_finite_vectors_and_gradients(case: Case) -> None:
    fusion = make(FUSIONS, case, WIDTHS)
    values, present = inputs()
    nothing = {key: torch.zeros_like(item) for key, item in present.items()}
    out = fusion(*poisoned((values, nothing)), layout_of())
    assert torch.isfinite(out).all()
    if case[0] not in OVER_DIALOGUE:
        assert torch.allclose(out, out[:1].expand_as(out), atol=1e-6)
    out.square().sum().backward()
    assert all(torch.isfinite(item.grad).all() for item in fusion.parameters() if item.grad is not None)


@every_case
def test_a_vector_depends_on_its_utterance_alone_but_where_the_fusion_says_otherwise(case: Case) -> None:
    fusion = make(FUSIONS, case, WIDTHS)
    items, layout = inputs(), layout_of()
    whole = fusion(*items, layout)
    for place in range(len(LENGTHS)):
        rows = rows_of(place)
        some = fusion(*picked(items, rows), alone(layout, place))
        assert torch.allclose(some, whole[rows], atol=1e-5) == (case[0] not in OVER_BATCH)
    if case[0] not in OVER_DIALOGUE | OVER_BATCH:
        rows = torch.tensor([5, 1, 1, 17])
        assert torch.allclose(fusion(*picked(items, rows)), whole[rows], atol=1e-5)


@every_case
def test_which_turns_change_when_one_turn_does(case: Case) -> None:
    """Turn 3 of the third dialogue changes in every modality."""
    fusion = make(FUSIONS, case, WIDTHS)
    (values, present), layout = inputs(missing=0.0), layout_of()
    first = rows_of(2).start
    other = {key: item.clone() for key, item in values.items()}
    for item in other.values():
        item[first + 3] += 1.0
    change = (fusion(other, present, layout) - fusion(values, present, layout)).abs().amax(dim=1) > 1e-5
    expected = torch.zeros(COUNT, dtype=torch.bool)
    expected[first + 3] = True
    if case[0] in OVER_BATCH:
        expected[:] = True
    if case[0] in OVER_DIALOGUE:
        expected[first + 3 if case[1].get("causal") else first : rows_of(2).stop] = True
    assert change.tolist() == expected.tolist()


@pytest.mark.parametrize("dim", [None, 8])
def test_concat_is_what_is_there_or_a_learned_vector_then_the_bits(dim: int | None) -> None:
    fusion = make(FUSIONS, ("concat", {"dim": dim}), WIDTHS)
    with torch.no_grad():
        for vector in fusion.missing.values():
            vector.normal_()
    values, present = inputs()
    out = fusion(values, present)
    for row in range(COUNT):
        parts = [fusion.project[key](values[key][row]) if present[key][row] else fusion.missing[key] for key in WIDTHS]
        bits = torch.tensor([0.0 if present[key][row] else 1.0 for key in WIDTHS])
        assert torch.allclose(out[row], torch.cat([*parts, bits]), atol=1e-6)


def test_mean_is_the_mean_of_what_is_there() -> None:
    fusion = make(FUSIONS, ("mean", {"dim": 8}), WIDTHS)
    values, present = inputs()
    out = fusion(values, present)
    for row in range(COUNT):
        there = [fusion.project[key](values[key][row]) for key in WIDTHS if present[key][row]]
        expected = torch.stack(there).mean(dim=0) if there else torch.zeros(8)
        assert torch.allclose(out[row], expected, atol=1e-6)


@pytest.mark.parametrize("dim", [None, 8])
def test_concat_norm_is_concat_over_its_length(dim: int | None) -> None:
    plain = make(FUSIONS, ("concat", {"dim": dim}), WIDTHS)
    fusion = make(FUSIONS, ("concat+norm", {"dim": dim}), WIDTHS)
    joined, bits = plain(*inputs()).split([fusion.width - 3, 3], dim=1)
    out = fusion(*inputs())
    lengths = joined.norm(dim=1, keepdim=True)
    kept = lengths[:, 0] > 0
    assert kept.sum() == COUNT - (bits.sum(dim=1) == 3).sum()
    assert torch.allclose(out[kept, :-3], (joined / lengths)[kept], atol=1e-6)
    assert torch.equal(out[:, -3:], bits)
    assert torch.equal(out[~kept, :-3], torch.zeros_like(out[~kept, :-3]))


@pytest.mark.parametrize("gates", ["softmax", "sigmoid"])
def test_gated_is_its_equation_for_each_value(gates: str) -> None:
    fusion = make(FUSIONS, ("gated", {"dim": 3, "gates": gates}), WIDTHS)
    values, present = inputs()
    out = fusion(values, present)
    for row in range(COUNT):
        there = [modality for modality in WIDTHS if present[modality][row]]
        everything = torch.cat([values[key][row] if key in there else torch.zeros(WIDTHS[key]) for key in WIDTHS])
        expected = torch.zeros(3)
        scores = fusion.gate(everything).view(3, 3)  # value by modality
        for value in range(3):
            total = sum(scores[value, place].exp() for place, key in enumerate(WIDTHS) if key in there)
            for place, key in enumerate(WIDTHS):
                if key in there:
                    score = scores[value, place]
                    gate = score.exp() / total if gates == "softmax" else 1 / (1 + (-score).exp())
                    expected[value] += gate * fusion.project[key](values[key][row])[value].tanh()
        assert torch.allclose(out[row], expected, atol=1e-5)


def test_attention_is_attention_among_the_modalities_that_are_there() -> None:
    fusion = make(FUSIONS, ("attention", {"dim": 8, "heads": 2}), WIDTHS)
    theirs = torch_attention(fusion.attention)
    values, present = inputs()
    out = fusion(values, present)
    counts = set()
    for row in range(COUNT):
        there = [place for place, key in enumerate(WIDTHS) if present[key][row]]
        counts.add(len(there))
        if not there:
            assert torch.equal(out[row], torch.zeros(8))
            continue
        keys = list(WIDTHS)
        tokens = torch.stack(
            [fusion.project[keys[place]](values[keys[place]][row]) + fusion.embedding[place] for place in there]
        )
        attended = torch.stack([attend_one(theirs, token, tokens, tokens) for token in tokens])
        expected = functional.layer_norm(tokens + attended, (8,), fusion.norm.weight, fusion.norm.bias).mean(dim=0)
        assert torch.allclose(out[row], expected, atol=1e-5)
    assert counts == {0, 1, 2, 3}


@pytest.mark.parametrize("causal", [False, True])
def test_m2fnet_is_its_equation_dialogue_by_dialogue(causal: bool) -> None:
    fusion = make(FUSIONS, ("m2fnet", {"dim": 8, "heads": 2, "layers": 2, "causal": causal}), WIDTHS)
    torch.manual_seed(3)
    with torch.no_grad():
        for vector in fusion.missing.values():
            vector.normal_()
    values, present = inputs(missing=0.4)
    out = fusion(values, present, layout_of())
    for place in range(len(LENGTHS)):
        rows = range(*rows_of(place).indices(COUNT))
        states = {
            key: torch.stack(
                [fusion.project[key](values[key][row]) if present[key][row] else fusion.missing[key] for row in rows]
            )
            for key in WIDTHS
        }
        fused = states["text"]
        for layer in fusion.layers:
            parts = []
            for key in ("audio", "visual"):
                theirs = torch_attention(layer.attention[key])
                turns = []
                for turn in range(len(rows)):
                    seen = [at for at, row in enumerate(rows) if present[key][row] and (at <= turn or not causal)]
                    turns.append(attend_one(theirs, fused[turn], states[key][seen], fused[seen]))
                parts.append(torch.stack(turns))
            fused = layer.linear(torch.cat([*parts, fused], dim=1).relu()).relu()
        expected = torch.cat([fused, states["audio"], states["visual"]], dim=1)
        assert torch.allclose(out[rows_of(place)], expected, atol=1e-5)


def test_attention_over_batch_takes_the_batch_for_a_sequence() -> None:
    fusion = make(FUSIONS, ("attention-over-batch", {"dim": 12, "heads": 2}), WIDTHS)
    values, present = inputs()
    shown = {key: torch.where(present[key][:, None], values[key], 0.0) for key in WIDTHS}
    joined = torch.cat([fusion.project[key](shown[key]) for key in WIDTHS], dim=1)
    query, key, value = functional.linear(joined, fusion.attention.in_proj_weight, fusion.attention.in_proj_bias).split(
        12, dim=1
    )
    heads = []
    for part in (slice(0, 6), slice(6, 12)):
        weights = (query[:, part] @ key[:, part].T / 6**0.5).softmax(dim=1)  # utterance by utterance
        heads.append(weights @ value[:, part])
    expected = functional.layer_norm(joined + fusion.attention.out_proj(torch.cat(heads, dim=1)), (12,))
    assert torch.allclose(fusion(values, present), expected, atol=1e-5)


def test_shares_are_proportional_and_the_rest_goes_to_the_largest() -> None:
    # The report's encoders: GPT-2, ResNet-50 and wav2vec2 with mean and maximum.
    assert proportional({"text": 768, "visual": 2048, "audio": 1536}, 512) == {"text": 90, "visual": 242, "audio": 180}
    assert sum(proportional(WIDTHS, 7).values()) == 7


def test_m2fnet_without_a_layout_says_what_it_needs() -> None:
    with pytest.raises(UsageError, match="m2fnet attends over dialogues: batches must hold whole dialogues"):
        make(FUSIONS, ("m2fnet", {"dim": 8}), WIDTHS)(*inputs())


@pytest.mark.parametrize(
    ("case", "widths", "message"),
    [
        (("attention", {"dim": 512, "heads": 3}), WIDTHS, r"fusion\.heads \(3\) must divide dim \(512\): try 2"),
        (("m2fnet", {"dim": 12, "heads": 8}), WIDTHS, r"fusion\.heads \(8\) must divide dim \(12\): try 6"),
        (("m2fnet", {}), {"audio": 4, "visual": 5}, "m2fnet has text attend .* the inputs are audio, visual: add text"),
        (("m2fnet", {}), {"text": 4}, "the inputs are text: add another modality"),
        (("attention-over-batch", {"dim": 10, "heads": 4}), WIDTHS, r"\(4\) must divide dim \(10\): try 2"),
        (
            ("attention-over-batch", {"dim": 8, "heads": 4}),
            {"text": 99, "audio": 1},
            r"fusion\.dim \(8\) leaves no value for audio: at least 100",
        ),
    ],
)
def test_settings_that_do_not_fit_are_refused(case: Case, widths: dict[str, int], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make(FUSIONS, case, widths)
