"""pooling=sequence of `wav2vec2` and `logmel`: frames are the model's, their mean is the pooled mean, rates keep it."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tiny_speech import RATE_HZ, WIDTH, clip_of, voice, write_tiny_speech

from features.encoders.audio import wav2vec2
from features.encoders.audio.frame_rate import at_rate
from features.encoders.audio.logmel import NAMES, logmel_statistics
from features.encoders.audio.logmel_frames import FRAME_NAMES, analyse
from features.encoders.build import create
from features.encoders.protocol import EncoderRequest
from features.errors import UsageError

pytestmark = pytest.mark.usefixtures("one_thread")

LENGTHS = (20001, 400, 9000, 3200, 16000)
VOICES = [voice(length, seed) for seed, length in enumerate(LENGTHS)]
FLOAT16 = 2.0**-11  # the largest relative error of rounding to it


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """10 ms from one frame to the next."""
    return write_tiny_speech(tmp_path_factory.mktemp("speech") / "wav2vec2")


def encoder_of(folder: Path | None, encoder: str = "wav2vec2", **settings: Any) -> Any:
    return create(EncoderRequest(encoder, settings, model=str(folder) if folder else None))


def embed(encoder: Any, *sounds: np.ndarray) -> list[np.ndarray]:
    return encoder.encode([encoder.prepare(clip_of(encoder, samples)) for samples in sounds])


# Rates


@given(num_frames=st.integers(1, 300), own_hz=st.floats(1, 100), share=st.floats(0.001, 1))
def test_the_mean_is_the_same_at_any_rate(num_frames: int, own_hz: float, share: float) -> None:
    frames = np.random.default_rng(num_frames).normal(3, 1, (num_frames, 2))
    made = at_rate(frames, own_hz, own_hz * share)
    assert len(made) == pytest.approx(max(1, num_frames * share), abs=0.51)
    np.testing.assert_allclose(made.mean(axis=0), frames.mean(axis=0), rtol=1e-12)
    assert made.min() >= frames.min() - 1e-9
    assert made.max() <= frames.max() + 1e-9


def test_a_vector_is_the_mean_over_its_own_time() -> None:
    frames = np.arange(6.0)[:, None]
    assert at_rate(frames, 6, 3).ravel().tolist() == [0.5, 2.5, 4.5]
    np.testing.assert_allclose(at_rate(frames, 6, 4).ravel(), [1 / 3, 5 / 3, 10 / 3, 14 / 3])
    assert at_rate(frames, 6, 6).ravel().tolist() == frames.ravel().tolist()
    assert at_rate(frames, 6, 0.1).ravel().tolist() == [2.5]


# wav2vec2


def plain_states(folder: Path, samples: np.ndarray) -> np.ndarray:
    """[t, WIDTH] of the last layer, by plain Hugging Face."""
    from transformers import AutoFeatureExtractor, AutoModel

    values = AutoFeatureExtractor.from_pretrained(folder)(samples, sampling_rate=RATE_HZ, return_tensors="pt")
    with torch.inference_mode():
        return AutoModel.from_pretrained(folder).eval()(values.input_values).last_hidden_state[0].numpy()


def test_frames_are_the_models_in_a_batch(folder: Path) -> None:
    encoder = encoder_of(folder, pooling="sequence", frame_rate=100)
    spec = encoder.spec
    assert (spec.kind, spec.shape, spec.stored_dtype) == ("sequence", (WIDTH,), "float16")
    for made, samples in zip(embed(encoder, *VOICES), VOICES, strict=True):
        expected = plain_states(folder, samples)
        assert made.dtype == np.float16
        assert made.shape == expected.shape
        np.testing.assert_allclose(made, expected, rtol=2 * FLOAT16, atol=1e-4)


@pytest.mark.parametrize("rate_hz", [100, 10, 33.3])
@pytest.mark.parametrize("window", [30, 1])
def test_the_mean_over_the_sequence_is_the_pooled_mean(
    folder: Path, rate_hz: float, window: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In one window and in several, at the model's own rate and below."""
    monkeypatch.setattr(wav2vec2, "WINDOW_SECONDS", window)
    for layers in ("-1", "-3,-1"):
        sequence = embed(encoder_of(folder, pooling="sequence", frame_rate=rate_hz, layers=layers), *VOICES)
        pooled = embed(encoder_of(folder, pooling="mean", layers=layers), *VOICES)
        for frames, mean in zip(sequence, pooled, strict=True):
            largest = np.abs(frames.astype(np.float64)).max()
            np.testing.assert_allclose(frames.astype(np.float64).mean(axis=0), mean, atol=FLOAT16 * largest)


def test_models_that_run_alone_and_a_batch_of_one(tmp_path: Path) -> None:
    folder = write_tiny_speech(tmp_path / "sew", "sew")
    encoder = encoder_of(folder, pooling="sequence", frame_rate=100)
    for made, samples in zip(embed(encoder, *VOICES[:3:2]), VOICES[:3:2], strict=True):
        np.testing.assert_allclose(made, plain_states(folder, samples), rtol=2 * FLOAT16, atol=1e-4)


def test_length_is_time_times_rate(folder: Path) -> None:
    made = embed(encoder_of(folder, pooling="sequence"), voice(2 * RATE_HZ), voice(400))
    assert [len(frames) for frames in made] == [20, 1]


def test_features_that_are_stored_already_keep_their_name(folder: Path) -> None:
    """The new settings are in a spec only where they change the numbers."""
    assert create(EncoderRequest("logmel")).spec.fingerprint == (
        "9ddbfbb152e32bfa4b471164a99d61b646e05e1a2732151038746a6bd1a090c5"
    )
    assert "frame_rate" not in encoder_of(folder).spec.settings
    rates = {encoder_of(folder, pooling="sequence", frame_rate=rate).spec.fingerprint for rate in (10, 20)}
    rates |= {encoder_of(None, "logmel", pooling="sequence", frame_rate=rate).spec.fingerprint for rate in (10, 20)}
    assert len(rates) == 4


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"frame_rate": 25}, "frame_rate=25 is for sequences: add --set pooling=sequence"),
        ({"pooling": "sequence", "frame_rate": 101}, "frame_rate=101 is above its own: give at most 100 frames"),
    ],
)
@pytest.mark.parametrize("encoder", ["wav2vec2", "logmel"])
def test_rates_that_do_not_fit_are_refused(folder: Path, encoder: str, settings: Any, message: str) -> None:
    with pytest.raises(UsageError, match=f"{encoder}: {message}"):
        encoder_of(folder if encoder == "wav2vec2" else None, encoder, **settings)


def test_poolings_and_layers_that_do_not_fit_are_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"logmel has no pooling 'mean': known: sequence, statistics"):
        encoder_of(None, "logmel", pooling="mean")
    with pytest.raises(UsageError, match=r"no pooling 'sequenc': did you mean 'sequence'\?"):
        encoder_of(folder, pooling="sequenc")
    with pytest.raises(UsageError, match=r"layers='stack:-2,-1': a sequence .*: give layers=-2,-1"):
        encoder_of(folder, pooling="sequence", layers="last:2")
    adapted = write_tiny_speech(tmp_path / "adapter", "wav2vec2-adapter", output_hidden_size=WIDTH)
    with pytest.raises(UsageError, match="behind the model's adapter frames are fewer: give one layer"):
        encoder_of(adapted, pooling="sequence", layers="-2,-1")


# logmel


@pytest.mark.parametrize("rate_hz", [100, 10])
def test_the_mean_of_logmel_frames_is_the_mean_among_its_statistics(rate_hz: float) -> None:
    encoder = encoder_of(None, "logmel", pooling="sequence", frame_rate=rate_hz)
    assert (encoder.spec.kind, encoder.spec.shape, encoder.spec.stored_dtype) == (
        "sequence",
        (len(FRAME_NAMES),),
        "float16",
    )
    samples = voice(20001)
    (frames,) = embed(encoder, samples)
    assert len(frames) == (126 if rate_hz == 100 else 13)
    statistics = dict(zip(NAMES, logmel_statistics(samples), strict=True))
    means = dict(zip(FRAME_NAMES, frames.astype(np.float64).mean(axis=0), strict=True))
    largest = dict(zip(FRAME_NAMES, np.abs(frames.astype(np.float64)).max(axis=0), strict=True))
    paired = {name: "_mean_".join(name.split("_")) for name in FRAME_NAMES if name.startswith(("mel", "mfcc"))}
    paired |= {name: f"{name}_mean" for name in FRAME_NAMES if f"{name}_mean" in statistics}
    assert len(paired) == 40 + 20 + 1 + 6
    for name, of_whole in paired.items():
        assert means[name] == pytest.approx(statistics[of_whole], abs=FLOAT16 * largest[name] + 1e-4), name


def test_pitch_is_heard_in_time() -> None:
    """A tone that jumps up by an octave in its middle, then stops."""
    times = np.arange(RATE_HZ) / RATE_HZ
    phase = 2 * np.pi * np.cumsum(np.where(times < 0.5, 160.0, 320.0)) / RATE_HZ
    tone = 0.1 * sum(np.sin(harmonic * phase) / harmonic for harmonic in range(1, 6))
    samples = np.concatenate([tone, np.zeros(RATE_HZ // 2)]).astype(np.float32)
    encoder = encoder_of(None, "logmel", pooling="sequence", frame_rate=10)
    (frames,) = embed(encoder, samples)
    octaves, voiced = (frames[:, FRAME_NAMES.index(name)].astype(float) for name in ("octaves", "voiced"))
    np.testing.assert_allclose(octaves[:4], 0, atol=0.02)
    np.testing.assert_allclose(octaves[6:9], 1, atol=0.02)
    np.testing.assert_allclose(octaves[11:], 0, atol=0.02)
    assert voiced[:4].min() > 0.95
    assert voiced[11:].max() == 0
    (frames,) = embed(encoder_of(None, "logmel", pooling="sequence", frame_rate=100), samples)
    octaves, voiced = (frames[:, FRAME_NAMES.index(name)].astype(float) for name in ("octaves", "voiced"))
    assert abs(int(np.argmax(octaves > 0.5)) - 50) <= 3, "at its time, to the frame's own width"
    assert abs(int(np.flatnonzero(voiced)[-1]) - 100) <= 4


@pytest.mark.parametrize("length", [400, 560, 1000, 5000])
def test_short_and_silent_sounds_are_finite_and_pickle(length: int) -> None:
    encoder = encoder_of(None, "logmel", pooling="sequence", frame_rate=100)
    prepare = pickle.loads(pickle.dumps(encoder.prepare))
    for samples in (voice(length), np.zeros(length, np.float32)):
        (frames,) = encoder.encode([prepare(clip_of(encoder, samples))])
        assert frames.shape == (len(analyse(samples).level), len(FRAME_NAMES))
        assert np.isfinite(frames).all()
