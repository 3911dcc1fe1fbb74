"""A cut that lies partly outside its file: what there is is used, and the ledger says what was not there."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from clip_factory import every, sine, utterance, write_clip
from store_factory import make_manifest

from features.encoders.for_store import build_encoders
from features.encoders.protocol import EncoderRequest
from features.engines.decode_pool import DecodeOptions
from features.extract import extract_features
from features.media.clip import decode_clip
from features.media.needs import AudioNeed, ClipNeeds, FramesNeed
from features.store import Feature

AUDIO, FRAMES = AudioNeed(16000, 100.0), FramesNeed(5, 100.0)
SOUND, PICTURES = ClipNeeds(audio=AUDIO), ClipNeeds(frames=FRAMES)


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """20 s of sound, 19 s of pictures."""
    path = tmp_path_factory.mktemp("media") / "film.mp4"
    return write_clip(path, times_ms=every(40, 475), samples=sine(20, 16000), rate_hz=16000, options={"g": "25"})


@pytest.mark.parametrize(
    ("start", "end", "sound_ms", "pictures_ms"),
    [
        (None, None, 0, 0),
        (17.1, None, 0, 0),
        (2.0, 4.0, 0, 0),
        (17.1, 19.05, 0, 0),  # a frame beyond its end is no more than the rounding of an annotation
        (17.1, 19.7, 0, 700),
        (17.1, 35.0, 15_000, 16_000),
        (None, 35.0, 15_000, 16_000),
    ],
)
def test_how_much_of_a_cut_lies_outside(
    film: Path, start: float | None, end: float | None, sound_ms: int, pictures_ms: int
) -> None:
    clip = decode_clip(film, utterance(start, end), [SOUND, PICTURES])
    assert clip.outside_ms(SOUND) == pytest.approx(sound_ms, abs=100 if sound_ms else 0)
    assert clip.outside_ms(PICTURES) == pytest.approx(pictures_ms, abs=30 if pictures_ms else 0)
    assert clip.outside_ms(ClipNeeds(AUDIO, FRAMES)) == max(clip.outside_ms(SOUND), clip.outside_ms(PICTURES))


@pytest.mark.parametrize("workers", [0, 1])
def test_the_ledger_says_how_much_of_a_cut_was_not_there(film: Path, tmp_path: Path, workers: int) -> None:
    ends = [4.0, 35.0, 19.5]
    manifest = make_manifest(3, media="film.mp4", start=2.0, end=lambda number: ends[number])
    encoders, _ = build_encoders([EncoderRequest("waveform"), EncoderRequest("hog-colour")], tmp_path, "fp32")
    manifest = replace(manifest, media_root=film.parent)
    jobs = extract_features(manifest, tmp_path, encoders, decoding=DecodeOptions(workers=workers))
    assert [job.outside for job in jobs] == [1, 2]
    waveform, hog = (Feature(tmp_path, job.key).ledger() for job in jobs)
    assert waveform["status"].to_list() == hog["status"].to_list() == ["ok"] * 3
    assert waveform["outside_ms"].to_list() == [None, pytest.approx(15_000, abs=100), None]
    assert hog["outside_ms"].to_list() == [None, pytest.approx(16_000, abs=30), pytest.approx(500, abs=30)]
    assert hog["detail"].to_list() == [
        None,
        "16.00 s of the cut lie outside the clip",
        "0.50 s of the cut lie outside the clip",
    ]
