"""`voice` against Resemblyzer's own network and windows; whose voice is whose; lengths, loudness, batches."""

from __future__ import annotations

import importlib.util
import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from clip_factory import utterance
from parity import FP32_TOLERANCE, relative_error
from tiny_speech import RATE_HZ, clip_of, voice

from features.encoders.audio.voice import VERSION, louder, window_starts
from features.encoders.build import create
from features.encoders.protocol import EncoderRequest
from features.errors import Reason, UnavailableError, UsageError
from features.media.clip import decode_clip

pytestmark = pytest.mark.usefixtures("one_thread")

LENGTHS = [400, 9000, 25_599, 25_600, 30_000, 33_000, 70_000]


@pytest.fixture(scope="module")
def encoder() -> Any:
    if importlib.util.find_spec("resemblyzer") is None:
        pytest.skip("resemblyzer, which carries the weights, is not installed")
    return create(EncoderRequest("voice"))


@pytest.fixture(scope="module")
def package(encoder: Any) -> Any:
    """Resemblyzer's own encoder. What its voice detector needs is not installed, and not used here."""
    absent = {"webrtcvad": types.ModuleType("webrtcvad"), "scipy.ndimage.morphology": types.ModuleType("morphology")}
    absent["scipy.ndimage.morphology"].binary_dilation = None  # type: ignore[attr-defined]
    with pytest.MonkeyPatch.context() as patch:
        for name, module in absent.items():
            patch.setitem(sys.modules, name, module)
        from resemblyzer import VoiceEncoder

        return VoiceEncoder("cpu", verbose=False)


@pytest.fixture(scope="module")
def real(shared_data: Path, encoder: Any) -> np.ndarray:
    clip = decode_clip(shared_data / "clips" / "dia1_utt0.mp4", utterance(), [encoder.needs])
    return clip.sound(encoder.needs.audio).samples


def embed(encoder: Any, *sounds: np.ndarray) -> np.ndarray:
    """[n, 256]"""
    return np.stack(encoder.encode([encoder.prepare(clip_of(encoder, samples)) for samples in sounds]))


def test_embeddings_are_the_packages(encoder: Any, package: Any) -> None:
    """Quiet and loud, shorter than a window, whole windows, and with rests on both sides of three quarters."""
    from resemblyzer.audio import normalize_volume

    sounds = [voice(length, seed) * (0.02 if seed % 2 else 1.0) for seed, length in enumerate(LENGTHS)]
    expected = [package.embed_utterance(normalize_volume(samples, -30, increase_only=True)) for samples in sounds]
    assert relative_error(embed(encoder, *sounds), np.stack(expected)) < FP32_TOLERANCE


def test_windows_are_the_packages(package: Any) -> None:
    for length in range(400, 120_000, 797):
        _, slices = package.compute_partial_slices(length, rate=1.3, min_coverage=0.75)
        assert window_starts(length) == [part.start for part in slices], length


@pytest.mark.shared_data
def test_a_voice_is_nearer_to_itself_than_to_another(encoder: Any, real: np.ndarray) -> None:
    """There is one real voice: its halves against its second half spoken higher or lower (pitch alone, or pitch and
    formants), and against a synthetic voice."""
    import librosa

    first, second = real[: len(real) // 2], real[len(real) // 2 :]
    others = [voice(20_000)]
    for steps in (-8, -4, 4, 8):
        others.append(librosa.effects.pitch_shift(second, sr=RATE_HZ, n_steps=steps))
        others.append(librosa.resample(second, orig_sr=RATE_HZ, target_sr=RATE_HZ * 2 ** (-steps / 12)))
    rows = embed(encoder, first, second, *others).astype(np.float64)
    likeness = rows[0] @ rows.T
    assert likeness[1] > likeness[2:].max() + 0.05


def test_an_embedding_is_of_unit_length_whatever_stands_beside_it(encoder: Any) -> None:
    sounds = [voice(length, seed) for seed, length in enumerate((500, 26_000, 90_000))]
    together = embed(encoder, *sounds)
    np.testing.assert_allclose(np.linalg.norm(together, axis=1), 1, atol=1e-6)
    assert relative_error(np.concatenate([embed(encoder, samples) for samples in sounds]), together) < FP32_TOLERANCE
    assert encoder.encode([]) == []


def test_a_quiet_clip_is_made_louder_and_a_loud_one_stays(encoder: Any) -> None:
    loud = voice(30_000)
    assert louder(loud) is loud
    raised = louder(loud * np.float32(1e-4))
    assert 20 * np.log10(np.sqrt((raised**2).mean())) == pytest.approx(-30, abs=0.01)
    assert raised.dtype == np.float32
    assert not louder(np.zeros(1000, np.float32)).any()
    quiet, quieter = embed(encoder, loud * np.float32(1e-2), loud * np.float32(1e-3))
    np.testing.assert_allclose(quiet, quieter, atol=1e-5)
    assert np.isfinite(embed(encoder, np.zeros(16_000, np.float32))).all()


def test_counts_and_the_shortest_sound(encoder: Any) -> None:
    made = encoder.prepare(clip_of(encoder, voice(40_000), cut=True))
    assert made.counts == ({"num_samples": 40_000, "num_frames": 320, "cut": 1},)
    assert made.value.shape == (2, 160, 40)
    with pytest.raises(UnavailableError, match="at least 400") as caught:
        encoder.prepare(clip_of(encoder, np.zeros(399, np.float32)))
    assert caught.value.reason is Reason.TOO_SHORT
    assert (encoder.spec.shape, encoder.spec.version) == ((256,), VERSION)


def test_half_precision_is_near(encoder: Any) -> None:
    sounds = [voice(30_000, seed) for seed in range(4)]
    half = embed(create(EncoderRequest("voice", dtype="bf16")), *sounds)
    whole = embed(encoder, *sounds)
    assert (half * whole).sum(axis=1).min() > 0.999
    assert relative_error(half, whole) > 100 * FP32_TOLERANCE


def test_random_weights_need_no_package_and_other_models_are_refused() -> None:
    random = create(EncoderRequest("voice", weights="random"))
    assert (random.spec.weights, random.spec.model, random.spec.settings["random_seed"]) == ("random", None, 0)
    assert np.isfinite(embed(random, voice(5000))).all()
    with pytest.raises(UsageError, match="no voice encoder 'facebook/wav2vec2-base': give packaged:ge2e-voice"):
        create(EncoderRequest("voice", model="facebook/wav2vec2-base"))
