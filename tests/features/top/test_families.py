"""Architectures with ways of their own: sparse experts, what a run leaves behind, tables that are asked for a size."""

from __future__ import annotations

import copy
from dataclasses import replace
from functools import cache
from typing import Any

import pytest
import torch
from tiny_speech import tiny_config as tiny_speech
from tiny_top import network_of
from torch import Tensor, nn
from whole_models import TOLERANCE, built, off, whole

from features.errors import UsageError
from features.top.cut import cut_top
from features.top.network import TopNetwork, call
from features.top.top import Top

LAYERS = 3
_TEXT: dict[str, Any] = {
    **{"vocab_size": 60, "hidden_size": 32, "num_hidden_layers": LAYERS, "num_attention_heads": 4},
    **{"intermediate_size": 48, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2},
}
_SEQ2SEQ: dict[str, Any] = {
    **{"d_model": 32, "encoder_layers": LAYERS, "encoder_attention_heads": 4, "encoder_ffn_dim": 48, "vocab_size": 60},
    **{"decoder_layers": 1, "decoder_attention_heads": 4, "decoder_ffn_dim": 48, "pad_token_id": 0, "eos_token_id": 2},
}
_CAUSAL = _TEXT | {"num_key_value_heads": 2, "head_dim": 8}
_T5 = {"d_model": 32, "d_kv": 8, "d_ff": 48, "num_heads": 4, "vocab_size": 60}
_MAMBA = {"num_heads": 8, "head_dim": 8, "expand": 2, "n_groups": 1, "state_size": 8, "chunk_size": 16}
_EXPERTS = {"num_experts": 32, "expert_capacity": 64}
FAMILIES: dict[str, dict[str, Any]] = {
    "big_bird": _TEXT | {"max_position_embeddings": 1100},
    "bigbird_pegasus": _SEQ2SEQ,
    "deberta": _TEXT | {"relative_attention": True, "pos_att_type": ["p2c", "c2p"]},
    "esm": _TEXT | {"position_embedding_type": "rotary", "mask_token_id": 3, "token_dropout": True},
    "mamba2": {"vocab_size": 60, "hidden_size": 32, "num_hidden_layers": LAYERS} | _MAMBA,
    "marian": _SEQ2SEQ,
    "nllb-moe": _SEQ2SEQ | _EXPERTS | {"encoder_sparse_step": 1},
    "openai-gpt": {"n_embd": 32, "n_layer": LAYERS, "n_head": 4, "vocab_size": 60, "n_positions": 64},
    "pegasus": _SEQ2SEQ,
    "recurrent_gemma": _CAUSAL,
    "switch_transformers": _T5 | _EXPERTS | {"num_layers": LAYERS, "num_sparse_encoder_layers": 1},
}
SPARSE = ("nllb-moe", "switch_transformers")


@cache
def network_like(kind: str) -> nn.Module:
    from transformers import AutoConfig

    network = network_of(AutoConfig.for_model(kind, **FAMILIES[kind]), std=0.15)
    if network.config.is_encoder_decoder:
        network = network.get_encoder()
    if getattr(network, "pooler", None) is not None:
        network.pooler = None
    network.config.use_cache = False
    found: nn.Module = network
    return found


def batch(size: int, seed: int = 1) -> tuple[Tensor, Tensor]:
    ids = torch.randint(5, 60, (2, size), generator=torch.Generator().manual_seed(seed))
    return ids, torch.arange(size) < torch.tensor([[size], [size // 3]])


def cut(network: nn.Module, from_top: int) -> Top:
    ids, mask = batch(24)
    kind: str = network.config.model_type  # type: ignore[union-attr,assignment]
    return cut_top(network, "tokens", from_top, ids, mask, model=kind, tolerance=TOLERANCE)


def run(network: nn.Module, top: Top, ids: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor]:
    """What the first layer of the top is given, and the model's last state."""
    given: list[Tensor] = []
    layer = network.get_submodule(f"{top.description.layers}.{top.description.first}")
    handle = layer.register_forward_pre_hook(
        lambda _, args, kwargs: given.append((args[0] if args else kwargs["hidden_states"]).clone()), with_kwargs=True
    )
    with torch.no_grad():
        last = network(input_ids=ids, attention_mask=None if mask is None else mask.long()).last_hidden_state
    handle.remove()
    return given[0], last


@pytest.mark.parametrize("from_top", [1, 2, LAYERS])
@pytest.mark.parametrize("kind", FAMILIES)
def test_the_layers_alone_give_what_the_whole_model_gives(kind: str, from_top: int) -> None:
    """In evaluation and in training without dropout, before and after a state went from one to another. While they are
    trained, sparse routers draw."""
    network = network_like(kind)
    top = Top.parse(cut(network, from_top).content, "top")
    ids, mask = batch(40, seed=2)
    states, expected = run(network, top, ids, mask)
    made = built(top)
    other = TopNetwork(top.description, dropout=0.0).train(kind not in SPARSE)
    with torch.no_grad():
        assert off(made(states, mask), expected, mask) < TOLERANCE
        other.load_state_dict(made.state_dict())
        assert off(other(states, mask), expected, mask) < TOLERANCE


@pytest.mark.parametrize("kind", SPARSE)
def test_experts_that_the_probe_did_not_choose_are_in_the_top(kind: str) -> None:
    network = network_like(kind)
    top = cut(network, 2)
    prefix = f"{top.description.layers}."
    kept = tuple(f"{prefix}{place}." for place in range(1, LAYERS))
    wanted = {name for name, _ in network.named_parameters() if name.startswith(kept)}
    assert len([name for name in wanted if "expert" in name]) >= 2 * 32
    assert wanted <= {*top.description.parameters}
    ids, mask = batch(200, seed=3)  # of many tokens, of which some choose those
    states, expected = run(network, top, ids, mask)
    with torch.no_grad():
        assert off(built(top)(states, mask), expected, mask) < TOLERANCE


def test_parameters_that_no_run_uses_are_not_in_the_top() -> None:
    """LUKE's layers have projections for entities, of which there are none. The digest does not count them."""
    from transformers import LukeConfig

    network = network_of(LukeConfig(**_TEXT, entity_vocab_size=10, entity_emb_size=16), std=0.15)
    network.pooler = None
    top = cut(network, 1)
    assert [name for name in network.state_dict() if "layer.2.attention.self.w2e_query" in name]
    assert [name for name in top.tensors if "w2e_query" in name and name in top.description.parameters] == []


def rotary_conformer() -> nn.Module:
    config = tiny_speech("wav2vec2-conformer", position_embeddings_type="rotary")
    network: nn.Module = network_of(config, std=0.1).encoder
    network.config = config  # type: ignore[assignment]
    return network


def raising(*_: Any) -> Any:
    raise RuntimeError("not yet")


class TestWhatARunLeaves:
    """A conformer keeps the rotations of its last length, a recurrent layer its last state."""

    @staticmethod
    def conformer() -> tuple[nn.Module, Top]:
        network = rotary_conformer()
        frames = torch.randn(1, 12, 32, generator=torch.Generator().manual_seed(1))
        top = cut_top(network, "frames", 2, frames, None, model="conformer", tolerance=TOLERANCE)
        return network, top

    @staticmethod
    def recurrent() -> tuple[nn.Module, Top]:
        network = network_like("recurrent_gemma")
        return network, cut(network, 2)

    @pytest.mark.parametrize("kind", ["conformer", "recurrent"])
    def test_is_in_no_state_and_in_no_copy(self, kind: str) -> None:
        network, top = getattr(self, kind)()
        left = {f"{name}.{key}" for name, module in network.named_modules() for key, value in vars(module).items()
                if isinstance(value, Tensor)}  # fmt: skip
        assert left
        assert left.isdisjoint(top.tensors)
        assert not [item for module in network.modules() for item in vars(module).values()
                    if isinstance(item, Tensor) and item.requires_grad]  # fmt: skip
        made = built(top).train()
        before = {name: value.shape for name, value in made.state_dict().items()}
        for size in (7, 12, 30):
            made(torch.randn(1, size, 32)).sum().backward()
            twin = copy.deepcopy(made)
            twin.load_state_dict(made.state_dict())
            assert {name: value.shape for name, value in twin.state_dict().items()} == before
        again = TopNetwork(top.description)
        again.load_state_dict(made.state_dict())
        with torch.no_grad():
            assert off(made.eval()(states := torch.randn(1, 9, 32)), again.eval()(states), None) < TOLERANCE

    @pytest.mark.parametrize("kind", ["conformer", "recurrent"])
    def test_is_dropped_although_an_earlier_run_raised(self, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
        _, top = getattr(self, kind)()
        made = built(top)
        monkeypatch.setattr("features.top.network.call", raising)
        with pytest.raises(RuntimeError, match="not yet"):
            made(torch.randn(1, 9, 32))
        monkeypatch.undo()
        made(torch.randn(1, 9, 32))
        assert [item for module in made.network.modules() for item in vars(module).values()
                if isinstance(item, Tensor)] == []  # fmt: skip

    def test_is_dropped_from_tops_that_have_it(self) -> None:
        """As they were cut before."""
        _, top = self.conformer()
        name = "embed_positions.cached_rotary_positional_embedding"
        kept = torch.randn(2, 12, 1, 1, 8)
        buffers = top.description.buffers | {name: ["float32", [*kept.shape]]}
        old = Top(replace(top.description, buffers=buffers), top.tensors | {name: kept})
        made, states = built(old), torch.randn(1, 9, 32)
        assert f"network.{name}" not in made.state_dict()
        with torch.no_grad():
            assert torch.equal(made(states), built(top)(states))

    def test_a_mode_that_a_run_changes_is_that_of_the_network(self) -> None:
        """BigBird's first window of at most 704 tokens ends its sparse attention, for longer ones, too."""
        network: Any = network_like("big_bird")
        for from_top in (1, LAYERS):
            top = cut(network, from_top)
            assert (network.config.attention_type, top.description.config["attention_type"]) == (
                "block_sparse",
                "original_full",
            )
            ids, _ = batch(800, seed=4)
            states, expected = run(network, top, ids[:1], None)
            with torch.no_grad():
                assert off(built(top)(states), expected, None) < TOLERANCE

    def test_a_mode_that_only_a_later_run_changes_is_refused(self) -> None:
        """The same with small blocks: the probe of 24 tokens is sparse, a window of 15 would end it."""
        from transformers import BigBirdConfig

        network = network_of(BigBirdConfig(**_TEXT, block_size=2, num_random_blocks=1), std=0.15)
        network.pooler = None
        with pytest.raises(UsageError, match="'big_bird' cannot be cut: a run changes its attention_type: leave"):
            cut(network, LAYERS)


REFUSED: dict[str, tuple[dict[str, Any], int, str, str]] = {
    "rwkv": (
        {"hidden_size": 32, "num_hidden_layers": LAYERS, "attention_hidden_size": 32, "vocab_size": 60},
        2,
        "rwkv",
        "AttributeError: 'Passed' object has no attribute 'attention')",
    ),
    "xmod": (
        _TEXT | {"languages": ["en_XX"], "default_language": "en_XX"},
        2,
        "xmod",
        "AttributeError: 'Passed' object has no attribute 'output')",
    ),
    "t5gemma": (
        {"encoder": _CAUSAL, "decoder": _CAUSAL, "vocab_size": 60},
        2,
        "t5_gemma_module",
        "ValueError: Unrecognized conf",
    ),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_cannot_be_cut_is_refused_in_one_plain_sentence(kind: str) -> None:
    from transformers import AutoConfig

    sizes, from_top, said, cause = REFUSED[kind]
    network = network_of(AutoConfig.for_model(kind, **sizes), std=0.15)
    if network.config.is_encoder_decoder:
        network = network.get_encoder()
    network.config.use_cache = False
    with pytest.raises(UsageError) as raised:
        cut(network, from_top)
    told = str(raised.value)
    assert told.startswith(f"from_top={from_top}: model {said!r} cannot be cut: the layers of model type {said!r} do ")
    assert f"do not run alone ({cause}" in told
    assert told.endswith("), so a head cannot train them from the store: leave from_top out")
    assert "\n" not in told


def test_an_infinite_setting_that_is_not_the_types_own_is_refused() -> None:
    """A file holds none; the type's own come from transformers again."""
    network = copy.deepcopy(network_like("mamba2"))
    assert "time_step_limit" not in cut(network, 1).description.config
    network.config.time_step_limit = (0.1, float("inf"))  # type: ignore[union-attr]
    with pytest.raises(UsageError, match=r"do not run alone .*the config's time_step_limit is infinite"):
        cut(network, 1)


FULL = [
    torch.OutOfMemoryError("CUDA out of memory"),
    RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory"),
]


@pytest.mark.parametrize("full", FULL, ids=["device", "cuBLAS", "machine"])
def test_memory_that_runs_out_is_no_refusal(monkeypatch: pytest.MonkeyPatch, full: Exception) -> None:
    def out_of_memory(*_: Any) -> Any:
        raise full

    monkeypatch.setattr("features.top.cut.prove", out_of_memory)
    with pytest.raises(type(full)) as raised:
        cut(network_like("deberta"), 1)
    assert raised.value is full


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("kind", [*SPARSE, "conformer"])
def test_a_network_that_ran_in_inference_mode_can_be_cut(kind: str, dtype: torch.dtype) -> None:
    """As it runs while its promises are tried: some keep tensors of that run, or recast their weights in it."""
    if kind == "conformer":
        network = rotary_conformer().to(dtype)
        given: Tensor = torch.randn(1, 12, 32, generator=torch.Generator().manual_seed(1)).to(dtype)
        mask = None
    else:
        network = copy.deepcopy(network_like(kind)).to(dtype)
        given, mask = batch(24)
    entrance: Any = "frames" if kind == "conformer" else "tokens"
    with torch.inference_mode():
        call(network, entrance, given, mask)
    tolerance = TOLERANCE if dtype == torch.float32 else 0.1
    top = cut_top(network, entrance, 2, given, mask, model=kind, tolerance=tolerance)
    built(top)


@pytest.mark.parametrize("kind", ["bert", "roberta", "deberta-v2", "gpt2", "t5"])
def test_no_token_that_stands_for_the_states_is_padding(kind: str) -> None:
    """transformers would ask for a mask, which is there."""
    top = whole(kind).cut(2)
    network, ids = built(top), []
    network.network.register_forward_pre_hook(lambda _, args, kwargs: ids.append(kwargs["input_ids"]), with_kwargs=True)
    network(torch.zeros(2, 5, 32))
    assert len(ids) == 1
    assert network.network.config.pad_token_id not in ids[0].unique().tolist()


class TestAutocast:
    @pytest.mark.parametrize("mask", [None, torch.tensor([[True] * 9, [True] * 4 + [False] * 5])])
    def test_layers_that_raise_in_it_run_without(self, mask: Tensor | None) -> None:
        """DeBERTa's first version fills scores in bfloat16 with float32's least number."""
        network = built(cut(network_like("deberta"), 2), dropout=0.0).train()
        states = torch.randn(2, 9, 32)
        with torch.autocast("cpu", torch.bfloat16):
            found = network(states, mask)
            found.square().mean().backward()
        assert network.training
        assert found.dtype == torch.float32
        assert torch.equal(found, network(states, mask))
        assert all(value.grad is not None for value in network.parameters())

    @pytest.mark.parametrize("kind", ["bert", "deberta-v2", "wavlm"])
    def test_others_run_in_it_and_learn_as_without_the_trial(self, kind: str) -> None:
        top = whole(kind).cut(2)
        states = torch.randn(2, 9, 32)
        grads = []
        for tried in (False, True):
            network = TopNetwork(top.description).train()
            network.load(top.tensors)
            network._runs_rounded = None if tried else True
            torch.manual_seed(3)
            with torch.autocast("cpu", torch.bfloat16):
                network(states).float().square().mean().backward()
            assert network._runs_rounded is True
            grads.append([value.grad for value in network.parameters()])
        for first, second in zip(*grads, strict=True):
            assert first is not None
            assert torch.equal(first, second)

    @pytest.mark.parametrize("error", [*FULL, RuntimeError("CUDA error: an illegal memory access")])
    def test_what_has_to_do_with_no_rounding_is_no_reason(
        self, monkeypatch: pytest.MonkeyPatch, error: Exception
    ) -> None:
        network = built(whole("bert").cut(1))

        def failing(*_: Any) -> Any:
            raise error

        monkeypatch.setattr("features.top.network.call", failing)
        with torch.autocast("cpu", torch.bfloat16), pytest.raises(type(error)) as raised:
            network(torch.zeros(1, 3, 32))
        assert raised.value is error
        assert network._runs_rounded is None
