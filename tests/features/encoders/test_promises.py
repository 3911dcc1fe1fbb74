"""What is tried of a model when it is loaded: again the same bits, the same beside others, and a batch that runs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny_bert import write_tiny_bert
from tiny_models import SIZES, TEXTS, tiny_config, write_model
from tiny_speech import write_tiny_speech

from features.encoders.build import create
from features.encoders.promises import TOLERANCES, check_promises, relative_difference
from features.encoders.protocol import EncoderRequest
from features.encoders.text.text_network import TextNetwork
from features.encoders.visual.vision_models import load_backbone
from features.errors import UsageError, WeightsError

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_bert(tmp_path_factory.mktemp("promises") / "bert")


def with_tokenizer(folder: Path, bert: Path, config: Any) -> str:
    for name in ("tokenizer.json", "tokenizer_config.json"):
        folder.mkdir(exist_ok=True)
        (folder / name).write_bytes((bert / name).read_bytes())
    write_model(folder, config)
    return str(folder)


def test_a_model_that_hides_patches_at_random_is_refused(tmp_path: Path) -> None:
    from transformers import ViTImageProcessor, ViTMAEConfig

    write_model(tmp_path, ViTMAEConfig(**SIZES, image_size=32, patch_size=8))
    ViTImageProcessor(size={"height": 32, "width": 32}).save_pretrained(tmp_path)
    with pytest.raises(WeightsError, match=r"model '.*' draws random numbers as it runs, .* differ by .*: nothing"):
        load_backbone(str(tmp_path), "pretrained")
    with pytest.raises(WeightsError, match="draws random numbers as it runs"):
        load_backbone(str(tmp_path), "pretrained", "bf16")


@pytest.mark.parametrize("dtype", ["fp32", "bf16"])
def test_a_text_model_that_reads_its_padding_is_refused(
    bert: Path, monkeypatch: pytest.MonkeyPatch, dtype: str
) -> None:
    run = TextNetwork._run
    monkeypatch.setattr(
        TextNetwork, "_run", lambda text, ids, attended, states: run(text, ids, torch.ones_like(ids), states)
    )
    with pytest.raises(WeightsError, match=r"beside a longer one another result, off by .*: it reads its padding"):
        create(EncoderRequest("sentence", {}, model=str(bert), dtype=dtype))


@pytest.mark.parametrize("kind", TEXTS)
def test_families_that_keep_the_promises_are_taken(tmp_path: Path, bert: Path, kind: str) -> None:
    """XLNet, too, whose config says -1 positions: no limit."""
    model = with_tokenizer(tmp_path / "model", bert, tiny_config(kind, vocab_size=200))
    encoder = create(EncoderRequest("sentence", {"layers": "-1"}, model=model, dtype="bf16"))
    assert encoder.spec.settings["max_tokens"] == 64


def test_a_text_model_with_dropout_in_evaluation_is_refused(bert: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    forward = torch.nn.LayerNorm.forward

    def noisy(layer: torch.nn.LayerNorm, values: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.dropout(forward(layer, values), 0.01, training=True)

    monkeypatch.setattr(torch.nn.LayerNorm, "forward", noisy)
    with pytest.raises(WeightsError, match="draws random numbers as it runs"):
        create(EncoderRequest("sentence", {}, model=str(bert)))


def test_a_speech_model_that_draws_or_mixes_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from features.encoders.audio import speech_models

    folder = str(write_tiny_speech(tmp_path / "batch-norm", "hubert-batch-norm"))
    create(EncoderRequest("wav2vec2", {}, model=folder))
    with monkeypatch.context() as patch:
        patch.setattr(speech_models, "_is_masked", lambda network: True)  # as if it could run in padded batches
        with pytest.raises(WeightsError, match="beside a longer one another result"):
            create(EncoderRequest("wav2vec2", {}, model=folder))
    gelu = torch.nn.functional.gelu
    monkeypatch.setattr(torch.nn.functional, "gelu", lambda values: gelu(values + torch.rand(1)))
    with pytest.raises(WeightsError, match="draws random numbers as it runs"):
        create(EncoderRequest("wav2vec2", {}, model=folder))


def test_a_model_that_fails_on_a_batch_fails_when_it_is_loaded() -> None:
    def run(batch: Sequence[int]) -> list[torch.Tensor]:
        if len(batch) > 1:
            raise RuntimeError("shapes do not fit\nat all")
        return [torch.ones(3)]

    with pytest.raises(WeightsError, match=r"model 'm' cannot run a batch \(RuntimeError: shapes do not fit\): give"):
        check_promises(run, 1, 2, "m", "fp32")


@pytest.mark.parametrize("dtype", ["fp32", "bf16", "fp16"])
def test_rounding_is_within_what_is_promised_and_more_is_not(dtype: str) -> None:
    def run(batch: Sequence[float]) -> list[torch.Tensor]:
        return [torch.full((4,), 1.0 + (batch[1] if len(batch) > 1 else 0.0)) for _ in batch]

    check_promises(run, 0.0, 0.9 * TOLERANCES[dtype], "m", dtype)
    with pytest.raises(WeightsError, match="beside a longer one"):
        check_promises(run, 0.0, 1.1 * TOLERANCES[dtype], "m", dtype)


def test_a_difference_of_values_that_are_no_numbers() -> None:
    nan, one = torch.tensor([float("nan"), 1.0]), torch.tensor([2.0, 1.0])
    assert relative_difference(nan, nan) == 0
    assert relative_difference(nan, one) == float("inf")
    assert relative_difference(one, one * 1.5) == pytest.approx(1 / 3)


def test_longrope_is_refused_beyond_its_original_window(tmp_path: Path, bert: Path) -> None:
    """There a model such as Phi-3 takes its table of frequencies by the longest row of the batch."""
    factors = {"short_factor": [1.0] * 4, "long_factor": [4.0, 3.0, 2.0, 1.5]}
    rope = factors | {"rope_type": "longrope", "rope_theta": 10000.0, "original_max_position_embeddings": 32}
    config = tiny_config("phi3", vocab_size=200, max_position_embeddings=64, rope_parameters=rope)
    config.original_max_position_embeddings = 32
    model = with_tokenizer(tmp_path / "phi3", bert, config)
    message = r"max_tokens=33 is more than the 32 tokens that the model takes \(longrope: beyond its original window"
    with pytest.raises(UsageError, match=message):
        create(EncoderRequest("sentence", {"layers": "-1", "max_tokens": 33}, model=model))
    encoder = create(EncoderRequest("sentence", {"layers": "-1", "pooling": "mean"}, model=model))
    assert encoder.spec.settings["max_tokens"] == 32
    text = encoder._text  # type: ignore[attr-defined]
    short, longest, beyond = (np.arange(5, 5 + size) for size in (20, 32, 33))

    def change(beside: np.ndarray) -> float:
        (alone,), (state,) = text.hidden_states([short], [-1]), text.hidden_states([short, beside], [-1])
        return relative_difference(state[0, : len(short)], alone[0])

    assert change(longest) < 1e-5
    assert change(beyond) > 1e-3, "else there was nothing to refuse"
