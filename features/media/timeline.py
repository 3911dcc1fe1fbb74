"""When a clip's frames are presented, and which part of them an utterance is: learnt from packets, without decoding."""

from __future__ import annotations

import bisect
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from av.container import InputContainer
from av.error import FFmpegError
from av.stream import Stream

from features.errors import Reason, UnavailableError
from features.media import limits
from features.media.container import open_container, read_packets
from features.media.limits import check_count

_MICROSECONDS = 1_000_000
_PREROLL_S = (1, 10, None)  # how far before a cut to seek; None: to the file's beginning
_INTERLEAVING_S = 10  # packets of a cut's end are looked for this long after its end


@dataclass(frozen=True)
class Window:
    """The part of a media file that an utterance is, in its own time (seconds, exact). Unbounded ends are None."""

    start: Fraction | None
    end: Fraction | None

    @classmethod
    def of_cut(cls, container: InputContainer, start: float | None, end: float | None) -> Window:
        """A cut given in seconds from the beginning of the file, to the microsecond."""
        if start is None and end is None:
            return cls(None, None)
        origin = Fraction(container.start_time or 0, _MICROSECONDS)
        first = origin + Fraction(start or 0).limit_denominator(_MICROSECONDS)
        last = None if end is None else origin + Fraction(end).limit_denominator(_MICROSECONDS)
        return cls(first, last)


@dataclass(frozen=True)
class Timeline:
    """When the frames of one stream are presented, by its packets.

    ticks:     sorted presentation times, in units of `time_base` seconds
    last:      how long the last frame lasts, in the same units
    has_times: False where the file stores none: `ticks` are then decoding times, the n-th decoded frame has the n-th
    """

    time_base: Fraction
    ticks: Sequence[int]
    last: int
    has_times: bool = True

    @property
    def begin(self) -> Fraction:
        return self.ticks[0] * self.time_base

    @property
    def end(self) -> Fraction:
        return (self.ticks[-1] + self.last) * self.time_base

    def shown_at(self, time: Fraction) -> Fraction:
        """Presentation time of the frame that is on screen at `time`; of the first one before that."""
        index = bisect.bisect_right(self.ticks, time / self.time_base) - 1
        return self.ticks[max(index, 0)] * self.time_base

    def cut_after(self, time: Fraction) -> Timeline:
        """The same without the frames after `time`: those that turned out not to decode."""
        kept = self.ticks[: bisect.bisect_right(self.ticks, time / self.time_base)] or self.ticks[:1]
        step = round((kept[-1] - kept[0]) / (len(kept) - 1)) if len(kept) > 1 else self.last
        return Timeline(self.time_base, kept, step, self.has_times)


@dataclass(frozen=True)
class Survey:
    """What one pass over the packets told.

    seek_to:   where to start decoding, in microseconds, or None for the beginning
    timelines: stream index -> its timeline, for the streams that have packets
    cut:       whether only a part of the file was looked at
    """

    seek_to: int | None
    timelines: dict[int, Timeline]
    cut: bool

    def timeline(self, index: int) -> Timeline:
        """Raises UnavailableError: too-short where the cut holds nothing of a stream, undecodable without a packet."""
        if index in self.timelines:
            return self.timelines[index]
        if self.cut:
            raise UnavailableError(Reason.TOO_SHORT, f"stream {index} has nothing within the cut")
        raise UnavailableError(Reason.UNDECODABLE, f"stream {index} holds no whole packet")


def survey(path: Path, stream_indices: Sequence[int], window: Window) -> Survey:
    """Read the packets' times within a window; of a long file, only those near it.

    Where the file's index leads past the start of the cut, it is looked for further back. Raises UnavailableError
    (too-large) above MAX_PACKETS.
    """
    cut = window.start is not None
    if not stream_indices:  # asked for packets of no stream, PyAV gives those of all
        return Survey(None, {}, cut)
    for preroll in _PREROLL_S:
        seek_to = None
        if window.start is not None and preroll is not None and window.start > preroll:
            seek_to = int((window.start - preroll) * _MICROSECONDS)
        with open_container(path) as container:
            streams = [container.streams[index] for index in stream_indices]
            try:
                timelines = _timelines(container, streams, seek_to, window)
            except FFmpegError:
                continue
        begins = [timelines[index].begin for index in stream_indices if index in timelines]
        if seek_to is None or (len(begins) == len(stream_indices) and max(begins) <= (window.start or 0)):
            break
    return Survey(seek_to, timelines, cut)


def _timelines(
    container: InputContainer, streams: Sequence[Stream], seek_to: int | None, window: Window
) -> dict[int, Timeline]:
    times = {stream.index: _Times() for stream in streams}
    finished: set[int] = set()
    for count, packet in enumerate(read_packets(container, streams, seek_to), start=1):
        check_count(count, limits.MAX_PACKETS, "packets", ": give start and end, or cut the file")
        if packet.is_discard:
            continue
        index, tick = packet.stream_index, packet.pts
        if tick is None:
            times[index].timeless = True
            tick = packet.dts if packet.dts is not None else _counted_tick(packet.stream, len(times[index].ticks))
        decoded_at = (packet.dts if packet.dts is not None else tick) * _time_base(packet.stream)
        if window.end is not None and decoded_at >= window.end:
            finished.add(index)
            if len(finished) == len(streams) or decoded_at > window.end + _INTERLEAVING_S:
                break
        times[index].add(tick, packet.duration or 0)
    return {stream.index: _timeline(stream, times[stream.index]) for stream in streams if times[stream.index].ticks}


class _Times:
    """The times of one stream's packets, in the file's order: 8 bytes a packet.

    sorted:   each is at or after the one before it
    last:     (tick, duration) of the packet with the latest time
    timeless: some packet had no time of its own
    """

    def __init__(self) -> None:
        self.ticks = array("q")
        self.sorted = True
        self.last = (0, 0)
        self.timeless = False

    def add(self, tick: int, duration: int) -> None:
        if not self.ticks or (tick, duration) >= self.last:
            self.last = (tick, duration)
        else:
            self.sorted = False
        self.ticks.append(tick)


def _timeline(stream: Stream, times: _Times) -> Timeline:
    has_times = not times.timeless
    if stream.container.format.name == "avi" and getattr(stream.codec_context, "has_b_frames", False):
        has_times = has_times and not times.sorted  # AVI stores decoding times; for some codecs FFmpeg can do no better
    ticks = times.ticks if times.sorted else array("q", sorted(times.ticks))
    last = times.last[1]
    if last <= 0 and len(ticks) > 1:
        last = ticks[-1] - ticks[-2]
    return Timeline(_time_base(stream), ticks, max(last, 0), has_times)


def _counted_tick(stream: Stream, count: int) -> int:
    """The time of the count-th packet of a stream that stores no times: at its nominal rate, or 25/s without one."""
    rate = getattr(stream, "average_rate", None) or 25
    return round(count / rate / _time_base(stream))


def _time_base(stream: Stream) -> Fraction:
    """Seconds per tick; a stream without any is counted in microseconds, as FFmpeg does."""
    return stream.time_base or Fraction(1, _MICROSECONDS)
