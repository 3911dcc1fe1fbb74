"""The fingerprint's part of a config: what changes the output is in it, what cannot matter is not."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch
from tiny_models import KINDS, PICTURES, SIZES, TEXTS, WORDS, tiny_config

from features.digests import canonical_json
from features.encoders.config_fields import config_fields
from features.encoders.loading import RANDOM_SEED, random_model

pytestmark = pytest.mark.usefixtures("one_thread")

_OFTEN = ("bert", "albert", "modernbert", "falcon", "gemma2", "vit", "wav2vec2")
_OTHER_WORDS = {"gelu": "relu", "relu": "gelu", "silu": "relu", "gelu_new": "relu", "gelu_pytorch_tanh": "relu"}
_OTHER_WORDS |= {"swish": "relu", "gelu_fast": "relu", "quick_gelu": "relu", "relative": "rotary"}


def others(value: Any) -> list[Any]:
    """Other values for a field."""
    match value:
        case bool():
            return [not value]
        case int():
            return [value + 1, value * 2] if value else [1]
        case float():
            return [value * 1.5 + 0.25]
        case None:
            return [1, 2, True]
        case str():
            return [_OTHER_WORDS[value]] if value in _OTHER_WORDS else []
    return []


def inputs(kind: str) -> dict[str, torch.Tensor]:
    random = np.random.default_rng(0)
    if kind in TEXTS:
        ids = torch.from_numpy(random.integers(3, WORDS, size=(2, 24)))
        return {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    if kind in PICTURES:
        return {"pixel_values": torch.from_numpy(random.normal(size=(2, 3, 32, 32)).astype(np.float32))}
    return {"input_values": torch.from_numpy(random.normal(size=(2, 2000)).astype(np.float32))}


def states(network: Any, kind: str) -> torch.Tensor:
    with torch.inference_mode():
        output = network(**inputs(kind), output_hidden_states=True)
    return torch.cat([output.last_hidden_state.flatten(), *(state.flatten() for state in output.hidden_states)])


def same_weights(config: Any, weights: dict[str, torch.Tensor]) -> Any:
    """A network of these weights, or None where the config is of others: the weights' digest tells that."""
    network, _ = random_model(config)
    own = network.state_dict()
    if own.keys() != weights.keys() or any(own[name].shape != weights[name].shape for name in own):
        return None
    network.load_state_dict(weights)
    return network


@pytest.mark.parametrize(
    "kind", [kind if kind in _OFTEN else pytest.param(kind, marks=pytest.mark.slow) for kind in KINDS]
)
def test_a_field_that_changes_the_output_changes_the_fingerprint(kind: str) -> None:
    config = tiny_config(kind)
    network, _ = random_model(config)
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(RANDOM_SEED)
        for weight in network.parameters():  # as initialised, biases and norms hide what they do
            weight.add_(torch.randn(weight.shape) * (0.3 if weight.ndim == 1 else 0.1))
    weights, before, recorded = network.state_dict(), states(network, kind), config_fields(config)
    mattered, missed = set(), []
    for field, value in config.to_dict().items():
        for other in others(value) if field != "model_type" else ():
            changed = copy.deepcopy(config)
            try:
                setattr(changed, field, other)
                another = same_weights(changed, weights)
                after = before if another is None else states(another, kind)
            except Exception:
                continue  # a value that its own code refuses
            if after.shape != before.shape or not torch.equal(after, before):
                mattered.add(field)
                if config_fields(changed) == recorded:
                    missed.append((field, value, other))
    assert missed == []
    assert mattered, "some field must have changed the output, else nothing was tried"


def test_the_fields_that_were_missed_once() -> None:
    for kind, field, value in [
        ("gemma2", "hidden_activation", "relu"),
        ("gemma2", "attn_logit_softcapping", 30.0),
        ("gemma2", "query_pre_attn_scalar", 144),
        ("modernbert", "norm_eps", 1e-3),
        ("falcon", "alibi", True),
        ("albert", "num_hidden_layers", 3),
        ("bart", "scale_embedding", True),
        ("roberta", "pad_token_id", 2),
    ]:
        assert config_fields(tiny_config(kind, **{field: value})) != config_fields(tiny_config(kind)), (kind, field)


def test_a_config_within_a_config_counts() -> None:
    import transformers

    def fields(**changes: Any) -> dict[str, Any]:
        text = SIZES | {"vocab_size": 50, "num_key_value_heads": 2, "head_dim": 8} | changes
        vision = SIZES | {"image_size": 32, "patch_size": 8}
        return config_fields(transformers.Gemma3Config(text_config=text, vision_config=vision))

    assert fields() == fields(attention_dropout=0.5, initializer_range=0.5)
    for change in ({"rms_norm_eps": 1e-3}, {"hidden_activation": "relu"}, {"sliding_window": 7}):
        assert fields(**change) != fields(), change


@pytest.mark.parametrize("kind", KINDS)
def test_what_cannot_matter_is_not_in_it(kind: str) -> None:
    plain = config_fields(tiny_config(kind))
    canonical_json(plain)
    noted = tiny_config(kind)
    for field, value in {
        "_name_or_path": "elsewhere",
        "transformers_version": "9.0.0",
        "architectures": ["Other"],
        "dtype": "bfloat16",
        "use_cache": False,
        "id2label": {0: "joy", 1: "anger"},
        "attention_dropout": 0.77,
        "bos_token_id": 5,
        "initializer_range": 0.5,
        "gradient_checkpointing": True,
        "no_mask_time_overlap": False,
        "top_k": 50,
    }.items():
        setattr(noted, field, value)
    assert config_fields(noted) == plain


def test_usual_models_have_nothing_beyond_the_fields_of_before() -> None:
    """So that the features that stores hold of them keep their fingerprint."""
    import transformers

    usual = [
        transformers.BertConfig(hidden_size=384, num_hidden_layers=6, intermediate_size=1536),
        transformers.RobertaConfig(vocab_size=50265, max_position_embeddings=514, type_vocab_size=1),
        transformers.DistilBertConfig(),
        transformers.GPT2Config(n_embd=1024, n_layer=24, n_head=16, n_ctx=1024, task_specific_params={"text": 1}),
        transformers.Wav2Vec2Config(mask_time_other=0.0, no_mask_time_overlap=False, hidden_dropout_prob=0.1),
        transformers.HubertConfig(hidden_size=1024, num_hidden_layers=24, num_attention_heads=16),
        transformers.WavLMConfig(),
        transformers.LlamaConfig(hidden_size=4096, num_key_value_heads=8, max_position_embeddings=8192),
        transformers.Qwen3Config(hidden_size=1024, num_hidden_layers=28, num_attention_heads=16, head_dim=128),
        transformers.ViTConfig(hidden_size=1024, num_hidden_layers=24, num_attention_heads=16),
        transformers.Dinov2Config(hidden_size=384, num_attention_heads=6),
        transformers.CLIPVisionConfig(add_cross_attention=False, pruned_heads={}, top_k=50, top_p=1.0),
    ]
    for config in usual:
        assert "config" not in config_fields(config), type(config).__name__


def test_the_number_of_positions_counts_where_frequencies_depend_on_it() -> None:
    longer = {"max_position_embeddings": 4096}
    assert config_fields(tiny_config("llama", **longer)) == config_fields(tiny_config("llama"))
    rope = {"rope_parameters": {"rope_type": "dynamic", "factor": 2.0, "rope_theta": 10000.0}}
    assert config_fields(tiny_config("llama", **rope, **longer)) != config_fields(tiny_config("llama", **rope))
