"""waveform: the clip's own samples, what float16 costs them, and the report's interleaved stereo."""

from __future__ import annotations

import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from clip_factory import sine, utterance, write_clip
from hypothesis import given
from hypothesis import strategies as st
from tiny_speech import clip_of, voice

from features.encoders.audio.published_sound import interleave
from features.encoders.audio.waveform import RATE_HZ, VERSION
from features.encoders.build import create
from features.encoders.protocol import Encoder, EncoderRequest
from features.errors import Reason, UnavailableError, UsageError
from features.media.clip import Clip, decode_clip
from features.store.shard import open_shard, shard_bytes, stored_array

RELATIVE = 2.0**-11  # float16 keeps 11 bits
SMALLEST = 2.0**-25  # half of its smallest step


def encoder(**values: object) -> Encoder:
    return create(EncoderRequest("waveform", dict(values)))


def published(samples: int) -> Encoder:
    return create(EncoderRequest("waveform", {"samples": samples}, as_published=True))


def embed(built: Encoder, clip: Clip) -> np.ndarray:
    (array,) = built.encode([built.prepare(clip)])
    return array


def decoded(built: Encoder, path: Path) -> Clip:
    assert built.needs is not None
    return decode_clip(path, utterance(), [built.needs])


def test_the_samples_are_the_clips_own(tmp_path: Path) -> None:
    """An uncompressed tone at 8 kHz comes back as it was written, to 16 bits and float16."""
    tone = sine(0.5, RATE_HZ)
    path = write_clip(tmp_path / "clip.wav", samples=tone, rate_hz=RATE_HZ, audio_codec="pcm_s16le")
    built = encoder()
    item = built.prepare(decoded(built, path))
    assert item.counts == ({"num_samples": 4000, "cut": 0},)
    (array,) = built.encode([item])
    assert array.shape == (4000, 1)
    assert array.dtype == np.float16
    np.testing.assert_allclose(array[:, 0].astype(np.float32), tone[0], atol=2**-15 + RELATIVE * 0.5)


@pytest.mark.parametrize(("layout", "channels"), [("mono", 1), ("stereo", 2), ("5.1", 6)])
def test_any_clip_becomes_8_khz_mono(tmp_path: Path, layout: str, channels: int) -> None:
    sound = np.repeat(sine(0.6, 48000), channels, axis=0)
    path = write_clip(tmp_path / "clip.mp4", samples=sound, layout=layout)
    array = embed(encoder(), decoded(encoder(), path))[:, 0].astype(np.float64)
    assert len(array) == pytest.approx(0.6 * RATE_HZ, abs=600)  # AAC pads
    spectrum = np.abs(np.fft.rfft(array[800:4000]))
    assert spectrum.argmax() * RATE_HZ / 3200 == pytest.approx(440, abs=3)


@given(
    st.lists(
        st.floats(-1.0, 1.0, width=32).filter(lambda value: value == 0 or abs(value) > 1e-30), min_size=1, max_size=50
    )
)
def test_float16_costs_no_more_than_it_says(values: list[float]) -> None:
    samples = np.array(values, np.float32)
    array = embed(encoder(), clip_of(encoder(), samples))[:, 0].astype(np.float64)
    assert (np.abs(array - samples) <= np.maximum(RELATIVE * np.abs(samples), SMALLEST)).all()


@pytest.mark.parametrize("level", [1.0, 0.03, 0.001])
def test_float16_noise_lies_66_db_below_the_sound(level: float) -> None:
    samples = level * voice(8000, 3)
    error = embed(encoder(), clip_of(encoder(), samples))[:, 0].astype(np.float64) - samples
    assert 10 * np.log10((samples.astype(np.float64) ** 2).sum() / (error**2).sum()) > 66


def test_sound_above_max_seconds_is_cut_and_counted(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "clip.mp4", samples=sine(0.8, 48000))
    built = encoder(max_seconds=0.5)
    item = built.prepare(decoded(built, path))
    assert item.counts == ({"num_samples": 4000, "cut": 1},)
    assert built.spec.fingerprint != encoder().spec.fingerprint


def test_a_clip_without_sound_says_so(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "clip.mp4", times_ms=[0, 40, 80])
    with pytest.raises(UnavailableError, match="no-audio") as caught:
        encoder().prepare(decoded(encoder(), path))
    assert caught.value.reason is Reason.NO_AUDIO


def test_a_shard_holds_waveforms_of_any_length(tmp_path: Path) -> None:
    built = encoder()
    arrays = [embed(built, clip_of(built, voice(length))) for length in (1, 700, 33)]
    (tmp_path / "a.h5").write_bytes(shard_bytes(built.spec, [stored_array(built.spec, array) for array in arrays]))
    shard = open_shard(tmp_path / "a.h5", built.spec)
    assert shard.values.shape == (734, 1)
    for row, array in enumerate(arrays):
        np.testing.assert_array_equal(shard.row(row), array)


def test_the_preparer_pickles_and_loads_no_torch() -> None:
    prepared = [pickle.dumps(encoder().prepare), pickle.dumps(published(99).prepare)]
    code = f"import pickle, sys; [pickle.loads(each) for each in {prepared!r}]; print('torch' in sys.modules)"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "False"


def test_settings_are_checked() -> None:
    with pytest.raises(UsageError, match="no setting 'rate_hz'"):
        encoder(rate_hz=16000)
    with pytest.raises(UsageError, match="no setting 'max_seconds' with --as-published"):
        create(EncoderRequest("waveform", {"max_seconds": 3}, as_published=True))


# As published


def test_channels_are_interleaved_as_16_bit_numbers() -> None:
    stereo = np.array([[0.5, -1.0, 1.0], [0.25, 0.0, 1.6 / 32768]], np.float32)
    assert interleave(stereo).tolist() == [16384, 8192, -32768, 0, 32767, 2]


@pytest.mark.parametrize(("pairs", "num_samples", "cut"), [(20, 40, 0), (50, 99, 1)])
def test_as_published_every_waveform_has_the_same_length(pairs: int, num_samples: int, cut: int) -> None:
    built = published(99)
    stereo = np.stack([voice(pairs, 1), voice(pairs, 2)])
    item = built.prepare(clip_of(built, stereo))
    assert item.counts == ({"num_samples": num_samples, "cut": cut},)
    (array,) = built.encode([item])
    assert array.shape == (99, 1)
    assert array.dtype == np.float16
    np.testing.assert_allclose(array[:num_samples, 0], interleave(stereo)[:99], rtol=RELATIVE)
    assert not array[num_samples:].any()


def test_as_published_float16_keeps_11_bits() -> None:
    built = published(6)
    stereo = np.array([[2047, 2049, 16393], [2048, 4097, 32767]], np.float32) / 32768
    array = embed(built, clip_of(built, stereo))
    assert array[:, 0].tolist() == [2047, 2048, 2048, 4096, 16400, 32768]


def test_as_published_a_mono_clip_becomes_two_equal_channels_3_db_lower(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.wav", samples=sine(0.3, 44100), rate_hz=44100, audio_codec="pcm_s16le")
    array = embed(published(20000), decoded(published(20000), path))[:, 0].astype(np.float64)
    np.testing.assert_array_equal(array[::2], array[1::2])
    assert array.max() == pytest.approx(16384 * np.sqrt(0.5), rel=1e-3)


def test_as_published_is_another_feature_and_says_so() -> None:
    meant, spec = encoder().spec, published(150_000).spec
    assert "as_published" not in meant.settings
    assert spec.settings == {
        "as_published": True,
        "samples": 150_000,
        "rate_hz": 44100,
        "layout": "interleaved stereo",
    }
    assert spec.stored_dtype == meant.stored_dtype == "float16"
    assert len({meant.fingerprint, spec.fingerprint, published(200_000).spec.fingerprint}) == 3


def test_golden_samples(tmp_path: Path) -> None:
    """Fails when the numbers change: raise VERSION with it, since stored features then differ."""
    path = write_clip(tmp_path / "clip.wav", samples=sine(0.2, 48000, 300.0), audio_codec="pcm_s16le")
    array = embed(encoder(), decoded(encoder(), path))[:, 0]
    assert VERSION == 1
    np.testing.assert_allclose(
        array[[100, 101, 105, 110]].astype(np.float64), [-0.5, -0.486084, -0.191406, 0.353516], atol=1e-3
    )


@pytest.mark.shared_data
def test_real_clip(shared_data: Path) -> None:
    built = encoder()
    array = embed(built, decoded(built, shared_data / "clips" / "dia1_utt0.mp4"))
    assert len(array) == pytest.approx(19797, abs=2)
    assert 0.01 < np.abs(array.astype(np.float32)).max() <= 1
