"""`wav2vec2` with from_top: frames below the top, whose layers give what the whole model gives, window by window."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from parity import FP32_TOLERANCE, relative_error
from tiny_speech import KINDS, LAYERS, LONE_KINDS, MASKED_KINDS, WIDTH, clip_of, voice, write_tiny_speech

from features.encoders.build import create
from features.encoders.layers import Layers
from features.encoders.protocol import Encoder, EncoderRequest, top_of
from features.errors import UsageError
from features.top.network import TopNetwork

CUT = [kind for kind in KINDS if kind not in ("wav2vec2-adapter", "sew")]
WINDOW = 6400  # samples; 30 s would take long
SOUNDS = (voice(9000, 1), voice(3000, 2), voice(2 * WINDOW + 300, 3))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Any:
    made: dict[str, str] = {}

    def get(kind: str) -> str:
        if kind not in made:
            made[kind] = str(write_tiny_speech(tmp_path_factory.mktemp("speech") / kind, kind))
        return made[kind]

    return get


def _encoder(model: str, **values: Any) -> Encoder:
    encoder: Any = create(EncoderRequest("wav2vec2", values, model=model))
    encoder._window = encoder.prepare.__dict__["window"] = WINDOW
    return encoder


def _embed(encoder: Encoder) -> list[np.ndarray]:
    return encoder.encode([encoder.prepare(clip_of(encoder, sound)) for sound in SOUNDS])


def _whole(encoder: Any) -> list[np.ndarray]:
    """The last hidden state of the whole model, window by window, not rounded."""
    inputs = [encoder.prepare(clip_of(encoder, sound)) for sound in SOUNDS]
    windows = [encoder._windows(item) for item in inputs]
    rows = iter(encoder._model.embed(encoder._samples(inputs, windows), Layers((-1,)), "sequence"))
    return [np.concatenate([next(rows)[0].numpy() for _ in own]) for own in windows]


def _windows(elements: np.ndarray) -> list[np.ndarray]:
    starts = np.flatnonzero(elements[:, -1])
    assert starts[0] == 0
    return np.split(elements, starts[1:])


def _above(encoder: Encoder, elements: np.ndarray, padded: bool) -> np.ndarray:
    """The top's states over a clip's windows: as one padded batch, or one by one."""
    top = top_of(encoder)
    assert top is not None
    network = TopNetwork(top.description).eval()
    network.load(top.tensors)
    states = [torch.from_numpy(window[:, :-2].copy()) for window in _windows(elements)]
    with torch.no_grad():
        if not padded:
            return np.concatenate([network(state[None])[0].numpy() for state in states])
        mask = torch.nn.utils.rnn.pad_sequence([torch.ones(len(state)) for state in states], batch_first=True).bool()
        found = network(torch.nn.utils.rnn.pad_sequence(states, batch_first=True), mask)
        return found[mask].numpy()


@pytest.mark.parametrize("kind", CUT)
@pytest.mark.parametrize("from_top", [1, LAYERS])
def test_the_layers_above_give_the_whole_models_frames(folder: Any, kind: str, from_top: int) -> None:
    encoder = _encoder(folder(kind), from_top=from_top)
    top = top_of(encoder)
    assert top is not None
    assert top.description.padded == (kind in MASKED_KINDS)
    for elements, expected in zip(_embed(encoder), _whole(encoder), strict=True):
        assert (elements.dtype, elements.shape) == (np.float32, (len(expected), WIDTH + 2))
        assert elements[:, -2].all()
        for padded in {False, top.description.padded}:
            assert relative_error(_above(encoder, elements, padded), expected) < FP32_TOLERANCE
        assert relative_error(elements[:, :-2], expected) > 1000 * FP32_TOLERANCE, "a mutant: no layers above"


def test_a_window_begins_anew_and_is_not_seen_by_the_next(folder: Any) -> None:
    encoder = _encoder(folder("wav2vec2"), from_top=2)
    elements = _embed(encoder)
    assert [len(_windows(each)) for each in elements] == [2, 1, 3]
    joined = elements[2].copy()
    joined[1:, -1] = 0  # a mutant: one long window
    expected = _whole(encoder)[2]
    assert relative_error(_above(encoder, joined, False), expected) > 1000 * FP32_TOLERANCE


def test_the_spec_and_what_is_refused(folder: Any) -> None:
    model = folder("wav2vec2")
    spec = _encoder(model, from_top=2).spec
    assert (spec.kind, spec.shape, spec.stored_dtype) == ("sequence", (WIDTH + 2,), "float16")
    assert not {"pooling", "layers", "frame_rate"} & set(spec.settings)
    assert (spec.from_top, spec.settings["windows"]) == (2, "utterance")
    assert _encoder(model, from_top=0).spec == _encoder(model).spec
    assert "from_top" not in _encoder(model).spec.settings
    for values in ({"frame_rate": 10}, {"layers": "-1"}, {"pooling": "mean"}):
        (key,) = values
        with pytest.raises(UsageError, match=f"from_top=1 keeps the frames below its layers as they are: leave {key}"):
            _encoder(model, from_top=1, **values)
    assert _encoder(model, from_top=1, pooling="sequence").spec == _encoder(model, from_top=1).spec
    with pytest.raises(UsageError, match=f"has {LAYERS} layers: give 1 to {LAYERS}"):
        _encoder(model, from_top=LAYERS + 1)
    with pytest.raises(UsageError, match="no setting 'from_top' with --as-published"):
        create(EncoderRequest("wav2vec2", {"from_top": 1}, model=model, as_published=True))


@pytest.mark.parametrize(
    ("kind", "said"),
    [("wav2vec2-adapter", "it has an adapter behind its layers"), ("sew", "its layers do not stand apart")],
)
def test_models_that_cannot_be_cut_are_refused(folder: Any, kind: str, said: str) -> None:
    assert kind in LONE_KINDS
    with pytest.raises(UsageError, match=f"from_top=1: model .* cannot be cut: {said}"):
        _encoder(folder(kind), from_top=1)


def test_wavlm_is_cut_without_a_warning(folder: Any, recwarn: pytest.WarningsRecorder, tmp_path: Path) -> None:
    _encoder(folder("wavlm"), from_top=1)
    assert not [item for item in recwarn if "key_padding_mask" in str(item.message)]
