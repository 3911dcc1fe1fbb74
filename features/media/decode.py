"""One decoding pass over a clip: each wanted stream feeds its reader until the reader has what it needs."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from av.container import InputContainer

from features.errors import UnavailableError
from features.media import limits
from features.media.container import choose_stream, may_be_cover, open_container, prepare_decoder
from features.media.frame_reader import FrameReader
from features.media.needs import AudioNeed, Frames, FramesNeed, Sound
from features.media.packets import file_packets, holds_one_packet
from features.media.seeking import find_start
from features.media.sound_reader import SoundReader
from features.media.source import Reader, Source
from features.media.timeline import Timeline, Window

Sounds = dict[AudioNeed, Sound | UnavailableError]
Pictures = dict[FramesNeed, Frames | UnavailableError]


@dataclass(frozen=True)
class _Chosen:
    """The stream of one kind that is decoded. sample_aspect: width of a picture's sample by its height, if known"""

    index: int
    codec: str
    sample_aspect: Fraction | None


def decode(
    path: Path,
    state: tuple[int, ...],
    start: float | None,
    end: float | None,
    sounds: Sequence[AudioNeed],
    frames: Sequence[FramesNeed],
) -> tuple[Sounds, Pictures]:
    """Everything that is asked of one clip, or why it is not to be had. A broken stream does not take the other along.

    state:      what changes when the file does
    start, end: the cut in seconds from the beginning of the file, or None
    Raises UnavailableError (undecodable) where the file is no media.
    """
    wanted: dict[str, Sequence[Any]] = {"audio": sounds, "video": frames}
    troubles: dict[str, UnavailableError] = {}
    chosen: dict[str, _Chosen] = {}
    readers: dict[str, Reader] = {}
    with open_container(path) as container:
        window = Window.of_cut(container, start, end)
        for kind, needs in wanted.items():
            with _kept(troubles, kind):
                if needs:
                    covers = _covers(path, container) if kind == "video" else []
                    chosen[kind] = _choose(container, kind, covers)
    indices = tuple(stream.index for stream in chosen.values())
    is_whole = window == Window(None, None)
    limit = limits.MAX_PACKETS if is_whole else limits.MAX_LISTED_PACKETS
    packets = file_packets(path, state, indices, limit, "give start and end, or cut the file" if is_whole else "cut it")
    source = Source(path, packets, find_start(path, packets, window))
    for kind, stream in chosen.items():
        with _kept(troubles, kind):
            timeline = source.timeline(stream.index, kind)
            if kind == "audio":
                readers[kind] = SoundReader(timeline, window, sounds, stream.codec)
            else:
                readers[kind] = FrameReader(timeline, window, frames, stream.sample_aspect)
    source.feed({chosen[kind].index: reader for kind, reader in readers.items()})
    if isinstance(video := readers.get("video"), FrameReader):
        readers["video"] = _feed_again(source, window, frames, chosen["video"], video)
    results: dict[Any, Any] = {}
    for kind, needs in wanted.items():
        with _kept(troubles, kind):
            results |= readers[kind].results() if kind in readers else {}
        if kind in troubles:
            results |= dict.fromkeys(needs, troubles[kind])
    return {need: results[need] for need in sounds}, {need: results[need] for need in frames}


def _feed_again(
    source: Source, window: Window, frames: Sequence[FramesNeed], stream: _Chosen, video: FrameReader
) -> FrameReader:
    """Read pictures anew where jumping is not allowed. Where frames that the packets promised did not decode: look at
    every frame, then sample what there is."""

    def read(timeline: Timeline, *, every_frame: bool) -> FrameReader:
        reader = FrameReader(timeline, window, frames, stream.sample_aspect, every_frame=every_frame, may_jump=False)
        source.feed({stream.index: reader})
        return reader

    if video.must_not_jump:
        video = read(source.timeline(stream.index, "video"), every_frame=False)
    if video.missed:
        video = read(source.timeline(stream.index, "video"), every_frame=True)
    if (shorter := video.decoded_timeline()) is not None:
        video = read(shorter, every_frame=True)
    return video


@contextmanager
def _kept(troubles: dict[str, UnavailableError], kind: str) -> Iterator[None]:
    """Keep what is wrong with one stream, and go on with the other."""
    try:
        yield
    except UnavailableError as error:
        troubles[kind] = error


def _choose(container: InputContainer, kind: str, covers: Collection[int]) -> _Chosen:
    """The stream to decode. Raises UnavailableError (no-audio, no-video, undecodable, too-large)."""
    stream = choose_stream(container, kind, covers)
    prepare_decoder(stream)
    return _Chosen(stream.index, stream.codec_context.name, getattr(stream, "sample_aspect_ratio", None))


def _covers(path: Path, container: InputContainer) -> list[int]:
    """Indices of the video streams that are single still pictures beside sound."""
    return [
        stream.index
        for stream in container.streams.video
        if stream.codec_context and may_be_cover(container, stream) and holds_one_packet(path, stream.index)
    ]
