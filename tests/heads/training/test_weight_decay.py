"""Weight decay: of what multiplies an input alone, in every part that ships."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from head_factory import experiment, head_data, head_of
from loss_factory import PARTS as LOSS_PARTS
from loss_factory import loss_of
from part_factory import Case, make
from torch import nn

from heads.context import CONTEXTS
from heads.fusion import FUSIONS
from heads.losses import LOSSES
from heads.readers import READERS
from heads.training.trainer import train_head
from heads.training.weight_decay import decays, parameter_groups

SMALL: dict[str, dict[str, Any]] = {
    "attention-pooling": {"heads": 3},
    "text-cnn": {"filters": 8, "size": 5},
    "waveform-mlp": {"seconds": 0.02, "rate_hz": 1000, "hidden": 8, "attention": "over-batch", "heads": 2},
    "concat": {"dim": 8},
    "concat+norm": {"dim": 8, "norm": "layer"},
    "attention": {"dim": 8, "heads": 2},
    "m2fnet": {"dim": 8, "heads": 2, "layers": 1},
    "attention-over-batch": {"dim": 12, "heads": 2},
    "bclstm": {"units": 5},
    "dialogue-rnn": {"state": 5, "emotion": 4, "hidden": 6},
    "transformer": {"dim": 8, "heads": 2, "feedforward": 12},
    "speaker-attention": {"dim": 8, "heads": 2},
    "previous-turns": {"same_speaker": True},
}
WIDTHS = {"text": 6, "audio": 4, "visual": 5}
SHAPES = {"waveform-mlp": (), "flat": (4, 6), "layer-weights": (4, 6)}
# The last parts of the names of all parameters that ship, by whether they decay; what is in a norm never does.
DECAYED = {
    "weight", "weight_ih_l0", "weight_hh_l0", "weight_ih_l0_reverse", "weight_hh_l0_reverse", "in_proj_weight",
    "early", "late", "recurrent", "query",
}  # fmt: skip
FREE = {
    "bias", "bias_ih_l0", "bias_hh_l0", "bias_ih_l0_reverse", "bias_hh_l0_reverse", "in_proj_bias", "early_bias",
    "recurrent_bias", "embedding", "weights", "scale",
    "0", "1", "2", "text", "audio", "visual",  # of lists and dictionaries of vectors for what is missing
}  # fmt: skip


def parts() -> list[tuple[str, nn.Module]]:
    found: list[tuple[str, nn.Module]] = []
    for table, arguments in ((CONTEXTS, (6,)), (FUSIONS, (WIDTHS,))):
        found += [(name, make(table, _case(name), *arguments)) for name in table]  # type: ignore[arg-type]
    found += [(name, make(READERS, _case(name), SHAPES.get(name, (6,)))) for name in READERS]
    found += [(name, loss_of(name, settings)) for name, settings in LOSS_PARTS]
    whole = head_of(
        num_speakers=2,
        speakers={"dim": 4},
        modality_context={"name": "bclstm", "units": 4},
        context={"name": "dialogue-rnn", "state": 4, "emotion": 4, "hidden": 4},
        batch={"unit": "dialogues"},
    )
    return [*found, ("a whole head", whole)]


def _case(name: str) -> Case:
    return name, SMALL.get(name, {})


PARTS = parts()


def test_every_part_that_ships_is_tried() -> None:
    assert {name for name, _ in PARTS} == {*CONTEXTS, *FUSIONS, *READERS, *LOSSES, "a whole head"}


@pytest.mark.parametrize(("name", "part"), PARTS, ids=[f"{place}-{name}" for place, (name, _) in enumerate(PARTS)])
def test_what_multiplies_decays_and_biases_norms_and_embeddings_do_not(name: str, part: nn.Module) -> None:
    decayed, free = (set(map(id, group["params"])) for group in parameter_groups(part, 0.1))  # type: ignore[call-overload]
    assert not decayed & free
    assert decayed | free == set(map(id, part.parameters()))
    holders = dict(part.named_modules())
    for path, parameter in part.named_parameters():
        holder, _, own = path.rpartition(".")
        assert own in DECAYED | FREE, f"{path}: say in this test whether it decays"
        spared = isinstance(holders[holder], nn.LayerNorm | nn.Embedding)
        assert (id(parameter) in decayed) == (own in DECAYED and not spared), path


@pytest.mark.parametrize(("name", "part"), PARTS, ids=[f"{place}-{name}" for place, (name, _) in enumerate(PARTS)])
def test_a_module_of_ours_says_which_of_its_own_arrays_decay(name: str, part: nn.Module) -> None:
    for module in part.modules():
        arrays = [key for key, parameter in module.named_parameters(recurse=False) if parameter.ndim > 1]
        if arrays and type(module).__module__.startswith("heads."):
            assert set(module.decayed) <= {*dict(module.named_parameters(recurse=False)), "late"}, type(module)


def test_norms_and_embeddings_are_free_by_kind_and_others_by_torchs_names() -> None:
    for free in (nn.BatchNorm1d(2), nn.GroupNorm(1, 2), nn.RMSNorm(2), nn.Embedding(2, 2), nn.PReLU()):
        assert not decays(free, "weight")
    for kind in (nn.Linear(2, 2), nn.Conv2d(1, 1, 1), nn.Bilinear(2, 2, 2)):
        assert decays(kind, "weight")
        assert not decays(kind, "bias")
    assert decays(nn.GRUCell(2, 2), "weight_ih")
    assert not decays(nn.GRUCell(2, 2), "bias_ih")


def test_a_shared_parameter_is_in_one_group_once() -> None:
    embedding, out = nn.Embedding(3, 2), nn.Linear(2, 3, bias=False)
    out.weight = embedding.weight
    decayed, free = parameter_groups(nn.ModuleList([embedding, out]), 0.1)
    assert (decayed["params"], len(free["params"])) == ([], 1)  # type: ignore[arg-type]


def test_training_leaves_biases_and_the_speakers_who_never_speak_alone() -> None:
    """A speaker's row without a gradient, and with a weight decay that halves a weight each step."""
    settings: dict[str, Any] = {
        "inputs": {"text": ["sentence"]},
        "speakers": {"dim": 4, "min_rows": 1, "dropout": 0.0},
        "feedforward": {"sizes": [4], "dropout": 0.0},
        "optim": {"lr": 0.01, "weight_decay": 50.0, "warmup": 0.0, "schedule": "constant"},
        "batch": {"size": 64},
        "stop": {"epochs": 1, "patience": 1},
    }
    data = head_data(widths={"text": (6,)})
    torch.manual_seed(0)
    trained = train_head(experiment(**settings), data, seed=0).head
    still = train_head(experiment(**settings | {"optim": settings["optim"] | {"weight_decay": 0.0}}), data, seed=0).head
    assert trained.speakers is not None
    assert still.speakers is not None
    assert torch.equal(trained.speakers.table.weight, still.speakers.table.weight)
    assert torch.equal(trained.classifier.bias, still.classifier.bias)
    assert trained.classifier.weight.norm() < 0.7 * still.classifier.weight.norm()
