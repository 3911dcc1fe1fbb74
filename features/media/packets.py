"""The packets of a file's streams, learnt from one reading of all of them, without decoding."""

from __future__ import annotations

from array import array
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from itertools import islice
from operator import le
from pathlib import Path

from av.packet import Packet
from av.stream import Stream

from features.media.container import open_container, read_packets
from features.media.key_frames import KeyFrames
from features.media.limits import check_count
from features.media.timeline import Timeline

_MICROSECONDS = 1_000_000
_RESTART_S = 1  # a clock that goes back by more has started again: another file was appended to this one
_ADPCM_IN_BLOCKS = frozenset(("adpcm_ima_wav", "adpcm_ms"))  # each packet says where it starts from; others do not
_TIMELESS, _DISCARD, _START = 1, 2, 4  # flags of a packet


class StreamPackets:
    """The packets of one stream in the file's order, 21 bytes each. Their number there is what names them.

    Where the stream's clock starts again, the times go on from where they were.

    time_base: seconds per tick
    ticks:     presentation times; decoding times where there are no others
    joined:    whether the clock started again
    has_state: whether a packet's sound is told by all packets before it, so that decoding must start at the first
    """

    def __init__(self, stream: Stream) -> None:
        self.time_base = _time_base(stream)
        self.ticks = array("q")
        self.joined = False
        codec = "" if stream.codec_context is None else stream.codec_context.name
        self.has_state = "pcm" in codec and not codec.startswith("pcm_") and codec not in _ADPCM_IN_BLOCKS
        self.is_empty = not stream.frames  # until a packet is found: its index promises nothing
        self._keys = KeyFrames(stream) if stream.type == "video" else None
        self._positions = array("q")
        self._sizes = array("i")
        self._flags = bytearray()
        self._last = (0, 0)  # (tick, duration) of the packet with the latest time
        self._offset = 0
        self._clock: int | None = None
        self._step = 0
        self._avi_with_b_frames = stream.container.format.name == "avi" and bool(
            getattr(stream.codec_context, "has_b_frames", False)
        )

    def __len__(self) -> int:
        return len(self.ticks)

    def add(self, packet: Packet) -> None:
        """Take the next packet."""
        tick, flags = packet.pts, 0
        if tick is None:
            flags |= _TIMELESS
            tick = packet.dts if packet.dts is not None else self._counted_tick(packet.stream)
        self._follow_clock(packet.dts if packet.dts is not None else tick)
        tick += self._offset
        if packet.is_discard:
            flags |= _DISCARD
        elif self._keys is not None and self._keys.may_start(packet):
            flags |= _START
        self._last = max(self._last, (tick, packet.duration or 0)) if self.ticks else (tick, packet.duration or 0)
        self.is_empty = False
        self.ticks.append(tick)
        self._positions.append(-1 if packet.pos is None else packet.pos)
        self._sizes.append(packet.size)
        self._flags.append(flags)

    def _follow_clock(self, decoded: int) -> None:
        """Note how much is to be added to times since the clock last started again."""
        if self._clock is not None and (self._clock - decoded) * self.time_base > _RESTART_S:
            self._offset += self._clock + self._step - decoded
            self.joined = True
        elif self._clock is not None and decoded > self._clock:
            self._step = decoded - self._clock
        self._clock = decoded

    def _counted_tick(self, stream: Stream) -> int:
        """The time of a packet of a stream that stores none: at its nominal rate, or 25/s without one."""
        rate = getattr(stream, "average_rate", None) or 25
        return round(len(self.ticks) / rate / self.time_base)

    def time(self, number: int) -> Fraction:
        """Presentation time of a packet, in seconds."""
        return self.ticks[number] * self.time_base

    def number_of(self, packet: Packet) -> int | None:
        """The number of a packet that was read after a seek; None where no packet has its time, place and size: then
        the seek led elsewhere than it says."""
        if packet.pos is None or packet.pos < 0 or packet.pts is None:
            return None
        number = -1
        while True:
            try:
                number = self._positions.index(packet.pos, number + 1)
            except ValueError:
                return None
            if self.ticks[number] == packet.pts and self._sizes[number] == packet.size:
                return number

    def timeline(self, first: int) -> Timeline | None:
        """When the frames of the packets from number `first` on are presented; None where there are none."""
        flags, ticks = self._flags[first:], self.ticks[first:]
        if any(flag & _DISCARD for flag in flags):
            kept = [number for number, flag in enumerate(flags) if not flag & _DISCARD]
            flags, ticks = bytearray(flags[number] for number in kept), array("q", (ticks[number] for number in kept))
        if not ticks:
            return None
        in_order = all(map(le, ticks, ticks[1:]))
        has_times = not any(flag & _TIMELESS for flag in flags)
        if self._avi_with_b_frames:
            has_times = has_times and not in_order  # AVI stores decoding times; for some codecs FFmpeg can do no better
        if not in_order:
            ticks = array("q", sorted(ticks))
        last = self._last[1]
        if last <= 0 and len(ticks) > 1:
            last = ticks[-1] - ticks[-2]
        return Timeline(self.time_base, ticks, max(last, 0), has_times)

    @property
    def has_starts(self) -> bool:
        """Whether decoding may start anywhere, as far as is known."""
        return any(flag & _START for flag in self._flags)

    def ranges(self, wanted: set[int], first: int) -> list[tuple[int, int]]:
        """What is to be decoded for the frames at these ticks: numbers (start, stop) of packets, in order.

        Each range starts at the latest key frame at or before its frame, both in the file and on screen, or at `first`.
        """
        found: list[tuple[int, int]] = []
        starts: list[int] = []  # of the packets so far, those that decoding may start at
        left = set(wanted)
        for number in range(first, len(self)):
            if self._flags[number] & _START:
                starts.append(number)
            if self._flags[number] & _DISCARD or self.ticks[number] not in wanted:
                continue
            start = next((key for key in reversed(starts) if self.ticks[key] <= self.ticks[number]), first)
            while found and start <= found[-1][1]:
                start = min(start, found.pop()[0])
            found.append((start, number + 1))
            left.discard(self.ticks[number])
            if not left and (number + 1 == len(self) or self.ticks[number + 1] != self.ticks[number]):
                break
        return found


@dataclass(frozen=True)
class FilePackets:
    """The packets of some streams of a file, by stream index."""

    streams: dict[int, StreamPackets]

    @property
    def may_seek(self) -> bool:
        """Whether times name one place of the file each, and decoding may start at any key frame."""
        return not any(stream.joined or stream.has_state for stream in self.streams.values())


@lru_cache(maxsize=2)
def file_packets(path: Path, state: tuple[int, ...], indices: tuple[int, ...], limit: int, mend: str) -> FilePackets:
    """Read all packets of some streams; remembered while the file's `state` is the same, for its other cuts.

    Raises UnavailableError (too-large) above `limit` packets.
    """
    if not indices:  # asked for packets of no stream, PyAV gives those of all
        return FilePackets({})
    with open_container(path) as container:
        streams = [container.streams[index] for index in indices]
        found = {stream.index: StreamPackets(stream) for stream in streams}
        for count, packet in enumerate(read_packets(container, streams, None), start=1):
            check_count(count, limit, "packets", f": {mend}")
            found[packet.stream_index].add(packet)
    return FilePackets(found)


def holds_one_packet(path: Path, index: int) -> bool:
    """Whether a stream is a single picture."""
    with open_container(path) as container:
        found = list(islice(read_packets(container, [container.streams[index]], None), 2))
    return len(found) == 1


def _time_base(stream: Stream) -> Fraction:
    """Seconds per tick; a stream without any is counted in microseconds, as FFmpeg does."""
    return stream.time_base or Fraction(1, _MICROSECONDS)
