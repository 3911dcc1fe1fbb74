"""egemaps against plain openSMILE; what is too short, absent or not installed."""

from __future__ import annotations

import importlib.util
import pickle
import re
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from clip_factory import sine, utterance, write_clip
from tiny_speech import RATE_HZ, clip_of, voice

from features.encoders.audio.egemaps import MIN_SAMPLES, SIZE, VERSION
from features.encoders.build import create
from features.encoders.protocol import Encoder, EncoderRequest
from features.errors import Reason, UnavailableError, UsageError
from features.extras import install_extra
from features.media.clip import decode_clip

opensmile = pytest.importorskip("opensmile", reason="the extra `egemaps` is not installed")


@cache
def encoder() -> Encoder:
    return create(EncoderRequest("egemaps"))


@cache
def plain() -> Any:
    return opensmile.Smile(
        feature_set=opensmile.FeatureSet.eGeMAPSv02, feature_level=opensmile.FeatureLevel.Functionals
    )


def embed(samples: np.ndarray) -> np.ndarray:
    (array,) = encoder().encode([encoder().prepare(clip_of(encoder(), samples))])
    return array


@pytest.mark.parametrize("seed", range(3))
def test_an_embedding_is_what_plain_opensmile_gives(seed: int) -> None:
    samples = voice(12000 + 9000 * seed, seed)
    ours, reference = embed(samples), plain().process_signal(samples, RATE_HZ).to_numpy()[0]
    assert ours.shape == encoder().spec.shape == (SIZE,)
    assert ours.dtype == np.float32
    np.testing.assert_array_equal(ours, reference)
    assert not np.array_equal(ours, plain().process_signal(samples, 8000).to_numpy()[0])  # another rate is another clip


def test_pitch_is_found_where_opensmile_names_it() -> None:
    """The first value is the mean pitch in semitones from 27.5 Hz: 220 Hz is three octaves above."""
    seconds = np.arange(RATE_HZ) / RATE_HZ
    buzz = sum(np.sin(2 * np.pi * 220 * harmonic * seconds) / harmonic for harmonic in range(1, 12))
    assert plain().feature_names[0] == "F0semitoneFrom27.5Hz_sma3nz_amean"
    assert embed(0.1 * buzz.astype(np.float32))[0] == pytest.approx(36, abs=0.3)


@pytest.mark.parametrize("num_samples", [1, 400, MIN_SAMPLES - 1])
def test_sound_below_the_pitch_window_is_too_short(num_samples: int) -> None:
    with pytest.raises(UnavailableError, match=rf"{num_samples} samples at 16000 Hz \(at least 960") as caught:
        embed(voice(num_samples))
    assert caught.value.reason is Reason.TOO_SHORT
    with pytest.warns(UserWarning, match="too short"):
        assert np.isnan(plain().process_signal(voice(num_samples), RATE_HZ).to_numpy()).all()


@pytest.mark.parametrize("samples", [voice(MIN_SAMPLES), np.zeros(RATE_HZ, np.float32), np.ones(4000, np.float32)])
def test_the_shortest_sound_and_silence_are_finite(samples: np.ndarray) -> None:
    assert np.isfinite(embed(samples)).all()


def test_a_clip_is_heard_at_16_khz_mono(tmp_path: Path) -> None:
    sound = np.repeat(sine(0.8, 48000), 6, axis=0)
    path = write_clip(tmp_path / "clip.mp4", samples=sound, layout="5.1")
    built = create(EncoderRequest("egemaps", {"max_seconds": 0.5}))
    assert built.needs is not None
    item = built.prepare(decode_clip(path, utterance(), [built.needs]))
    assert item.counts == ({"num_samples": 8000, "cut": 1},)
    assert built.encode([item])[0][0] == pytest.approx(48, abs=0.5)  # 440 Hz


def test_the_spec_says_which_opensmile(monkeypatch: pytest.MonkeyPatch) -> None:
    spec = encoder().spec
    assert spec.weights == "none"
    assert spec.settings == {
        "max_seconds": 30.0,
        "rate_hz": 16000,
        "feature_set": "eGeMAPSv02",
        "feature_level": "functionals",
        "opensmile": opensmile.__version__,
    }
    monkeypatch.setattr("importlib.metadata.version", lambda package: "9.9")
    assert create(EncoderRequest("egemaps")).spec.fingerprint != spec.fingerprint


def test_without_opensmile_one_line_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match="needs the package opensmile: " + re.escape(install_extra("egemaps"))):
        create(EncoderRequest("egemaps"))


def test_opensmile_is_loaded_only_where_clips_are_prepared() -> None:
    code = (
        "import sys, pickle; from features.encoders.build import create;"
        "from features.encoders.protocol import EncoderRequest;"
        "pickle.loads(pickle.dumps(create(EncoderRequest('egemaps')).prepare));"
        "print([name for name in ('opensmile', 'pandas', 'torch') if name in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


def test_the_same_clip_gives_the_same_bits() -> None:
    prepare = pickle.loads(pickle.dumps(encoder().prepare))
    clip = clip_of(encoder(), voice(8000))
    assert prepare(clip).value.tobytes() == prepare(clip).value.tobytes() == embed(voice(8000)).tobytes()


def test_golden_embedding() -> None:
    """Fails when the numbers change: raise VERSION with it, since stored features then differ."""
    values = embed(sine(0.5, RATE_HZ, 200.0)[0])
    assert VERSION == 1
    np.testing.assert_allclose(values[[0, 10, 87]], [34.375214, 0.470504, -9.030942], rtol=1e-3)


@pytest.mark.shared_data
def test_real_clip(shared_data: Path) -> None:
    assert encoder().needs is not None
    clip = decode_clip(shared_data / "clips" / "dia1_utt0.mp4", utterance(), [encoder().needs])
    (values,) = encoder().encode([encoder().prepare(clip)])
    assert np.isfinite(values).all()
    assert (values != 0).sum() > 70
