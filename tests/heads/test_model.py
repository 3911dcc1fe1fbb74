"""The head: missing inputs, gradients, and utterances that do not see each other."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from head_factory import experiment, head_data, head_of
from hypothesis import given, settings
from hypothesis import strategies as st

from features.errors import ConfigError
from heads.config.registry import look_up
from heads.data.batch import Batch, batch_of
from heads.fusion import FUSIONS
from heads.model import Join, SpeakerEmbedding, hide_modalities, num_parameters
from heads.predict import Predictor

DIALOGUES = {"unit": "dialogues", "size": 3}
PARTS: list[dict[str, Any]] = [
    {"fusion": {"name": "concat"}},
    {"fusion": {"name": "concat", "dim": 5}},
    {"fusion": {"name": "mean", "dim": 5}},
    {"fusion": {"name": "mean", "dim": 5, "modality_dropout": 0.4}, "feedforward": {"sizes": []}},
    {"fusion": {"name": "concat"}, "speakers": {"dim": 3, "min_rows": 1}},
    {"context": {"name": "bclstm", "units": 4}, "batch": DIALOGUES},
    {"modality_context": {"name": "bclstm", "units": 4}, "fusion": {"name": "mean", "dim": 5}, "batch": DIALOGUES},
    {
        "modality_context": {"name": "transformer", "dim": 8, "heads": 2, "causal": True},
        "context": {"name": "previous-turns"},
        "speakers": {"dim": 3, "min_rows": 1},
        "batch": DIALOGUES,
    },
]
every_part = pytest.mark.parametrize("parts", PARTS, ids=str)
VOCABULARY = ("Ann", "Bob")


def table(**values: Any) -> Batch:
    return batch_of(head_data(**values), VOCABULARY)


def predictor_of(parts: dict[str, Any]) -> Predictor:
    torch.manual_seed(0)
    return Predictor(experiment(**parts), head_of(len(VOCABULARY), **parts))


def whole_dialogues(batch: Batch, numbers: list[int]) -> torch.Tensor:
    """Places of the utterances of these dialogues (counted from 0), in that order."""
    dialogues = batch.dialogues.unique_consecutive()
    return torch.cat([(batch.dialogues == dialogues[number]).nonzero().squeeze(1) for number in numbers])


@every_part
def test_gradients_reach_every_parameter(parts: dict[str, Any]) -> None:
    head = predictor_of(parts).head
    output = head(table(missing=0.4))
    output.logits.square().sum().backward()
    for name, parameter in head.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


@every_part
@settings(max_examples=15, deadline=None)
@given(numbers=st.lists(st.integers(0, 13), min_size=1, max_size=8, unique=True))
def test_scores_depend_neither_on_other_dialogues_nor_on_their_order(parts: dict[str, Any], numbers: list[int]) -> None:
    predictor, batch = predictor_of(parts), table()
    places = whole_dialogues(batch, numbers)
    some = predictor.scores(batch.select(places))
    assert torch.allclose(some, predictor.scores(batch)[places], rtol=1e-5, atol=1e-6)


def test_without_context_an_utterance_depends_on_itself_alone() -> None:
    predictor, batch = predictor_of(PARTS[0]), table()
    places = torch.tensor([17, 3, 3, 40])
    assert torch.allclose(predictor.scores(batch.select(places)), predictor.scores(batch)[places], rtol=1e-5, atol=1e-6)


@every_part
def test_what_stands_in_a_missing_row_is_never_looked_at(parts: dict[str, Any]) -> None:
    predictor, batch = predictor_of(parts), table(missing=0.5)
    poisoned = {
        modality: tuple(
            torch.where(batch.present[modality][:, place : place + 1], item, torch.tensor(99.0))
            for place, item in enumerate(items)
        )
        for modality, items in batch.values.items()
    }
    assert torch.equal(predictor.scores(replace(batch, values=poisoned)), predictor.scores(batch))


@every_part
def test_an_utterance_without_any_modality_is_predicted(parts: dict[str, Any]) -> None:
    assert torch.isfinite(predictor_of(parts).scores(table(missing=1.0))).all()


@pytest.mark.parametrize("rows", [1, 5, 9, 30])
def test_scores_do_not_depend_on_the_blocks_that_are_scored_together(
    monkeypatch: pytest.MonkeyPatch, rows: int
) -> None:
    batch = table()
    for parts in PARTS:
        predictor = predictor_of(parts)
        whole = predictor.scores(batch)
        with monkeypatch.context() as patch:
            patch.setattr("heads.predict._ROWS", rows)
            assert torch.allclose(predictor.scores(batch), whole, rtol=1e-5, atol=1e-6), parts


def test_a_speakers_name_counts_only_where_the_head_knows_it() -> None:
    predictor, batch = predictor_of({"speakers": {"dim": 3, "min_rows": 1}}), table(missing=0.0)
    assert set(batch.speakers.tolist()) == {0, 1, 2}
    scores = predictor.scores(batch)
    others = predictor.scores(replace(batch, speakers=torch.zeros_like(batch.speakers)))
    known = batch.speakers > 0
    assert (scores != others).any(dim=1)[known].all()
    assert torch.equal(scores[~known], others[~known])


def test_a_training_examples_speaker_is_sometimes_taken_for_another() -> None:
    speakers = SpeakerEmbedding(2, dim=3, dropout=0.4)
    everyone = torch.full((4000,), 2)
    as_other = (speakers.train()(everyone) == speakers.table.weight[0]).all(dim=1).float().mean()
    assert 0.36 < as_other < 0.44
    assert (speakers.eval()(everyone) == speakers.table.weight[2]).all()


def test_dropout_left_on_in_evaluation_changes_scores_and_repeats() -> None:
    parts: dict[str, Any] = {"feedforward": {"dropout": 0.5}}
    right, slip = predictor_of(parts), predictor_of(parts | {"evaluation": {"dropout": True}})
    batch = table()
    assert not torch.allclose(right.scores(batch), slip.scores(batch))
    assert torch.equal(slip.scores(batch), slip.scores(batch))
    assert not slip.head.training


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
    predictor, batch = predictor_of({"fusion": {"name": "concat", "modality_dropout": 0.9}}), table()
    predictor.head.train()
    assert torch.equal(predictor.scores(batch), predictor.scores(batch))


def test_an_unknown_part_names_the_nearest() -> None:
    with pytest.raises(ConfigError, match="unknown fusion 'concatt': did you mean 'concat'"):
        look_up(FUSIONS, "concatt", "fusion")


def test_dropout_of_inputs_leaves_the_bits_that_tell_what_is_missing() -> None:
    head = head_of(fusion={"name": "concat", "input_dropout": 0.5}).train()
    seen: dict[str, torch.Tensor] = {}
    head.fusion.register_forward_pre_hook(lambda module, args: seen.update(args[0]))
    batch = table(missing=0.5)
    head(batch)
    missing = ~batch.present["visual"]
    assert torch.equal(seen["visual"][:, -2:], missing.float())
    assert (seen["visual"][:, :-2] == 0).float().mean() > 0.3


def test_heads_that_see_their_batch_are_scored_in_batches_like_those_of_training() -> None:
    for unit, size in (("dialogues", 2), ("utterances", 8)):
        predictor = predictor_of(
            {"fusion": {"name": "attention-over-batch", "dim": 12}, "batch": {"unit": unit, "size": size}}
        )
        predictor.head.eval()
        batch = table()
        count = len(batch.dialogues.unique_consecutive())
        if unit == "dialogues":
            parts = [whole_dialogues(batch, [*range(first, min(first + 2, count))]) for first in range(0, count, 2)]
        else:
            parts = list(torch.arange(len(batch)).split(8))
        with torch.no_grad():
            expected = torch.cat([predictor.head(batch.select(rows)).logits for rows in parts])
        assert torch.equal(predictor.scores(batch), expected)
