"""The packets of a file's streams, learnt from one reading of all of them, without decoding."""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice
from operator import le
from pathlib import Path

from av.container import InputContainer
from av.packet import Packet
from av.stream import Stream

from features.media import limits
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
        self._is_even = codec.startswith("pcm_")  # as many bytes for each tick
        self.has_state = "pcm" in codec and not codec.startswith("pcm_") and codec not in _ADPCM_IN_BLOCKS
        self.is_empty = not stream.frames  # until a packet is found: its index promises nothing
        self._keys = KeyFrames(stream) if stream.type == "video" else None
        self._positions = array("q")
        self._sizes = array("i")
        self._flags = bytearray()
        self._all_flags = 0
        self._last_discard = -1  # the number of the last packet that is not presented
        self._is_sound = stream.type == "audio"
        self._is_one_run = False  # whether a packet brings what decoders must know of those after it
        self._in_order = True
        self._last: tuple[int, int] | None = None  # (tick, duration) of the packet with the latest time
        self._offset = 0
        self._clock: int | None = None
        self._restart = int(_RESTART_S / self.time_base)
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
            self._last_discard = len(self.ticks)
        elif self._keys is not None and self._keys.may_start(packet):
            flags |= _START
        self._is_one_run |= bool(self.ticks) and packet.has_sidedata("new_extradata")
        if not flags & _DISCARD and (self._last is None or (tick, packet.duration or 0) >= self._last):
            self._last = (tick, packet.duration or 0)
        self._in_order &= not self.ticks or tick >= self.ticks[-1]
        self._all_flags |= flags
        self.is_empty = False
        self.ticks.append(tick)
        self._positions.append(-1 if packet.pos is None else packet.pos)
        self._sizes.append(packet.size)
        self._flags.append(flags)

    def _follow_clock(self, decoded: int) -> None:
        """Note how much is to be added to times since the clock last started again."""
        if self._clock is not None and self._clock - decoded > self._restart:
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
        if self._is_even:
            return self._number_around(packet.pos, packet.pts)
        number = -1
        while True:
            try:
                number = self._positions.index(packet.pos, number + 1)
            except ValueError:
                return None
            if self.ticks[number] == packet.pts and self._sizes[number] == packet.size:
                return number

    def _number_around(self, position: int, tick: int) -> int | None:
        """The number of the packet that holds this place, if its time fits: PCM is cut into packets anywhere."""
        number = bisect_right(self._positions, position) - 1
        if number < 0 or len(self) < 2 or not position - self._positions[number] < self._sizes[number]:
            return None
        ahead = (position - self._positions[number]) * (self.ticks[1] - self.ticks[0])
        return number if ahead == (tick - self.ticks[number]) * self._sizes[0] else None

    def timeline(self, first: int) -> Timeline | None:
        """When the frames of the packets from number `first` on are presented; None where there are none."""
        flags, ticks = self._flags[first:], self.ticks[first:]
        if self._last_discard >= first:
            kept = [number for number, flag in enumerate(flags) if not flag & _DISCARD]
            flags, ticks = bytearray(flags[number] for number in kept), array("q", (ticks[number] for number in kept))
        if not ticks or self._last is None:
            return None
        in_order = self._in_order or all(map(le, ticks, ticks[1:]))
        has_times = not (self._all_flags & _TIMELESS and any(flag & _TIMELESS for flag in flags))
        if self._avi_with_b_frames:
            has_times = has_times and not in_order  # AVI stores decoding times; for some codecs FFmpeg can do no better
        if not in_order:
            ticks = array("q", sorted(ticks))
        last = self._last[1]
        if last <= 0 and len(ticks) > 1:
            last = ticks[-1] - ticks[-2]
        return Timeline(self.time_base, ticks, max(last, 0), has_times)

    def passed_over(self, time: Fraction) -> int:
        """How many packets from the first on need not be decoded for what is heard from `time` (seconds) on.

        None of pictures, nor of sound in which each packet goes on from the one before.
        """
        if not self._is_sound or self.has_state or not self._in_order:
            return 0
        return max(0, min(bisect_left(self.ticks, time / self.time_base), len(self)) - 1)

    @property
    def has_starts(self) -> bool:
        """Whether decoding may start anywhere, as far as is known."""
        return bool(self._all_flags & _START) and not self._is_one_run

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


def all_packets(container: InputContainer, indices: tuple[int, ...], *, is_cut: bool) -> FilePackets:
    """All packets of some streams of a container of which nothing was read yet.

    is_cut: only a part of the file will be decoded
    Raises UnavailableError (too-large) above MAX_PACKETS, of a file that is cut above MAX_LISTED_PACKETS.
    """
    limit = limits.MAX_LISTED_PACKETS if is_cut else limits.MAX_PACKETS
    mend = "cut the file" if is_cut else "give start and end, or cut the file"
    if not indices:  # asked for packets of no stream, PyAV gives those of all
        return FilePackets({})
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
