"""Clips that ask for more memory than any clip needs are refused before it is taken, with the value and the limit."""

from __future__ import annotations

import json
import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from bomb_factory import endless_sound, growing_pictures, long_index, one_picture, png, wav
from clip_factory import every, number_of, sine, utterance, write_clip

from features.errors import Reason, UnavailableError
from features.media import limits
from features.media.clip import Clip, decode_clip
from features.media.needs import AudioNeed, ClipNeeds, FramesNeed
from features.media.packets import StreamPackets

AUDIO, FRAMES = AudioNeed(16000, 30.0), FramesNeed(5, 30.0)
ALONE = Path(__file__).with_name("decode_alone.py")

linux = pytest.mark.skipif(sys.platform != "linux", reason="memory as Linux counts it")


def decode(path: Path, start: float | None = None, end: float | None = None) -> Clip:
    return decode_clip(path, utterance(start, end), [ClipNeeds(AUDIO, FRAMES)])


def decode_alone(path: Path, *limit: str) -> dict[str, Any]:
    """What `decode_alone.py` says of a clip."""
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, str(ALONE), str(path), *limit],
        env={"PYTHONPATH": f"{root}:{root / 'tests/features'}"},
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(done.stdout)


@linux
def test_a_small_file_with_a_huge_picture(tmp_path: Path) -> None:
    """432 MB of pixels, which FFmpeg would decode while it opens the file."""
    path = png(tmp_path / "picture.png", 12_000, 12_000)
    assert path.stat().st_size < 2_000_000
    found = decode_alone(path)
    assert found["grown_mb"] < 100
    assert "of unknown size, perhaps above 35,651,584 pixels" in found["said"]["frames"]


@linux
def test_a_video_whose_pictures_become_huge(tmp_path: Path) -> None:
    """256 MB of a grey picture after ten small ones: these are the clip."""
    path = growing_pictures(tmp_path / "growing.mjpeg", 10, 16_000, 16_000)
    found = decode_alone(path)
    assert found["grown_mb"] < 100
    assert found["said"]["frames"] == "0.44 s"
    assert [number_of(picture) for picture in decode(path).frames(FRAMES).pixels] == [1, 3, 5, 7, 9]


@linux
def test_a_small_file_with_an_endless_index(tmp_path: Path) -> None:
    """FFmpeg would take 3.8 GB for the tables of 2 KB of mp4: a worker's limit on memory is what stops it."""
    path = long_index(tmp_path / "index.mp4", 60_000_000)
    assert path.stat().st_size < 5_000
    found = decode_alone(path, str(1 << 30))
    assert found["grown_mb"] < 1100
    assert "undecodable" in str(found["said"]) or "out-of-memory" in str(found["said"])


def test_a_size_that_ffmpeg_drops_since_it_is_above_the_limit(tmp_path: Path) -> None:
    """The size is in the file's header, but FFmpeg forgets it (not of H.264: see test_media.py)."""
    with pytest.raises(UnavailableError, match="of unknown size, perhaps above 35,651,584 pixels") as caught:
        decode(one_picture(tmp_path / "large.mov", 8192, 5000)).frames(FRAMES)
    assert caught.value.reason is Reason.UNDECODABLE


def test_a_picture_at_the_limit_is_read(tmp_path: Path) -> None:
    pixels = decode(one_picture(tmp_path / "large.mov", 8192, 4352)).frames(FRAMES).pixels
    assert [picture.shape for picture in pixels] == [(4352, 8192, 3)] * 5
    assert len({id(picture) for picture in pixels}) == 1


@pytest.mark.parametrize(
    ("rate_hz", "num_channels", "detail"),
    [
        (1, 1, r"sound at 1 Hz \(1,000 to 768,000 are read\)"),
        (10_000_000, 1, r"sound at 10,000,000 Hz \(1,000 to 768,000 are read\)"),
        (16_000, 255, r"sound of 255 channels \(at most 64\)"),
    ],
)
def test_sound_that_no_clip_has(tmp_path: Path, rate_hz: int, num_channels: int, detail: str) -> None:
    clip = decode(wav(tmp_path / "sound.wav", rate_hz, num_channels))
    with pytest.raises(UnavailableError, match=detail) as caught:
        clip.sound(AUDIO)
    assert caught.value.reason is Reason.TOO_LARGE


@pytest.mark.parametrize(("rate_hz", "num_channels"), [(1_000, 1), (768_000, 1), (16_000, 8)])
def test_sound_at_the_limits_is_read(tmp_path: Path, rate_hz: int, num_channels: int) -> None:
    clip = decode(wav(tmp_path / "sound.wav", rate_hz, num_channels))
    assert clip.sound(AUDIO).seconds == pytest.approx(20_000 / rate_hz, rel=0.01)


def test_sound_that_claims_to_last_for_months(tmp_path: Path) -> None:
    """No more than max_seconds of it are decoded, and nothing is made for what is only claimed."""
    path = endless_sound(tmp_path / "months.mp4", 40, 8000 * 3600 * 50)
    sound = decode(path).sound(AUDIO)
    assert sound.samples.shape == (30 * 16000,)
    assert sound.cut
    assert sound.seconds > 3000 * 3600
    assert np.abs(sound.samples[-16000:]).max() == pytest.approx(0.5, abs=0.05)


def test_a_hundred_thousand_frames_a_second(tmp_path: Path) -> None:
    path = write_clip(
        tmp_path / "fast.mp4",
        times_ms=every(1, 1000),  # in units of the time base
        video_time_base=Fraction(1, 100_000),
        options={"preset": "ultrafast"},
    )
    frames = decode(path).frames(FRAMES)
    assert frames.seconds == pytest.approx(0.04999)  # the last frame lasts for 40 ms
    assert [number_of(picture) for picture in frames.pixels] == [499, 999, 999, 999, 999]


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """40 s of pictures and sound."""
    path = tmp_path_factory.mktemp("session") / "session.mp4"
    options = {"g": "50", "preset": "ultrafast"}
    return write_clip(path, times_ms=every(40, 1000), samples=sine(40, 16000), rate_hz=16000, options=options)


def test_packets_are_counted_and_a_cut_of_a_long_file_needs_few(session: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAX_PACKETS", 400)
    detail = r"401 packets \(at most 400\): give start and end, or cut the file"
    with pytest.raises(UnavailableError, match=detail) as caught:
        decode(session)
    assert caught.value.reason is Reason.TOO_LARGE
    cut = decode(session, 30.0, 31.0)
    assert cut.sound(AUDIO).seconds == pytest.approx(1.0)
    assert cut.frames(FRAMES).seconds == pytest.approx(1.0)


def test_what_is_remembered_of_a_packet_is_its_time_place_and_size(session: Path) -> None:
    with av.open(str(session)) as container:
        stream = container.streams.audio[0]
        packet = next(container.demux(stream))
        tracemalloc.start()
        try:
            packets = StreamPackets(stream)
            for _ in range(200_000):
                packets.add(packet)
            grown, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert len(packets) == 200_000
    assert grown < 25 * 200_000


def test_streams_are_counted(session: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAX_STREAMS", 1)
    with pytest.raises(UnavailableError, match=r"2 streams \(at most 1\)") as caught:
        decode(session)
    assert caught.value.reason is Reason.TOO_LARGE


def test_a_decoded_picture_counts_as_it_is_and_as_rgb(session: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """160x48: 23,040 bytes of RGB and at least 11,520 as decoded, five times."""
    monkeypatch.setattr(limits, "MAX_KEPT_BYTES", 5 * 23_040)
    clip = decode(session)
    with pytest.raises(UnavailableError, match=r"pictures of [\d,]+ bytes \(at most 115,200\): take fewer frames"):
        clip.frames(FRAMES)


def no_memory(*arguments: object, **options: object) -> None:
    raise MemoryError


@pytest.mark.parametrize("where", ["av.open", "features.media.frame_reader.FrameReader.feed"])
def test_memory_that_runs_out_is_a_reason_of_its_own(
    session: Path, monkeypatch: pytest.MonkeyPatch, where: str, request: pytest.FixtureRequest
) -> None:
    from features.engines.clip_task import ClipReader, ClipTask, process_clip

    monkeypatch.setattr(where, no_memory)
    readers: dict[str, ClipReader] = {"one": ClipReader(ClipNeeds(frames=FRAMES), _take_frames)}
    outcome = process_clip(ClipTask(utterance(), session, ("one",)), readers).outcomes["one"]
    assert isinstance(outcome, UnavailableError)
    assert outcome.reason is Reason.OUT_OF_MEMORY


_take_frames: Callable[[Clip], Any] = lambda clip: clip.frames(FRAMES)  # noqa: E731
