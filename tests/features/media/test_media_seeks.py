"""Cuts: the time that a seek claims is believed only where the file's packets prove it."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest
from clip_factory import every, number_of, numbered_picture, sine, utterance, write_clip

from features.media import seeking, survey
from features.media.clip import Clip, decode_clip
from features.media.needs import AudioNeed, ClipNeeds, FramesNeed
from features.media.packets import StreamPackets
from features.media.sound_reader import SoundReader

AUDIO, FRAMES = AudioNeed(16000, 100.0), FramesNeed(4, 100.0)
START, END = 21.37, 24.91


def decode(path: Path, start: float | None = None, end: float | None = None) -> Clip:
    return decode_clip(path, utterance(start, end), [ClipNeeds(AUDIO, FRAMES)])


def noise(seconds: float, rate_hz: int) -> np.ndarray:
    """float32 [1, n]: no part of it is like another."""
    values = np.random.default_rng(0).normal(0, 0.1, round(seconds * rate_hz))
    return np.convolve(values, np.ones(8) / 8, mode="same").astype(np.float32)[None]


# file -> how it is written, and how far a cut may be from the whole at its place: lossy decoders remember a little
SOUNDS: dict[str, tuple[dict[str, object], float]] = {
    "ima.wav": ({"audio_codec": "adpcm_ima_wav"}, 1e-6),
    "ms.wav": ({"audio_codec": "adpcm_ms"}, 1e-6),
    "yamaha.wav": ({"audio_codec": "adpcm_yamaha"}, 1e-6),
    "pcm.wav": ({"audio_codec": "pcm_s16le"}, 1e-6),
    "plain.flac": ({"audio_codec": "flac"}, 1e-6),
    "plain.mp3": ({"audio_codec": "libmp3lame"}, 1e-4),
    "no-table.mp3": ({"audio_codec": "libmp3lame", "container_options": {"write_xing": "0"}}, 1e-4),
    "plain.aac": ({"audio_codec": "aac"}, 1e-2),
    "plain.mp4": ({"audio_codec": "aac"}, 1e-2),
    "pcm.avi": ({"audio_codec": "pcm_s16le"}, 1e-6),
    "ima.avi": ({"audio_codec": "adpcm_ima_wav"}, 1e-6),
}


UNPROVEN = {"ima.wav", "ms.wav", "yamaha.wav", "no-table.mp3"}  # a seek leads elsewhere there, or may


@pytest.fixture
def starts(monkeypatch: pytest.MonkeyPatch) -> list[seeking.Start]:
    """Where each decoding started to read."""
    found: list[seeking.Start] = []
    find_start = seeking.find_start
    monkeypatch.setattr(
        "features.media.decode.find_start", lambda *given: found.append(find_start(*given)) or found[-1]
    )
    return found


@pytest.mark.parametrize("name", SOUNDS)
def test_the_sound_of_a_cut_is_that_of_the_whole(tmp_path: Path, name: str, starts: list[seeking.Start]) -> None:
    options, tolerance = SOUNDS[name]
    path = write_clip(tmp_path / name, samples=noise(60, 16000), rate_hz=16000, **options)  # type: ignore[arg-type]
    whole, cut = (decode(path, *window).sound(AUDIO) for window in ((None, None), (START, END)))
    begin = round(START * 16000)
    assert cut.seconds == pytest.approx(END - START, abs=1e-4)
    np.testing.assert_allclose(cut.samples, whole.samples[begin : begin + len(cut.samples)], atol=tolerance)
    if name not in UNPROVEN:
        assert starts[1].seek_to is not None, "reads from the beginning what it could seek"


@pytest.mark.parametrize("ending", ["mp4", "mkv", "ts"])
def test_what_no_packet_proves_is_read_from_the_beginning(
    tmp_path: Path, ending: str, monkeypatch: pytest.MonkeyPatch, starts: list[seeking.Start]
) -> None:
    """And gives the same pictures and sound, so that a proof is a matter of time alone."""
    path = write_clip(
        tmp_path / f"clip.{ending}", times_ms=every(40, 750), samples=noise(30, 48000), options={"g": "50"}
    )
    proven = decode(path, START, END)
    monkeypatch.setattr(StreamPackets, "number_of", lambda self, packet: None)
    unproven = decode(path, START, END)
    assert [start.seek_to is None for start in starts] == [False, True]
    np.testing.assert_allclose(unproven.sound(AUDIO).samples, proven.sound(AUDIO).samples, atol=1e-2)
    assert unproven.frames(FRAMES).times_s == proven.frames(FRAMES).times_s
    np.testing.assert_array_equal(unproven.frames(FRAMES).pixels, proven.frames(FRAMES).pixels)


@pytest.mark.parametrize("name", ["plain.mp4", "pcm.wav", "ima.wav", "no-table.mp3"])
def test_another_cut_of_a_file_opens_it_once_and_decodes_little(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And has the bits that it has when it is the only one."""
    path = write_clip(tmp_path / name, samples=noise(60, 16000), rate_hz=16000, **SOUNDS[name][0])  # type: ignore[arg-type]
    alone = decode(path, START, END).sound(AUDIO).samples
    survey._remembered.clear()
    decode(path, 2.5, 3.5)
    opened: list[str] = []
    decoded: list[float] = []
    av_open, feed = av.open, SoundReader.feed
    monkeypatch.setattr("av.open", lambda *given, **options: opened.append(given[0]) or av_open(*given, **options))
    monkeypatch.setattr(
        SoundReader, "feed", lambda self, frame: decoded.append(frame.samples / frame.sample_rate) or feed(self, frame)
    )
    np.testing.assert_array_equal(decode(path, START, END).sound(AUDIO).samples, alone)
    assert len(opened) <= (3 if name in UNPROVEN else 1), "a seek that is not proven is tried twice"
    assert sum(decoded) < END - START + 2.5


def joined(folder: Path, ending: str) -> Path:
    """Two files of 3 s each, one behind the other: frames 0 to 74 with 440 Hz, then 100 to 174 with 880 Hz."""
    parts = []
    for first, frequency in ((0, 440), (100, 880)):
        codecs = {"video_codec": "mpeg2video", "audio_codec": "mp2", "rate": 25} if ending == "mpg" else {}
        part = write_clip(
            folder / f"{first}.{ending}",
            times_ms=every(40, 75),
            samples=sine(3, 48000, frequency),
            draw=lambda number, width, height, first=first: numbered_picture(first + number, width, height),
            **codecs,  # type: ignore[arg-type]
        )
        parts.append(part.read_bytes())
    path = folder / f"joined.{ending}"
    path.write_bytes(b"".join(parts))
    return path


def frequency_of(samples: np.ndarray) -> float:
    return float(np.argmax(np.abs(np.fft.rfft(samples * np.hanning(len(samples))))) * 16000 / len(samples))


@pytest.mark.parametrize("ending", ["ts", "mpg", "mkv"])
def test_a_clock_that_starts_again_goes_on(tmp_path: Path, ending: str) -> None:
    """Files joined byte by byte: pictures and sound are of both, in their order."""
    clip = decode(joined(tmp_path, ending))
    frames, sound = clip.frames(FRAMES), clip.sound(AUDIO)
    assert frames.seconds == pytest.approx(6, abs=0.13)
    expected = [18, 56, 118, 156]  # at 0.75, 2.25, 3.75 and 5.25 s
    assert [number_of(picture) for picture in frames.pixels] == pytest.approx(expected, abs=1.1)
    assert sound.seconds == pytest.approx(6, abs=0.1)
    assert frequency_of(sound.samples[:40000]) == pytest.approx(440, abs=2)
    assert frequency_of(sound.samples[-40000:]) == pytest.approx(880, abs=2)


@pytest.mark.parametrize("ending", ["ts", "mpg", "mkv"])
def test_a_cut_of_the_second_of_two_joined_files(tmp_path: Path, ending: str) -> None:
    clip = decode(joined(tmp_path, ending), 4.0, 5.0)
    expected = [128, 134, 140, 146]
    assert [number_of(picture) for picture in clip.frames(FRAMES).pixels] == pytest.approx(expected, abs=3.1)
    assert frequency_of(clip.sound(AUDIO).samples) == pytest.approx(880, abs=2)
