"""Sound as the file means it: every channel is heard, no sample is lost, none is bent."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from clip_factory import sine, utterance, write_clip, write_wav

from features.errors import Reason, UnavailableError
from features.media.clip import decode_clip
from features.media.needs import AudioNeed, ClipNeeds, Sound

AUDIO = AudioNeed(16000, 30.0)


def sound_of(path: Path, start: float | None = None, end: float | None = None) -> Sound:
    return decode_clip(path, utterance(start, end), [ClipNeeds(audio=AUDIO)]).sound(AUDIO)


def whole_numbers(samples: np.ndarray) -> np.ndarray:
    """int16 of samples in [-1, 1]."""
    return np.rint(samples * 32767).astype(np.int16)


@pytest.mark.parametrize("count", [3995, 100, 1025])
def test_a_wav_whose_header_does_not_know_its_length_is_heard_to_its_end(tmp_path: Path, count: int) -> None:
    """As a pipe gets it: the last packet is then shorter than announced, and all there is of a short file."""
    samples = whole_numbers(sine(0.25, 16000)[:, :count])
    heard = sound_of(write_wav(tmp_path / "piped.wav", samples, length=0xFFFFFFFF)).samples
    np.testing.assert_allclose(heard, samples[0] / 32768, atol=1e-6)


@pytest.mark.parametrize("count", [3, 4, 6, 17, 64])
def test_channels_without_positions_are_averaged(tmp_path: Path, count: int) -> None:
    """Microphones, not loudspeakers: none is louder than another, none is a woofer that may be left out."""
    noise = np.random.default_rng(count).uniform(-0.5, 0.5, (count, 5000))
    stored = [("int16", whole_numbers(noise), 32768), ("float32", noise.astype(np.float32), 1)]
    for name, samples, scale in stored:
        heard = sound_of(write_wav(tmp_path / f"{name}.wav", samples)).samples
        np.testing.assert_allclose(heard, samples.mean(axis=0, dtype=np.float64) / scale, atol=1e-6)


def test_channels_with_positions_are_mixed_as_loudspeakers(tmp_path: Path) -> None:
    """FL FR FC: the centre has a weight of 0.41, the sides 0.29 each."""
    samples = whole_numbers(sine(1, 16000).repeat(3, axis=0) * np.array([[0], [0], [1]]))
    heard = sound_of(write_wav(tmp_path / "front.wav", samples, mask=7)).samples
    assert np.abs(heard).max() == pytest.approx(0.5 * 0.4142, rel=0.01)


def test_floats_a_little_above_full_scale_are_clipped(tmp_path: Path) -> None:
    """As a lossy decoder makes them."""
    loud = write_wav(tmp_path / "loud.wav", sine(1, 16000, amplitude=1.5), mask=4)
    samples = sound_of(loud).samples
    assert np.abs(samples).max() == 1.0
    assert np.mean(np.abs(samples) == 1.0) == pytest.approx(0.535, abs=0.01)


@pytest.mark.parametrize("channels", [1, 2, 3])
def test_floats_of_another_scale_are_refused(tmp_path: Path, channels: int) -> None:
    """Clipped to full scale, a float WAV in the scale of int16 would be a square wave."""
    samples = sine(1, 16000, amplitude=20000).repeat(channels, axis=0)
    path = write_wav(tmp_path / "scaled.wav", samples)
    with pytest.raises(UnavailableError, match=r"reach 20,000 \(full scale is 1\)") as caught:
        sound_of(path)
    assert caught.value.reason is Reason.UNDECODABLE


def test_what_lies_outside_the_cut_has_no_say_in_its_scale(tmp_path: Path) -> None:
    samples = np.concatenate([sine(2, 16000), sine(1, 16000, amplitude=20000)], axis=1)
    assert np.abs(sound_of(write_wav(tmp_path / "part.wav", samples), 0.5, 1.5).samples).max() < 0.51


def test_the_overshoot_of_a_lossy_codec_is_clipped(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "loud.mp4", samples=sine(1, 48000, amplitude=3))
    assert np.abs(sound_of(path).samples).max() == 1.0
