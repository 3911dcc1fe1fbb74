"""Groups of pictures in which none is wanted are not decoded, and no pixel is another for that."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest
from clip_factory import number_of, utterance, write_clip

from features.media.clip import decode_clip
from features.media.frame_reader import FrameReader
from features.media.needs import ClipNeeds, Frames, FramesNeed
from features.media.packets import StreamPackets

RATE, COUNT = 30, 600
X264 = {"preset": "ultrafast", "sc_threshold": "0", "g": "60"}

X265 = {"preset": "ultrafast", "x265-params": "keyint=60:log-level=none:open-gop=0"}
OPEN = ":open-gop=1:bframes=3"


def moving(number: int, width: int, height: int) -> np.ndarray:
    """uint8 RGB [h, w, 3]: a pattern that goes on a little from picture to picture, so that each refers to others."""
    x, y = np.meshgrid(np.arange(width), np.arange(height))
    waves = [np.sin((x * (1 + c) + 3 * number) / 9 + y / (5 + c)) for c in range(3)]
    return (127 + 100 * np.stack(waves, axis=-1)).astype(np.uint8)


# file -> how it is written, and whether most frames need not be decoded
CLIPS: dict[str, tuple[dict[str, object], bool]] = {
    "plain.mp4": ({"options": X264 | {"bf": "0"}}, True),
    "plain.ts": ({"options": X264 | {"bf": "0"}}, True),
    "plain.mkv": ({"options": X264 | {"bf": "0"}}, True),
    "b-frames.mp4": ({"options": X264 | {"preset": "veryfast", "bf": "3"}}, True),
    "open-groups.mp4": ({"options": X264 | {"preset": "veryfast", "bf": "3", "x264-params": "open-gop=1"}}, False),
    "refreshed.mp4": ({"options": X264 | {"x264-params": "intra-refresh=1"}}, False),
    "refreshed.ts": ({"options": X264 | {"x264-params": "intra-refresh=1"}}, False),
    "interlaced.mp4": ({"options": X264 | {"flags": "+ildct+ilme", "x264-params": "tff=1"}}, False),
    "hevc.mp4": ({"video_codec": "libx265", "options": X265}, True),
    "hevc-open.mp4": ({"video_codec": "libx265", "options": X265 | {"x265-params": X265["x265-params"] + OPEN}}, False),
    "mpeg4.mp4": ({"video_codec": "mpeg4", "options": {"g": "60"}}, True),
    "mpeg4-b.mp4": ({"video_codec": "mpeg4", "options": {"g": "60", "bf": "2"}}, True),
    "mpeg4.avi": ({"video_codec": "mpeg4", "options": {"g": "60"}}, True),
    "mpeg4-b.avi": ({"video_codec": "mpeg4", "options": {"g": "60", "bf": "2"}}, True),
    "mpeg2.ts": ({"video_codec": "mpeg2video", "options": {"g": "15", "bf": "2"}}, True),
    "mpeg1.mpg": ({"video_codec": "mpeg1video", "options": {"g": "15", "bf": "2"}}, True),
    "vp8.webm": ({"video_codec": "libvpx", "options": {"g": "60", "deadline": "realtime", "cpu-used": "8"}}, True),
    "vp9.webm": ({"video_codec": "libvpx-vp9", "options": {"g": "60", "deadline": "realtime", "cpu-used": "8"}}, True),
    "stills.mkv": ({"video_codec": "mjpeg", "pixel_format": "yuvj420p"}, True),
}


def frames_of(path: Path, need: FramesNeed, start: float | None = None, end: float | None = None) -> Frames:
    return decode_clip(path, utterance(start, end), [ClipNeeds(frames=need)]).frames(need)


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Grows by one for each frame that leaves the decoder."""
    fed: list[int] = []
    feed = FrameReader.feed

    def counting(self: FrameReader, frame: av.VideoFrame) -> None:
        fed.append(1)
        feed(self, frame)

    monkeypatch.setattr(FrameReader, "feed", counting)
    return fed


@pytest.mark.parametrize("name", CLIPS)
def test_no_pixel_is_another_than_if_all_were_decoded(
    tmp_path: Path, name: str, decoded: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    options, few = CLIPS[name]
    path = write_clip(tmp_path / name, times_ms=[0] * COUNT, rate=RATE, draw=moving, **options)  # type: ignore[arg-type]
    needs = [(FramesNeed(5, 600.0),), (FramesNeed(7, 600.0, ends=True),), (FramesNeed(4, 600.0), 7.3, 11.9)]
    some = [frames_of(path, *need) for need in needs]
    num_some = len(decoded)
    monkeypatch.setattr(FrameReader, "jumps_to", frozenset())
    monkeypatch.setattr(FrameReader, "wants", lambda self, tick: True)
    whole = [frames_of(path, *need) for need in needs]
    num_whole = len(decoded) - num_some
    for one, other in zip(some, whole, strict=True):
        assert one.times_s == other.times_s
        np.testing.assert_array_equal(one.pixels, other.pixels)
    assert (num_some < 0.4 * num_whole) == few, (num_some, num_whole)


def test_a_wanted_key_frame_is_decoded_alone(tmp_path: Path, decoded: list[int]) -> None:
    """Of 20 s with a key frame each 2 s, the middles of five fifths are key frames."""
    path = write_clip(tmp_path / "clip.mp4", times_ms=[0] * COUNT, rate=RATE, options=X264 | {"bf": "0"})
    frames = frames_of(path, FramesNeed(5, 600.0))
    assert [number_of(picture) for picture in frames.pixels] == [60, 180, 300, 420, 540]
    assert len(decoded) == 5


def test_a_damaged_group_has_its_neighbour_stand_in(tmp_path: Path) -> None:
    """The group around the third wanted frame does not decode at all: the last frame before it is on screen."""
    path = write_clip(tmp_path / "clip.mp4", times_ms=[0] * COUNT, rate=RATE, options=X264 | {"bf": "0"})
    data = bytearray(path.read_bytes())
    with av.open(str(path)) as container:
        for packet in container.demux(video=0):
            if packet.pts is not None and 300 <= round(packet.pts * packet.time_base * RATE) < 360:
                data[packet.pos : packet.pos + packet.size] = b"\xff" * packet.size
    path.write_bytes(data)
    assert [number_of(picture) for picture in frames_of(path, FramesNeed(5, 600.0)).pixels] == [60, 180, 299, 420, 540]


class BringsParameters:
    """A packet as if it had new parameters beside its bytes."""

    def __init__(self, packet: av.Packet) -> None:
        self._packet = packet

    def __getattr__(self, name: str) -> object:
        return getattr(self._packet, name)

    def __bytes__(self) -> bytes:
        return bytes(self._packet)

    def has_sidedata(self, kind: str) -> bool:
        return kind == "new_extradata"


@pytest.mark.parametrize("at", [None, 0, 100])
def test_no_group_is_passed_over_where_a_packet_brings_new_parameters(tmp_path: Path, at: int | None) -> None:
    """Decoders must see it, wherever in the file it is; at the very beginning they do."""
    path = write_clip(tmp_path / "clip.mp4", times_ms=[0] * 150, rate=RATE, options=X264 | {"bf": "0"})
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        packets = StreamPackets(stream)
        for number, packet in enumerate(container.demux(stream)):
            if packet.size:
                packets.add(packet if number != at else BringsParameters(packet))  # type: ignore[arg-type]
    assert packets.has_starts == (at != 100)
