"""Every kind of odd clip through a whole extraction of sound and picture: each costs its own row and says why."""

from __future__ import annotations

import wave
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from clip_factory import every, sine, without_codec, write_clip
from store_factory import make_manifest
from tiny_speech import write_tiny_speech

from features.encoders.for_store import build_encoders
from features.encoders.protocol import EncoderRequest
from features.engines.decode_pool import DecodeOptions
from features.extract import extract_features
from features.manifest import Manifest
from features.store import Feature

PICTURES = every(40, 25)


def surround(seconds: float) -> np.ndarray:
    """float32 [6, n]: 5.1 in which the centre alone speaks."""
    channels = np.zeros((6, round(seconds * 48000)), np.float32)
    channels[2] = sine(seconds, 48000)
    return channels


def truncated(path: Path) -> None:
    index_first = {"movflags": "faststart"}
    whole = path.with_name("whole.mp4")
    write_clip(whole, times_ms=PICTURES, samples=sine(1, 48000), container_options=index_first)
    data = whole.read_bytes()
    path.write_bytes(data[: len(data) * 7 // 10])


def zero_length(path: Path) -> None:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16000)


def without_video_codec(path: Path) -> None:
    without_codec(write_clip(path.with_name("v.mp4"), times_ms=PICTURES, samples=sine(1, 48000)), path, b"avc1")


def without_audio_codec(path: Path) -> None:
    source = write_clip(path.with_name("a.mp4"), times_ms=PICTURES, samples=sine(1, 48000), audio_codec="ac3")
    without_codec(source, path, b"ac-3")


def stereo(path: Path) -> None:
    write_clip(path, times_ms=PICTURES, samples=sine(1, 48000).repeat(2, axis=0), layout="stereo")


@dataclass(frozen=True)
class Odd:
    """A kind of clip, and what the ledgers say of its sound and its pictures: a reason, or None where that is usable.

    cut: whether it is longer than the encoders' max_seconds
    """

    make: Callable[[Path], object]
    audio: str | None = None
    visual: str | None = None
    cut: bool = False


ODD: dict[str, Odd] = {
    "plain.mp4": Odd(lambda p: write_clip(p, times_ms=PICTURES, samples=sine(1, 48000))),
    "no-audio.mp4": Odd(lambda p: write_clip(p, times_ms=PICTURES), audio="no-audio"),
    "no-video.mp4": Odd(lambda p: write_clip(p, samples=sine(1, 48000)), visual="no-video"),
    "surround.mp4": Odd(lambda p: write_clip(p, times_ms=PICTURES, samples=surround(1), layout="5.1")),
    "stereo.mp4": Odd(stereo),
    "mono-8-khz.mp4": Odd(lambda p: write_clip(p, times_ms=PICTURES, samples=sine(1, 8000), rate_hz=8000)),
    "variable-rate.mp4": Odd(lambda p: write_clip(p, times_ms=[0, 40, 80, 900, 940], samples=sine(1, 48000))),
    "one-frame.mp4": Odd(lambda p: write_clip(p, times_ms=[0], samples=sine(1, 48000))),
    "too-short.wav": Odd(
        lambda p: write_clip(p, samples=sine(0.01, 16000), rate_hz=16000, audio_codec="pcm_s16le"),
        audio="too-short",
        visual="no-video",
    ),
    "zero-length.wav": Odd(zero_length, audio="no-audio", visual="no-video"),
    "empty.mp4": Odd(lambda p: p.write_bytes(b""), audio="undecodable", visual="undecodable"),
    "truncated.mp4": Odd(truncated),
    "text.mp4": Odd(lambda p: p.write_text("This is not a film.\n" * 50), audio="undecodable", visual="undecodable"),
    "audio-without-codec.mp4": Odd(without_audio_codec, audio="undecodable"),
    "video-without-codec.mp4": Odd(without_video_codec, visual="undecodable"),
    "five-minutes.mp4": Odd(
        lambda p: write_clip(p, times_ms=every(1000, 300), samples=sine(300, 8000), rate_hz=8000), cut=True
    ),
    "absent.mp4": Odd(lambda p: None, audio="no-file", visual="no-file"),
}


@dataclass(frozen=True)
class Corpus:
    manifest: Manifest
    root: Path
    speech: Path

    def extract(self, store: str, *, workers: int, batch_size: int | None = None) -> dict[str, Feature]:
        """The features of one run of three encoders, by encoder."""
        requests = [
            EncoderRequest("waveform"),
            EncoderRequest("wav2vec2", model=str(self.speech), batch_size=batch_size),
            EncoderRequest("resnet50", model="resnet18", weights="random", batch_size=batch_size),
        ]
        encoders, _ = build_encoders(requests, self.root / store, "fp32")
        jobs = extract_features(self.manifest, self.root / store, encoders, decoding=DecodeOptions(workers=workers))
        return {job.plan.spec.encoder: Feature(self.root / store, job.key) for job in jobs}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    """All of ODD in one manifest."""
    root = tmp_path_factory.mktemp("odd")
    media = root / "media"
    media.mkdir()
    names = list(ODD)
    for name in names:
        ODD[name].make(media / name)
    manifest = replace(make_manifest(len(names), media=lambda number: names[number]), media_root=media)
    return Corpus(manifest, root, write_tiny_speech(root / "speech", "wav2vec2"))


@pytest.fixture(scope="module")
def features(corpus: Corpus) -> dict[str, Feature]:
    return corpus.extract("store", workers=0)


@pytest.mark.parametrize("name", list(ODD))
def test_odd_clip(corpus: Corpus, features: dict[str, Feature], name: str) -> None:
    manifest = corpus.manifest
    number = list(ODD).index(name)
    odd = ODD[name]
    waveform_short = odd.audio == "too-short"  # 10 ms are too short for wav2vec2's first frame, not for a waveform
    expected = {"waveform": None if waveform_short else odd.audio, "wav2vec2": odd.audio, "resnet50": odd.visual}
    for encoder, reason in expected.items():
        row = features[encoder].ledger().row(number, named=True)
        assert (row["utterance_id"], row["reason"]) == (manifest.ids[number], reason), encoder
        assert row["status"] == ("ok" if reason is None else "failed" if reason == "undecodable" else "missing")
        if reason is None:
            assert row["cut"] == odd.cut, encoder
    rows = features["wav2vec2"].read([manifest.ids[number]])
    assert rows.present[0] == (odd.audio is None)
    assert np.isfinite(rows.values).all()


def test_the_centre_of_surround_sound_is_heard(corpus: Corpus, features: dict[str, Feature]) -> None:
    samples = features["waveform"].read_sequences([corpus.manifest.ids[list(ODD).index("surround.mp4")]])[0]
    assert samples is not None
    assert np.abs(samples).max() > 0.1


def test_worker_processes_change_no_bit_and_batches_no_more_than_rounding(
    corpus: Corpus, features: dict[str, Feature]
) -> None:
    by_workers = corpus.extract("by-workers", workers=2)
    alone = corpus.extract("alone", workers=0, batch_size=1)
    for encoder in ("wav2vec2", "resnet50"):
        rows = features[encoder].read(corpus.manifest.ids)
        np.testing.assert_array_equal(by_workers[encoder].read(corpus.manifest.ids).values, rows.values)
        one_by_one = alone[encoder].read(corpus.manifest.ids)
        assert rows.reason == one_by_one.reason
        errors = np.linalg.norm(one_by_one.values - rows.values, axis=1)[rows.present]
        assert (errors < 1e-5 * np.linalg.norm(rows.values, axis=1)[rows.present]).all()
