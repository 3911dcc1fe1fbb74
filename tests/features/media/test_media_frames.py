"""Which frames are decoded: the wanted ones and those they refer to, and every one where a wanted one is damaged."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest
from clip_factory import every, number_of, utterance, write_clip

from features.media.clip import decode_clip
from features.media.frame_reader import FrameReader
from features.media.needs import ClipNeeds, Frames, FramesNeed

B_FRAMES = {"bf": "3", "g": "250", "sc_threshold": "0", "x264-params": "b-adapt=0:b-pyramid=none"}


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """4 s: 100 numbered frames, every fourth one (0, 4, 8, ...) a reference, the others referred to by none."""
    return write_clip(tmp_path_factory.mktemp("clips") / "clip.mp4", times_ms=every(40, 100), options=B_FRAMES)


def decoded_times(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The times of the frames that leave the decoder from now on."""
    times: list[float] = []
    feed = FrameReader.feed

    def noting(self: FrameReader, frame: av.VideoFrame) -> None:
        times.append(round(float(frame.time or 0), 3))
        feed(self, frame)

    monkeypatch.setattr(FrameReader, "feed", noting)
    return times


def frames_of(path: Path, need: FramesNeed) -> Frames:
    return decode_clip(path, utterance(), [ClipNeeds(frames=need)]).frames(need)


def test_frames_that_nobody_wants_or_refers_to_are_not_decoded(clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    times = decoded_times(monkeypatch)
    wanted = frames_of(clip, FramesNeed(5, 30.0)).times_s
    assert [round(time, 3) for time in wanted] == [0.4, 1.2, 2.0, 2.8, 3.6]
    assert len(times) < 40
    assert set(wanted) <= set(times)
    assert times[-1] == 3.6


def test_passing_frames_over_changes_no_pixel(clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    need = FramesNeed(7, 30.0)
    some = frames_of(clip, need)
    monkeypatch.setattr(FrameReader, "wants", lambda self, tick: True)
    times = decoded_times(monkeypatch)
    whole = frames_of(clip, need)
    assert len(times) > 80
    assert some.times_s == whole.times_s
    np.testing.assert_array_equal(np.stack(some.pixels), np.stack(whole.pixels))


def test_for_a_wanted_frame_that_is_damaged_its_neighbour_stands_in(clip: Path, tmp_path: Path) -> None:
    """Frame 50 (at 2 s) is no reference; 49, which nobody wanted, is then the latest that decodes."""
    data = bytearray(clip.read_bytes())
    with av.open(str(clip)) as container:
        packets = [packet for packet in container.demux(video=0) if packet.pts is not None]
        packet = next(packet for packet in packets if packet.pts * packet.time_base == 2)
        assert packet.pos is not None
        data[packet.pos : packet.pos + packet.size] = b"\xff" * packet.size
    damaged = tmp_path / "damaged.mp4"
    damaged.write_bytes(data)
    frames = frames_of(damaged, FramesNeed(5, 30.0))
    assert [number_of(picture) for picture in frames.pixels] == [10, 30, 49, 70, 90]


def test_frames_at_the_ends(clip: Path) -> None:
    """As the report took them: the first at 0, the last at the clip's end."""
    frames = frames_of(clip, FramesNeed(5, 600.0, ends=True))
    assert [number_of(picture) for picture in frames.pixels] == [0, 25, 50, 75, 99]
    assert number_of(frames_of(clip, FramesNeed(1, 600.0, ends=True)).pixels[0]) == 50
