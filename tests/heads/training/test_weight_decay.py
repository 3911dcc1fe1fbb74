"""Weight decay: of what multiplies an input alone, in every part that ships."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from head_factory import experiment, head_data, head_of
from loss_factory import PARTS as LOSS_PARTS
from loss_factory import loss_of
from part_factory import Case, make
from top_factory import ARCHITECTURES, LAYERS, reader_of, small, with_top
from torch import nn

from heads.config.sections import Optim
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
SHAPES: dict[str, Any] = {"waveform-mlp": (), "flat": (4, 6), "layer-weights": (4, 6), "encoder-top": small().stored()}
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


def groups_by_parameter(module: nn.Module, optim: Optim) -> dict[str, tuple[float, float | None]]:
    """Parameter -> its weight decay and its own learning rate."""
    groups = parameter_groups(module, optim.weight_decay, optim.top_rate)
    found = {id(item): (group["weight_decay"], group.get("lr")) for group in groups for item in group["params"]}  # type: ignore[attr-defined]
    assert len(found) == sum(len(group["params"]) for group in groups)  # type: ignore[arg-type]
    return {name: found[id(parameter)] for name, parameter in module.named_parameters()}  # type: ignore[misc]


def test_every_parameter_of_an_encoders_top_is_in_its_group() -> None:
    optim = Optim(lr=1e-2, weight_decay=0.1, lr_top=1e-3, top_decay=0.5)
    module = nn.ModuleDict({"reader": reader_of(small("bert", 2)), "out": nn.Linear(3, 2)})
    groups = groups_by_parameter(module, optim)
    assert groups.pop("out.weight") == (0.1, None)
    assert groups.pop("out.bias") == (0.0, None)
    prefix = "reader.layers.network.encoder.layer."
    products = ["attention.self.query", "attention.self.key", "attention.self.value", "attention.output.dense"]
    products += ["intermediate.dense", "output.dense"]
    norms = ["attention.output.LayerNorm", "output.LayerNorm"]
    expected = {}
    for layer, rate in ((LAYERS - 2, 0.5e-3), (LAYERS - 1, 1e-3)):
        for name in products + norms:
            expected[f"{prefix}{layer}.{name}.weight"] = (0.1 if name in products else 0.0, rate)
            expected[f"{prefix}{layer}.{name}.bias"] = (0.0, rate)
    assert groups == expected


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_of_any_architecture_arrays_that_multiply_decay_and_layers_have_their_rate(name: str) -> None:
    """Each layer's learning rate is told by its place in the list of layers; of the rest, a norm has the last one's."""
    model = small(name, 2)
    optim = Optim(lr=1e-2, weight_decay=0.1, lr_top=1e-3, top_decay=0.5)
    groups = groups_by_parameter(reader_of(model), optim)
    layers = f"layers.network.{model.top.description.layers}."
    assert any(decay for decay, _ in groups.values())
    for key, (decay, rate) in groups.items():
        is_norm = "norm" in key.lower() or "ln_" in key
        is_norm_or_table = is_norm or "relative_attention_bias" in key or "rel_embeddings" in key
        assert bool(decay) == (key.endswith(".weight") and not is_norm_or_table), key
        if key.startswith(layers):
            assert rate == (1e-3 if key.startswith(f"{layers}{LAYERS - 1}.") else 0.5e-3), key
        else:
            assert rate == (1e-3 if "norm" in key or "ln_f" in key else 0.5e-3), key


def test_without_a_rate_of_its_own_the_top_has_that_of_the_head() -> None:
    groups = groups_by_parameter(reader_of(small()), Optim(lr=1e-2))
    assert {rate for _, rate in groups.values()} == {1e-2}


def test_training_moves_the_top_at_its_own_rate() -> None:
    """A rate that is almost nothing leaves the encoder as it was, while the head learns; the schedule scales both."""
    data = with_top(head_data(widths={"text": (6,)}), small())

    def trained(**optim: Any) -> dict[str, torch.Tensor]:
        settings = {"inputs": {"text": ["x"]}, "stop": {"epochs": 2, "patience": 2}, "feedforward": {"sizes": []}}
        settings |= {"batch": {"size": 8}}  # the first step of AdamW has the size of the rate, whatever the gradient
        made = experiment(**settings, optim={"lr": 0.01, "warmup": 0.0, "schedule": "linear", **optim})
        head = train_head(made, data, seed=0).head
        return {key: value for key, value in head.state_dict().items() if value.is_floating_point()}

    still, moved, whole = trained(lr_top=1e-12), trained(lr_top=1e-2), trained()
    prefix = "inputs.text.readers.0.layers.network."
    own = {key: value for key, value in small().top.tensors.items() if value.is_floating_point()}
    assert {key.removeprefix(prefix) for key in still if key.startswith(prefix)} == set(own)
    assert len(own) == 32
    assert all(torch.allclose(still[prefix + key], value, atol=1e-6) for key, value in own.items())
    assert all(torch.equal(moved[key], whole[key]) for key in moved)
    apart = {key: float((moved[prefix + key] - value).abs().max()) for key, value in own.items()}
    assert all(change > 1e-3 for key, change in apart.items() if not key.endswith("key.bias"))
    assert float((still["classifier.weight"] - moved["classifier.weight"]).abs().max()) > 1e-3
