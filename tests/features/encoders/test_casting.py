"""Half precision as a model's own loading has it: dtypes, values, and parity where attention is peaked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from parity import error_energy
from tiny_models import WORDS, tiny_config, write_model

from features.encoders.loading import architecture, load_model

pytestmark = pytest.mark.usefixtures("one_thread")

DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": torch.float32}
ROTARY = ["llama", "qwen3", "gpt-neox", "gemma", "modernbert"]
KEEPING = [*ROTARY, "gemma2", "gemma3", "mistral", "phi3", "falcon", "gptj", "dinov3", "conformer-rotary"]
"""Families that keep something in fp32 when they are loaded in bf16."""
WHOLLY = ["gpt2", "bert", "roberta", "bloom", "t5", "clip-vision", "swin", "resnet", "wav2vec2", "wavlm"]


def tensors(network: Any) -> dict[str, torch.Tensor]:
    return dict(network.named_parameters()) | dict(network.named_buffers())


def reference(folder: Path, dtype: torch.dtype) -> Any:
    from transformers import AutoModel

    model = AutoModel.from_pretrained(folder, dtype=dtype).eval()
    return model.get_encoder() if model.config.is_encoder_decoder else model


def states(network: Any, ids: torch.Tensor) -> np.ndarray:
    """The last hidden states of all tokens, [n, w]."""
    with torch.inference_mode():
        hidden = network(input_ids=ids, attention_mask=torch.ones_like(ids)).last_hidden_state
    return np.asarray(hidden.float().reshape(-1, hidden.shape[-1]))


@pytest.mark.parametrize("dtype", ["bf16", "fp16"])
@pytest.mark.parametrize("kind", KEEPING + WHOLLY)
def test_every_tensor_has_the_dtype_and_value_of_the_models_own_loading(tmp_path: Path, kind: str, dtype: str) -> None:
    write_model(tmp_path, tiny_config(kind))
    ours, theirs = tensors(load_model(tmp_path, dtype=dtype)[0]), tensors(reference(tmp_path, DTYPES[dtype]))
    shared = ours.keys() & theirs.keys()
    apart = {name for name in ours.keys() ^ theirs.keys() if not name.startswith(("pooler", "masked_spec_embed"))}
    assert all("pos_conv_embed" in name for name in apart), "a weight norm is worked out; else nothing is left out"
    assert {name: ours[name].dtype for name in shared} == {name: theirs[name].dtype for name in shared}
    assert all(torch.equal(ours[name], theirs[name]) for name in shared)
    kept = {name for name, tensor in ours.items() if tensor.dtype == torch.float32}
    assert bool(kept) == (kind in KEEPING or (kind, dtype) == ("t5", "fp16")), kept


@pytest.mark.parametrize("dtype", ["bf16", "fp16", "fp32"])
@pytest.mark.parametrize("kind", ["gemma", "llama", "modernbert"])
def test_a_checkpoint_in_half_precision_is_loaded_as_its_own_loading_does(
    tmp_path: Path, kind: str, dtype: str
) -> None:
    """Gemma scales its embeddings by a buffer that is made in the dtype of loading: rounded once, it stays so."""
    write_model(tmp_path, tiny_config(kind), torch.bfloat16)
    ours, theirs = tensors(load_model(tmp_path, dtype=dtype)[0]), tensors(reference(tmp_path, DTYPES[dtype]))
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    assert load_model(tmp_path, dtype=dtype)[1] == load_model(tmp_path)[1], "the digest is the checkpoint's"


@pytest.mark.parametrize("kind", ROTARY)
def test_peaked_attention_in_bf16_is_no_worse_than_hugging_faces_own(tmp_path: Path, kind: str) -> None:
    changes = {"hidden_size": 64, "max_position_embeddings": 512, "initializer_range": 0.05}
    write_model(tmp_path, tiny_config(kind, **changes), peaked=8.0)
    ids = torch.from_numpy(np.random.default_rng(0).integers(3, WORDS, size=(8, 200)))
    exact = states(reference(tmp_path, torch.float32), ids)
    theirs = error_energy(states(reference(tmp_path, torch.bfloat16), ids), exact)
    ours = error_energy(states(load_model(tmp_path, dtype="bf16")[0], ids), exact)
    plain = error_energy(states(load_model(tmp_path)[0].to(torch.bfloat16), ids), exact)
    assert ours <= 1.05 * theirs
    assert plain != ours
    if kind == "llama":
        assert plain > 1.5 * theirs, "else this input would prove nothing"


def test_xlnet_runs_in_bf16_though_hugging_faces_own_does_not(tmp_path: Path) -> None:
    """Its parameters are made in fp32 beside layers in bf16, and nothing casts between them."""
    write_model(tmp_path, tiny_config("xlnet"))
    ids = torch.from_numpy(np.random.default_rng(0).integers(3, WORDS, size=(4, 20)))
    exact = states(load_model(tmp_path, dtype="fp32")[0], ids)
    assert error_energy(states(load_model(tmp_path, dtype="bf16")[0], ids), exact) < 0.01
    with pytest.raises(RuntimeError, match=r"dtype|type"):
        states(reference(tmp_path, torch.bfloat16), ids)


def test_only_where_the_numbers_change_the_spec_says_so(tmp_path: Path) -> None:
    for kind, dtype, says in [
        ("llama", "fp32", False),
        ("llama", "bf16", True),
        ("bert", "bf16", False),
        ("wav2vec2", "fp16", False),
        ("t5", "bf16", False),
        ("t5", "fp16", True),
    ]:
        folder = write_model(tmp_path / f"{kind}-{dtype}", tiny_config(kind))
        assert ("casting" in architecture(load_model(folder, dtype=dtype)[0].config)) == says, (kind, dtype)  # type: ignore[arg-type]
        assert ("casting" in architecture(load_model(folder, "random", dtype=dtype)[0].config)) == says  # type: ignore[arg-type]
    half = write_model(tmp_path / "half", tiny_config("gemma"), torch.bfloat16)
    assert "casting" in architecture(load_model(half, dtype="fp32")[0].config), "its buffers are no longer rounded"
