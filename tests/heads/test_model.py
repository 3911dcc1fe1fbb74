"""The head: missing inputs, gradients, and utterances that do not see each other."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from head_factory import WIDTHS, experiment, head_data
from hypothesis import given, settings
from hypothesis import strategies as st

from features.errors import ConfigError
from heads.batch import Batch, batch_of
from heads.fusion import FUSIONS, Concat, Mean
from heads.model import Join, build_head, hide_modalities, num_parameters
from heads.predict import predict
from heads.registry import look_up

PARTS: list[dict[str, Any]] = [
    {"fusion": {"name": "concat"}},
    {"fusion": {"name": "concat", "dim": 5}},
    {"fusion": {"name": "mean", "dim": 5}},
    {"fusion": {"name": "mean", "dim": 5, "modality_dropout": 0.4}, "feedforward": {"sizes": []}},
]
every_part = pytest.mark.parametrize("parts", PARTS, ids=lambda parts: str(parts["fusion"]))


def test_every_fusion_is_tried() -> None:
    assert {parts["fusion"]["name"] for parts in PARTS} == set(FUSIONS)


@every_part
def test_gradients_reach_every_parameter(parts: dict[str, Any]) -> None:
    head = build_head(experiment(**parts), WIDTHS, 3)
    head(batch_of(head_data(missing=0.4))).square().sum().backward()
    for name, parameter in head.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


@every_part
@settings(max_examples=15, deadline=None)
@given(positions=st.lists(st.integers(0, 55), min_size=1, max_size=20))
def test_logits_depend_neither_on_batch_mates_nor_on_order(parts: dict[str, Any], positions: list[int]) -> None:
    torch.manual_seed(0)
    head = build_head(experiment(**parts), WIDTHS, 3)
    batch = batch_of(head_data())
    whole = predict(head, batch)
    some = predict(head, batch.select(torch.tensor(positions)))
    assert torch.allclose(some, whole[positions], rtol=1e-5, atol=1e-6)


@every_part
def test_what_stands_in_a_missing_row_is_never_looked_at(parts: dict[str, Any]) -> None:
    head = build_head(experiment(**parts), WIDTHS, 3)
    batch = batch_of(head_data(missing=0.5))
    poisoned = {
        modality: tuple(
            torch.where(batch.present[modality][:, place : place + 1], item, torch.tensor(99.0))
            for place, item in enumerate(items)
        )
        for modality, items in batch.values.items()
    }
    assert torch.equal(predict(head, Batch(poisoned, batch.present)), predict(head, batch))


@every_part
def test_an_utterance_without_any_modality_is_predicted(parts: dict[str, Any]) -> None:
    head = build_head(experiment(**parts), WIDTHS, 3)
    batch = batch_of(head_data(missing=1.0))
    logits = predict(head, batch)
    assert torch.isfinite(logits).all()
    assert torch.equal(logits, logits[:1].expand_as(logits))


def fused(fusion: torch.nn.Module, values: dict[str, Any], present: dict[str, list[bool]]) -> torch.Tensor:
    result: torch.Tensor = fusion(
        {key: torch.tensor(value) for key, value in values.items()},
        {key: torch.tensor(value) for key, value in present.items()},
    )
    return result


def test_concat_puts_the_learned_vector_in_a_missing_place_and_sets_its_bit() -> None:
    fusion = Concat({"text": 2, "audio": 1})
    with torch.no_grad():
        fusion.missing["text"].copy_(torch.tensor([7.0, 8.0]))
    out = fused(
        fusion,
        {"text": [[1.0, 2.0], [0.0, 0.0]], "audio": [[3.0], [4.0]]},
        {"text": [True, False], "audio": [True] * 2},
    )
    assert out.tolist() == [[1.0, 2.0, 3.0, 0.0, 0.0], [7.0, 8.0, 4.0, 1.0, 0.0]]
    assert fusion.width == 5


def test_mean_leaves_a_missing_modality_out() -> None:
    fusion = Mean({"text": 2, "audio": 2}, dim=2)
    for project in fusion.project.values():
        torch.nn.init.eye_(project.weight)
        torch.nn.init.zeros_(project.bias)
    values = {"text": [[2.0, 4.0]] * 3, "audio": [[4.0, 8.0]] * 3}
    out = fused(fusion, values, {"text": [True, True, False], "audio": [True, False, False]})
    assert out.tolist() == [[3.0, 6.0], [2.0, 4.0], [0.0, 0.0]]


def test_joining_several_features_fills_the_missing_one() -> None:
    join = Join([1, 2])
    with torch.no_grad():
        join.missing[1].copy_(torch.tensor([5.0, 6.0]))
    out = join([torch.tensor([[1.0]]), torch.tensor([[0.0, 0.0]])], torch.tensor([[True, False]]))
    assert out.tolist() == [[1.0, 5.0, 6.0, 0.0, 1.0]]
    assert Join([4]).width == 4
    assert num_parameters(Join([4])) == 0


def test_modality_dropout_hides_often_but_never_everything() -> None:
    torch.manual_seed(0)
    present = {"text": torch.ones(4000, dtype=torch.bool), "audio": torch.arange(4000) < 2000}
    hidden = hide_modalities(present, 0.3)
    assert not (hidden["text"] & ~present["text"]).any()
    assert (hidden["text"] | hidden["audio"]).all()
    assert hidden["text"][2000:].all()
    # With two modalities, text is hidden alone: 0.3 * 0.7.
    assert 0.18 < 1 - hidden["text"][:2000].float().mean() < 0.24


def test_dropout_of_modalities_is_off_when_predicting() -> None:
    head = build_head(experiment(fusion={"name": "concat", "modality_dropout": 0.9}), WIDTHS, 3)
    batch = batch_of(head_data())
    assert torch.equal(predict(head.train(), batch), predict(head.train(), batch))


def test_an_unknown_part_names_the_nearest() -> None:
    with pytest.raises(ConfigError, match="unknown fusion 'concatt': did you mean 'concat'"):
        look_up(FUSIONS, "concatt", "fusion")
