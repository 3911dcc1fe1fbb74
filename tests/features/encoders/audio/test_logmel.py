"""logmel: known signals give known numbers, silence and the shortest sound are finite, the numbers are pinned."""

from __future__ import annotations

import pickle
import subprocess
import sys
from pathlib import Path

import librosa
import numpy as np
import pytest
from clip_factory import utterance
from hypothesis import given, settings
from hypothesis import strategies as st

from features.encoders.audio.acoustics import count_syllables
from features.encoders.audio.logmel import NAMES, RATE_HZ, WINDOW, LogmelEncoder, logmel_statistics
from features.encoders.build import create
from features.encoders.protocol import EncoderRequest
from features.errors import Reason, UnavailableError, UsageError
from features.media.clip import Clip, decode_clip
from features.media.needs import Sound


def tone(frequency_hz: float, seconds: float = 1.0, amplitude: float = 0.1) -> np.ndarray:
    """A voice-like tone: five harmonics that fall off, float32 [n]."""
    times = np.arange(round(seconds * RATE_HZ)) / RATE_HZ
    wave = sum(np.sin(2 * np.pi * frequency_hz * harmonic * times) / harmonic for harmonic in range(1, 6))
    return (amplitude * wave).astype(np.float32)


def golden_signal() -> np.ndarray:
    """1.3 s: a gliding voice in three syllables, hiss between them; no generator that a library could change."""
    steps = np.arange(20800)
    times = steps / RATE_HZ
    phase = 2 * np.pi * (130 * times + 40 * times**2)
    voice = sum(np.sin(harmonic * phase) / harmonic for harmonic in range(1, 8))
    envelope = np.maximum(0.0, np.sin(2 * np.pi * times * 3 / 1.3 - 0.5))
    hiss = np.modf(np.sin(steps * 12.9898) * 43758.5453)[0]
    return (0.1 * envelope * voice + 0.003 * hiss).astype(np.float32)


def named(samples: np.ndarray) -> dict[str, float]:
    return dict(zip(NAMES, logmel_statistics(samples).tolist(), strict=True))


def encoder(**given: object) -> LogmelEncoder:
    built = create(EncoderRequest("logmel", dict(given)))
    assert isinstance(built, LogmelEncoder)
    return built


def clip_of(samples: np.ndarray, built: LogmelEncoder, cut: bool = False) -> Clip:
    sound = Sound(samples, RATE_HZ, len(samples) / RATE_HZ, cut)
    return Clip(utterance(), "0" * 64, sounds={built.needs.audio: sound})


def test_the_numbers_are_pinned() -> None:
    """They may change only together with the encoder's version, or stored features would mix two meanings."""
    values = logmel_statistics(golden_signal())
    found = dict(zip(NAMES, values.tolist(), strict=True))
    assert encoder().spec.version == 1
    expected = {
        "mel_mean_3": -56.3241,
        "mel_std_20": 2.60542,
        "mel_delta_39": 1.52262,
        "mfcc_mean_0": -403.5,
        "mfcc_std_5": 7.97784,
        "mfcc_delta_19": 2.63135,
        "pitch_voiced": 0.52381,
        "pitch_mean": 0.121567,
        "pitch_slope": 1.23086,
        "energy_mean": -40.7742,
        "energy_p90": -21.8514,
        "centroid_khz_mean": 2.20461,
        "flatness_std": 0.0973956,
        "zero_crossings_mean": 0.0808588,
        "syllables_per_second": 3.07692,
        "pause_share": 0.473282,
        "log_seconds": 0.262364,
    }
    assert {name: found[name] for name in expected} == pytest.approx(expected, rel=1e-4, abs=1e-4)
    weights = np.cos(np.arange(len(values)))  # one sum over everything, where no two values can trade places
    assert float(weights @ values.astype(np.float64)) == pytest.approx(-446.94877, rel=1e-5)


def test_a_full_scale_sine_is_about_zero_decibels_in_its_own_band() -> None:
    centres_hz = librosa.mel_frequencies(42, fmin=50.0, fmax=7600.0)[1:-1]
    samples = np.sin(2 * np.pi * centres_hz[20] * np.arange(RATE_HZ) / RATE_HZ).astype(np.float32)
    found = named(samples)
    bands = np.array([found[f"mel_mean_{band}"] for band in range(40)])
    assert bands.argmax() == 20
    assert 1.0 < bands[20] < 3.0  # above 0: a Hann window spreads a sine over one and a half bins
    assert bands[[0, 39]].max() < -50
    assert found["energy_max"] == pytest.approx(-3.01, abs=0.1)


@pytest.mark.parametrize("frequency_hz", [70.0, 100.0, 155.5, 220.0, 330.0, 480.0])
def test_pitch_of_a_voice(frequency_hz: float) -> None:
    found = named(tone(frequency_hz))
    assert 160 * 2 ** found["pitch_p50"] == pytest.approx(frequency_hz, rel=2e-3)
    assert found["pitch_voiced"] > 0.95
    assert found["pitch_std"] < 0.01


def test_noise_has_no_pitch() -> None:
    noise = np.random.default_rng(0).normal(scale=0.1, size=RATE_HZ).astype(np.float32)
    found = named(noise)
    assert found["pitch_voiced"] < 0.05
    assert found["pitch_aperiodicity"] > 0.6


def test_a_rising_pitch_has_its_slope() -> None:
    times = np.arange(2 * RATE_HZ) / RATE_HZ
    phase = 2 * np.pi * 100 * (2**times - 1) / np.log(2)  # 100 to 400 Hz in 2 s: one octave a second
    found = named((0.2 * np.sin(phase) + 0.1 * np.sin(2 * phase)).astype(np.float32))
    assert found["pitch_slope"] == pytest.approx(1.0, rel=0.05)


@pytest.mark.parametrize("rate", [2, 4, 6])
def test_syllables_are_counted(rate: int) -> None:
    times = np.arange(3 * RATE_HZ) / RATE_HZ
    swell = (0.52 - 0.48 * np.cos(2 * np.pi * rate * times)).astype(np.float32)
    assert named(tone(150, 3.0) * swell)["syllables_per_second"] == pytest.approx(rate, abs=0.4)


def test_a_steady_level_is_no_syllable_after_another() -> None:
    assert count_syllables(np.zeros(100), 7, 2.0) == 0
    assert count_syllables(np.array([-60.0] * 20 + [0.0] * 20), 7, 2.0) == 1


def test_loudness_moves_levels_and_nothing_else() -> None:
    """Ten times the amplitude: 20 dB more in every band, pitch, shape and rhythm as they were."""
    quiet, loud = logmel_statistics(golden_signal()), logmel_statistics(10 * golden_signal())
    difference = dict(zip(NAMES, (loud - quiet).tolist(), strict=True))
    shifted = {f"mel_mean_{band}" for band in range(40)} | {f"energy_{n}" for n in ("mean", "p10", "p50", "p90", "max")}
    for name, value in difference.items():
        if name == "mfcc_mean_0":
            assert value == pytest.approx(20 * np.sqrt(40), abs=0.05)
        else:
            assert value == pytest.approx(20.0 if name in shifted else 0.0, abs=0.05), name


@pytest.mark.parametrize("samples", [np.zeros(WINDOW), np.zeros(16000), np.full(16000, 0.5), tone(200)[:WINDOW]])
def test_silence_and_the_shortest_sound_are_finite(samples: np.ndarray) -> None:
    values = logmel_statistics(samples.astype(np.float32))
    assert values.dtype == np.float32
    assert values.shape == (len(NAMES),)
    assert np.isfinite(values).all()
    if np.ptp(samples) == 0:
        assert dict(zip(NAMES, values, strict=True))["pitch_voiced"] == 0


@settings(max_examples=30, deadline=None)
@given(length=st.integers(WINDOW, 4000), seed=st.integers(0, 99), scale=st.sampled_from([0.0, 1e-6, 1e-3, 1.0]))
def test_any_sound_is_finite(length: int, seed: int, scale: float) -> None:
    samples = np.random.default_rng(seed).uniform(-scale, scale, length).astype(np.float32)
    assert np.isfinite(logmel_statistics(samples)).all()


@pytest.mark.parametrize("length", [0, 1, WINDOW - 1])
def test_less_than_a_window_is_too_short(length: int) -> None:
    built = encoder()
    with pytest.raises(UnavailableError, match="at least 400") as caught:
        built.prepare(clip_of(np.zeros(length, np.float32), built))
    assert caught.value.reason is Reason.TOO_SHORT


def test_prepare_in_a_worker_is_encode() -> None:
    """The preparer pickles; the same clip gives the same bits; counts and digest are the clip's."""
    built = encoder(max_seconds=2)
    prepare = pickle.loads(pickle.dumps(built.prepare))
    clip = clip_of(golden_signal(), built, cut=True)
    one, two = prepare(clip), prepare(clip)
    assert one.counts == ({"num_samples": 20800, "cut": 1},)
    assert one.digests == (clip.digest,)
    first, second = built.encode([one, two])
    assert first.tobytes() == second.tobytes()
    assert first.shape == built.spec.shape
    assert built.needs.audio.max_seconds == 2.0


def test_settings_are_in_the_fingerprint_and_others_are_refused() -> None:
    assert encoder().spec.fingerprint != encoder(max_seconds=5).spec.fingerprint
    with pytest.raises(UsageError, match="no setting 'bands'"):
        encoder(bands=64)


def test_names_are_unique_and_say_what_is_where() -> None:
    assert len(set(NAMES)) == len(NAMES) == 212


def test_no_slow_import() -> None:
    code = (
        "import sys, features.encoders.audio.logmel;"
        "sys.exit(any(name in sys.modules for name in ('librosa', 'numba', 'scipy', 'torch', 'av')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.shared_data
def test_a_real_clip(shared_data: Path) -> None:
    built = encoder()
    clip = decode_clip(shared_data / "clips" / "dia1_utt0.mp4", utterance(), [built.needs])
    found = dict(zip(NAMES, built.encode([built.prepare(clip)])[0].tolist(), strict=True))
    assert 0.1 < found["pitch_voiced"] < 0.9
    assert 80 < 160 * 2 ** found["pitch_p50"] < 400
    assert 1 < found["syllables_per_second"] < 10
