"""A file's packets decoded into the readers of its streams, from where reading is to start."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

from av.container import InputContainer
from av.error import FFmpegError
from av.packet import Packet
from av.stream import Stream

from features.errors import Reason, UnavailableError
from features.media import limits
from features.media.container import describe, open_container, prepare_decoder, read_packets
from features.media.frame_reader import FrameReader
from features.media.packets import FilePackets, StreamPackets
from features.media.seeking import Start
from features.media.sound_reader import SoundReader
from features.media.timeline import Timeline

Reader = SoundReader | FrameReader

_EMPTY = {"audio": Reason.NO_AUDIO, "video": Reason.NO_VIDEO}


@dataclass(frozen=True)
class Source:
    """A file, what is known of its packets, and where to start reading it."""

    path: Path
    packets: FilePackets
    start: Start

    def timeline(self, index: int, kind: str) -> Timeline:
        """Of a stream, from the start on. Raises UnavailableError: no-audio or no-video where the stream is declared
        and empty, undecodable where it holds nothing whole."""
        packets = self.packets.streams[index]
        timeline = packets.timeline(self.start.first(index))
        if timeline is not None:
            return timeline
        if packets.is_empty:
            raise UnavailableError(_EMPTY[kind], f"its {kind} stream ({index}) is empty")
        raise UnavailableError(Reason.UNDECODABLE, f"stream {index} holds no whole packet")

    def feed(self, readers: Mapping[int, Reader]) -> None:
        """Decode the streams of these indices into their readers, and stop once all are done."""
        running = {index: reader for index, reader in readers.items() if not reader.done}
        if not running:
            return
        with self._open() as container:
            streams = [container.streams[index] for index in running]
            for stream in streams:
                prepare_decoder(stream)
            feeds = {stream.index: self._feed_of(stream, running[stream.index]) for stream in streams}
            reading = self.start.reading
            for packet in reading.packets if reading else read_packets(container, streams, self.start.seek_to):
                feed = feeds.get(packet.stream_index)
                if feed is None:
                    continue
                feed.take(packet)
                if feed.reader.done:
                    del feeds[packet.stream_index]
                    if not feeds:
                        return
            for feed in feeds.values():
                feed.push(None)  # the frames that the decoder still holds back

    def anew(self) -> Source:
        """The same, to be opened and read once more."""
        return replace(self, start=replace(self.start, reading=None))

    def _open(self) -> AbstractContextManager[InputContainer]:
        reading = self.start.reading
        return nullcontext(reading.container) if reading else open_container(self.path)

    def _feed_of(self, stream: Stream, reader: Reader) -> _Feed:
        first = self.start.first(stream.index)
        read_from = 0 if self.start.seek_to is None else first
        return _Feed(stream, reader, self.packets.streams[stream.index], first, read_from)


class _Feed:
    """One stream's packets into its decoder, and the frames into its reader.

    Of video whose wanted frames are known, only these are decoded, and what they refer to.
    """

    def __init__(self, stream: Stream, reader: Reader, packets: StreamPackets, first: int, read_from: int) -> None:
        """first: the number of the packet to decode first; read_from: of the one that comes first"""
        self.reader = reader
        self._stream = stream
        self._packets = packets
        self._number = read_from
        self._first = first
        self._ranges: list[tuple[int, int]] | None = None
        if isinstance(reader, FrameReader) and reader.jumps_to and packets.has_starts:
            self._ranges = packets.ranges(reader.jumps_to, first)[::-1]  # the next one last

    def take(self, packet: Packet) -> None:
        """Take the next packet of the stream; decode it if that is of use."""
        number, self._number = self._number, self._number + 1
        if number < self._first:
            return
        if self._packets.joined and packet.pts is not None and number < len(self._packets):
            packet.pts = self._packets.ticks[number]
        if self._ranges is None:
            self.push(packet)
        elif self._ranges and number >= self._ranges[-1][0]:
            self.push(packet)
            if number + 1 == self._ranges[-1][1]:
                self._ranges.pop()
                self.push(None)
                self._stream.codec_context.flush_buffers()

    def push(self, packet: Packet | None) -> None:
        """Decode one packet; None: have the decoder give what it holds back. A packet that does not decode is noted and
        passed over, as players do."""
        reader, stream = self.reader, self._stream
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
