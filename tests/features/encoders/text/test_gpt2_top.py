"""`gpt2` with from_top: a dialogue's window goes on over its turns, and the layers above give `gpt2`'s own states."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from parity import FP32_TOLERANCE, relative_error
from tiny_bert import dialogue
from tiny_gpt2 import WIDTH, write_tiny_gpt2

from features.cards import DatasetCard
from features.encoders.build import create
from features.encoders.protocol import Encoder, EncoderRequest, top_of
from features.encoders.text.gpt2 import _turns_of
from features.encoders.text.prompt_windows import PromptWindow
from features.errors import Reason, UsageError
from features.extract import extract_features
from features.manifest import build_manifest, frame_of
from features.store import Store
from features.top.network import TopNetwork
from features.utterances import Dialogue

pytestmark = pytest.mark.usefixtures("one_thread")

TURNS = st.tuples(st.sampled_from(["Ross", ""]), st.sampled_from(["Hi", " ", "oh my god", "why?\nwhy not " * 4, ""]))
LINES = st.lists(TURNS, min_size=1, max_size=7)
WINDOWS = (256, 90, 40)


@pytest.fixture(scope="module")
def gpt2(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(write_tiny_gpt2(tmp_path_factory.mktemp("gpt2") / "tiny"))


@pytest.fixture(scope="module")
def pairs(gpt2: str) -> dict[int, tuple[Encoder, Encoder]]:
    """For each size of the window: with from_top=2, and plain."""
    return {size: (_encoder(gpt2, from_top=2, max_tokens=size), _encoder(gpt2, max_tokens=size)) for size in WINDOWS}


def _encoder(model: str | Path, dtype: str = "fp32", **values: Any) -> Encoder:
    return create(EncoderRequest("gpt2", values, model=str(model), dtype=dtype))


def _embed(encoder: Encoder, *dialogues: Dialogue) -> list[Any]:
    return encoder.encode([encoder.prepare(item) for item in dialogues])


def _network(encoder: Encoder) -> TopNetwork:
    top = top_of(encoder)
    assert top is not None
    network = TopNetwork(top.description).eval()
    network.load(top.tensors)
    return network


def at_last_tokens(network: TopNetwork, turns: list[np.ndarray]) -> dict[int, np.ndarray]:
    """The top's state at each turn's last token, of one dialogue's elements: whole windows, one by one.

    It knows of them what is stored, and nothing else.
    """
    windows: list[list[int]] = []
    for turn, elements in enumerate(turns):
        if len(elements) and elements[0, -1]:
            windows.append([])
        if len(elements):
            windows[-1].append(turn)
    found = {}
    for window in windows:
        states = np.concatenate([turns[turn] for turn in window])
        assert states[:, -1].tolist() == [1.0, *[0.0] * (len(states) - 1)]
        with torch.no_grad():
            last = network(torch.from_numpy(states[None, :, :-2].copy()))[0].numpy()
        places = np.cumsum([len(turns[turn]) for turn in window]) - 1
        found |= {turn: last[place] for turn, place in zip(window, places, strict=True)}
    return found


@settings(max_examples=25, deadline=None)
@given(drawn=st.lists(LINES, min_size=1, max_size=3), size=st.sampled_from(WINDOWS))
def test_the_layers_above_give_every_turn_what_gpt2_gives(
    pairs: dict[int, tuple[Encoder, Encoder]], drawn: list[list[tuple[str, str]]], size: int
) -> None:
    below, whole = pairs[size]
    network = _network(below)
    dialogues = [dialogue(*lines, name=f"d{number}") for number, lines in enumerate(drawn)]
    elements, expected = _embed(below, *dialogues), _embed(whole, *dialogues)
    for item, own, states in zip(dialogues, elements, expected, strict=True):
        found = at_last_tokens(network, own)
        wanted = [turn for turn, utterance in enumerate(item.utterances) if utterance.text.strip()]
        assert sorted(found) == wanted
        if wanted:
            ours = np.stack([found[turn] for turn in wanted])
            assert relative_error(ours, states[wanted]) < FP32_TOLERANCE


@settings(max_examples=40, deadline=None)
@given(lines=LINES, size=st.sampled_from(WINDOWS))
def test_the_turns_of_a_window_end_to_end_are_its_ids(
    pairs: dict[int, tuple[Encoder, Encoder]], lines: list[tuple[str, str]], size: int
) -> None:
    """With each token's id in place of its state; and just the turn's own piece is pooled."""
    prepare: Any = pairs[size][0].prepare
    item = dialogue(*lines)
    pieces = prepare._pieces(item)
    for window in prepare(item).value.windows:
        turns = _turns_of(window, window.ids[:, None].astype(np.float32))
        joined = np.concatenate(turns)
        assert joined[:, 0].tolist() == window.ids.tolist()
        assert joined[:, 2].tolist() == [1.0, *[0.0] * (len(joined) - 1)]
        for turn, own in zip(window.turns.tolist(), turns, strict=True):
            kept = min(len(pieces[turn]), prepare.room)
            assert own[own[:, 1] == 1, 0].tolist() == pieces[turn][-kept:]
            assert own[len(own) - kept :, 1].all()


def test_mutants_are_seen_to_fail(pairs: dict[int, tuple[Encoder, Encoder]]) -> None:
    below, whole = pairs[256]
    item = dialogue(("Ross", "Hi"), ("Joey", " "), ("Monica", "oh my god"), ("Ross", "no"))
    network = _network(below)
    (elements,), (states,) = _embed(below, item), _embed(whole, item)
    wanted = [0, 2, 3]

    def error(turns: list[np.ndarray]) -> float:
        found = at_last_tokens(network, turns)
        return relative_error(np.stack([found[turn] for turn in wanted]), states[wanted])

    assert error(elements) < FP32_TOLERANCE
    apart = [each.copy() for each in elements]
    for each in apart:
        each[:1, -1] = 1  # each turn a window of its own: the past is lost
    assert error(apart) > 1000 * FP32_TOLERANCE
    unpooled = [each[each[:, -2] == 1] for each in elements]  # what is said on blank turns is lost
    unpooled[0][0, -1] = 1
    assert error(unpooled) > 100 * FP32_TOLERANCE


def test_a_token_put_before_texts_stands_in_the_first_turn_alone(tmp_path: Path, gpt2: str) -> None:
    from tokenizers.processors import TemplateProcessing
    from transformers import AutoTokenizer

    folder = write_tiny_gpt2(tmp_path / "gpt2")
    tokenizer = AutoTokenizer.from_pretrained(folder)
    end = "<|endoftext|>"
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
        single=f"{end} $A", special_tokens=[(end, tokenizer.convert_tokens_to_ids(end))]
    )
    tokenizer.save_pretrained(folder)
    below, whole = _encoder(folder, from_top=1), _encoder(folder)
    item = dialogue(("Ross", "Hi"), ("Monica", "oh my god"))
    (elements,), (states,) = _embed(below, item), _embed(whole, item)
    assert (elements[0][0, -2:].tolist(), elements[0][1, -2:].tolist()) == ([0.0, 1.0], [1.0, 0.0])
    found = at_last_tokens(_network(below), elements)
    assert relative_error(np.stack([found[0], found[1]]), states) < FP32_TOLERANCE


def test_a_state_beyond_float16_leaves_no_gap_in_a_window() -> None:
    ids, turns = np.arange(6, dtype=np.int32), np.array([0, 1, 2])
    window = PromptWindow(ids, turns, np.array([1, 3, 5]), np.array([0, 2, 4]))
    states = np.ones((6, 3), np.float32)
    states[2, 1] = 70000.0
    first, second, third = _turns_of(window, states)
    assert np.isfinite(first).all()
    assert np.isnan(second).any()
    assert np.isnan(third).all(), "its window would lack what the second turn says"
    states[2, 1] = 65504.0
    assert np.isfinite(np.concatenate(_turns_of(window, states))).all()


def test_where_memory_runs_out_windows_are_split_and_none_is_lost(
    pairs: dict[int, tuple[Encoder, Encoder]], monkeypatch: pytest.MonkeyPatch
) -> None:
    below = pairs[40][0]
    item = dialogue(("Ross", "Hi"), ("Monica", "oh my god"), ("Ross", "why not"))
    (whole,) = _embed(below, item)
    elements = below._elements  # type: ignore[attr-defined]

    def narrow(windows: Any) -> Any:
        if len(windows) > 1:
            raise torch.OutOfMemoryError("no room")
        return elements(windows)

    monkeypatch.setattr(below, "_elements", narrow)
    (again,) = _embed(below, item)
    assert [len(each) for each in again] == [len(each) for each in whole]
    assert relative_error(np.concatenate(again), np.concatenate(whole)) < FP32_TOLERANCE


def test_the_spec_and_what_is_refused(gpt2: str) -> None:
    encoder = _encoder(gpt2, from_top=2)
    spec = encoder.spec
    assert (spec.kind, spec.shape, spec.stored_dtype, spec.depends) == (
        *("sequence", (WIDTH + 2,), "float16", "dialogue"),
    )
    assert set(spec.settings) == {"from_top", "top", "windows", "max_tokens", "tokenizer", "architecture"}
    assert (spec.from_top, spec.settings["windows"]) == (2, "dialogue")
    assert _encoder(gpt2, from_top=0).spec == _encoder(gpt2).spec
    assert (_encoder(gpt2).spec.kind, _encoder(gpt2).spec.from_top) == ("vector", 0)
    with pytest.raises(UsageError, match="has 3 layers: give 1 to 3"):
        _encoder(gpt2, from_top=4)
    with pytest.raises(UsageError, match="leave layer=-2 out"):
        _encoder(gpt2, from_top=1, layer="-2")
    with pytest.raises(UsageError, match="no setting 'from_top' with --as-published"):
        create(EncoderRequest("gpt2", {"from_top": 1}, model=gpt2, as_published=True))


def test_its_view_shows_what_is_pooled(gpt2: str) -> None:
    prepare: Any = _encoder(gpt2, from_top=1).prepare
    item = dialogue(("Ross", "Hi"), ("Monica", "oh"))
    view = prepare.view(item, prepare(item), 1)
    assert [token.part == "own" for token in view.tokens] == [token.read for token in view.tokens]
    assert "The states of all tokens are kept" in view.note


def test_stored_and_read_back_a_dialogue_goes_on_over_its_turns(gpt2: str, tmp_path: Path) -> None:
    texts = ["Hi", "", "oh my god", "why?\nwhy not " * 8, "no"]
    rows = [
        {"utterance_id": f"d{d}_utt{n}", "dataset": "toy", "split": "train", "dialogue_id": f"d{d}", "turn": n}
        | {"speaker": "Ross", "text": text}
        for d in range(3)
        for n, text in enumerate(texts)
    ]
    manifest = build_manifest(frame_of(rows), DatasetCard("toy"))
    encoder, whole = _encoder(gpt2, from_top=2, max_tokens=120), _encoder(gpt2, max_tokens=120)
    (job,) = extract_features(manifest, tmp_path, [encoder])
    assert job.reasons == {None: 12, Reason.NO_TEXT: 3}
    (feature,) = Store(tmp_path).features()
    top = feature.read_top()
    network = TopNetwork(top.description).eval()
    network.load(top.tensors)
    stored = feature.read_sequences(manifest.ids[:5])
    turns = [np.zeros((0, WIDTH + 2), np.float32) if row is None else row.astype(np.float32) for row in stored]
    found = at_last_tokens(network, turns)
    assert sorted(found) == [0, 2, 3, 4]
    (states,) = _embed(whole, next(manifest.dialogues()))
    assert relative_error(np.stack([found[turn] for turn in found]), states[list(found)]) < 5e-3
