"""One decoding pass over a clip: each wanted stream feeds its reader until the reader has what it needs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from av.container import InputContainer
from av.error import FFmpegError
from av.packet import Packet
from av.stream import Stream

from features.errors import Reason, UnavailableError
from features.media import limits
from features.media.container import (
    choose_stream,
    describe,
    open_container,
    prepare_decoder,
    read_packets,
)
from features.media.frame_reader import FrameReader
from features.media.needs import AudioNeed, Frames, FramesNeed, Sound
from features.media.sound_reader import SoundReader
from features.media.timeline import Survey, Timeline, Window, survey

Reader = SoundReader | FrameReader
Sounds = dict[AudioNeed, Sound | UnavailableError]
Pictures = dict[FramesNeed, Frames | UnavailableError]


@dataclass(frozen=True)
class _Chosen:
    """The stream of one kind that is decoded. sample_aspect: width of a picture's sample by its height, if known"""

    index: int
    codec: str
    sample_aspect: Fraction | None


def decode(
    path: Path, start: float | None, end: float | None, sounds: Sequence[AudioNeed], frames: Sequence[FramesNeed]
) -> tuple[Sounds, Pictures]:
    """Everything that is asked of one clip, or why it is not to be had. A broken stream does not take the other along.

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
                    chosen[kind] = _choose(container, kind)
    plan = survey(path, [stream.index for stream in chosen.values()], window)
    for kind, stream in chosen.items():
        with _kept(troubles, kind):
            timeline = plan.timeline(stream.index)
            if kind == "audio":
                readers[kind] = SoundReader(timeline, window, sounds, stream.codec)
            else:
                readers[kind] = FrameReader(timeline, window, frames, stream.sample_aspect)
    _feed(path, plan.seek_to, {chosen[kind].index: reader for kind, reader in readers.items()})
    if isinstance(video := readers.get("video"), FrameReader):
        readers["video"] = _feed_again(path, plan, window, frames, chosen["video"], video)
    results: dict[Any, Any] = {}
    for kind, needs in wanted.items():
        with _kept(troubles, kind):
            results |= readers[kind].results() if kind in readers else {}
        if kind in troubles:
            results |= dict.fromkeys(needs, troubles[kind])
    return {need: results[need] for need in sounds}, {need: results[need] for need in frames}


def _feed_again(
    path: Path, plan: Survey, window: Window, frames: Sequence[FramesNeed], stream: _Chosen, video: FrameReader
) -> FrameReader:
    """Where frames that the packets promised did not decode: look at every frame, then sample what there is."""

    def read_every_frame(timeline: Timeline) -> FrameReader:
        reader = FrameReader(timeline, window, frames, stream.sample_aspect, every_frame=True)
        _feed(path, plan.seek_to, {stream.index: reader})
        return reader

    if video.missed:
        video = read_every_frame(plan.timeline(stream.index))
    if (shorter := video.decoded_timeline()) is not None:
        video = read_every_frame(shorter)
    return video


@contextmanager
def _kept(troubles: dict[str, UnavailableError], kind: str) -> Iterator[None]:
    """Keep what is wrong with one stream, and go on with the other."""
    try:
        yield
    except UnavailableError as error:
        troubles[kind] = error


def _choose(container: InputContainer, kind: str) -> _Chosen:
    """The stream to decode. Raises UnavailableError (no-audio, no-video, undecodable, too-large)."""
    stream = choose_stream(container, kind)
    prepare_decoder(stream)
    return _Chosen(stream.index, stream.codec_context.name, getattr(stream, "sample_aspect_ratio", None))


def _feed(path: Path, seek_to: int | None, readers: Mapping[int, Reader]) -> None:
    """Decode the streams of these indices into their readers, and stop once all are done."""
    running = {index: reader for index, reader in readers.items() if not reader.done}
    if not running:
        return
    with open_container(path) as container:
        streams = [container.streams[index] for index in running]
        for stream in streams:
            prepare_decoder(stream)
        for packet in read_packets(container, streams, seek_to):
            reader = running.get(packet.stream_index)
            if reader is None:
                continue
            _push(reader, packet.stream, packet)
            if reader.done:
                del running[packet.stream_index]
                if not running:
                    return
        for stream in streams:  # the frames that the decoders still hold back
            if stream.index in running:
                _push(running[stream.index], stream, None)


def _push(reader: Reader, stream: Stream, packet: Packet | None) -> None:
    """Decode one packet into a reader. A packet that does not decode is noted and passed over, as players do."""
    if isinstance(reader, FrameReader) and packet is not None:
        stream.codec_context.skip_frame = "DEFAULT" if reader.wants(packet.pts) else "NONREF"
    try:
        frames = stream.codec_context.decode(packet)
    except MemoryError:
        reader.refuse(UnavailableError(Reason.OUT_OF_MEMORY, "no memory for a decoded frame"))
        return
    except FFmpegError as error:
        reader.damage = reader.damage or describe(error) + _unknown_size(stream)
        return
    try:
        for frame in frames:
            if not reader.done:
                reader.feed(frame)
    except UnavailableError as error:
        reader.refuse(error)
    except (FFmpegError, ValueError) as error:
        reader.refuse(UnavailableError(Reason.UNDECODABLE, describe(error)))


def _unknown_size(stream: Stream) -> str:
    """Said of pictures whose size FFmpeg did not get to know, since they are damaged or above the limit."""
    if stream.type == "video" and not stream.codec_context.width:
        return f"; of unknown size, perhaps above {limits.MAX_PIXELS:,} pixels"
    return ""
