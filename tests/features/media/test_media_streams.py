"""Which stream is a clip's sound and which its pictures, and what is neither."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import av
import numpy as np
import pytest
from clip_factory import every, number_of, numbered_picture, sine, utterance, write_clip

from features.errors import Reason, UnavailableError
from features.media.clip import Clip, decode_clip
from features.media.needs import AudioNeed, ClipNeeds, FramesNeed

AUDIO, FRAMES = AudioNeed(16000, 30.0), FramesNeed(3, 30.0)


def decode(path: Path) -> Clip:
    return decode_clip(path, utterance(), [ClipNeeds(AUDIO, FRAMES)])


def write_tracks(path: Path, pictures: Sequence[tuple[str, Sequence[int]]], seconds: float | None) -> Path:
    """Write a file with a track of numbered pictures for each (codec, numbers), 25 a second, then one of sound.

    seconds: of sound; 0: its track is empty; None: no such track
    """
    with av.open(str(path), "w") as container:
        tracks = []
        for codec, _ in pictures:
            track = container.add_stream(codec, rate=25)
            track.width, track.height = 160, 48
            track.pix_fmt = {"mjpeg": "yuvj420p", "png": "rgb24"}.get(codec, "yuv420p")
            tracks.append(track)
        sound = None if seconds is None else container.add_stream("aac", rate=48000, layout="mono")
        for track, (_, numbers) in zip(tracks, pictures, strict=True):
            for place, number in enumerate(numbers):
                frame = av.VideoFrame.from_ndarray(numbered_picture(number), format="rgb24").reformat(
                    format=track.pix_fmt
                )
                frame.pts = place
                container.mux(track.encode(frame))
            container.mux(track.encode(None))
        if sound is not None and seconds:
            frame = av.AudioFrame.from_ndarray(sine(seconds, 48000), format="fltp", layout="mono")
            frame.sample_rate, frame.pts = 48000, 0
            container.mux(sound.encode(frame))
            container.mux(sound.encode(None))
    return path


@pytest.mark.parametrize(
    ("ending", "codec"), [("mp4", "mjpeg"), ("mkv", "mjpeg"), ("mov", "mjpeg"), ("mp4", "png"), ("mov", "png")]
)
def test_a_cover_in_a_track_of_its_own_is_not_the_clips_picture(tmp_path: Path, ending: str, codec: str) -> None:
    clip = decode(write_tracks(tmp_path / f"song.{ending}", [(codec, [5])], seconds=3))
    with pytest.raises(UnavailableError, match=f"its only picture is a cover: one {codec}") as caught:
        clip.frames(FRAMES)
    assert caught.value.reason is Reason.NO_VIDEO
    assert clip.sound(AUDIO).seconds == pytest.approx(3, abs=0.05)


@pytest.mark.parametrize("ending", ["mp4", "mkv"])
def test_the_film_behind_a_cover_is_seen(tmp_path: Path, ending: str) -> None:
    path = write_tracks(tmp_path / f"film.{ending}", [("mjpeg", [5]), ("libx264", range(75))], seconds=3)
    assert [number_of(picture) for picture in decode(path).frames(FRAMES).pixels] == [12, 37, 62]


def test_one_still_without_sound_and_stills_that_move_are_pictures(tmp_path: Path) -> None:
    still = write_tracks(tmp_path / "still.mkv", [("mjpeg", [5])], seconds=None)
    assert [number_of(picture) for picture in decode(still).frames(FRAMES).pixels] == [5, 5, 5]
    moving = write_tracks(tmp_path / "moving.mkv", [("mjpeg", range(75))], seconds=3)
    assert [number_of(picture) for picture in decode(moving).frames(FRAMES).pixels] == [12, 37, 62]


@pytest.mark.parametrize("ending", ["mp4", "mkv", "mov", "avi"])
def test_a_declared_but_empty_sound_track_is_no_audio(tmp_path: Path, ending: str) -> None:
    clip = decode(write_tracks(tmp_path / f"silent.{ending}", [("libx264", range(75))], seconds=0))
    with pytest.raises(UnavailableError, match=r"no-audio: its (audio stream \(1\) is empty|streams: video)") as caught:
        clip.sound(AUDIO)
    assert caught.value.reason is Reason.NO_AUDIO
    assert [number_of(picture) for picture in clip.frames(FRAMES).pixels] == [12, 37, 62]


def test_a_file_that_breaks_off_before_its_sound_is_undecodable(tmp_path: Path) -> None:
    """Its header promises sound: that is not the same as having none."""
    options = {"movflags": "faststart"}
    source = write_clip(
        tmp_path / "whole.mp4",
        times_ms=every(40, 75),
        samples=sine(1, 48000),
        sound_start_ms=2000,
        container_options=options,
    )
    with av.open(str(source)) as container:
        first = next(packet.pos for packet in container.demux(audio=0))
    path = tmp_path / "broken.mp4"
    path.write_bytes(source.read_bytes()[:first])
    with pytest.raises(UnavailableError, match="holds no whole packet") as caught:
        decode(path).sound(AUDIO)
    assert caught.value.reason is Reason.UNDECODABLE
    assert np.isfinite(decode(path).frames(FRAMES).seconds)
