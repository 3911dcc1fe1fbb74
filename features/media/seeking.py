"""Where to start reading a file for a cut of it: after a seek only where the packets prove that it led there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import chain
from pathlib import Path

from av.container import InputContainer
from av.error import FFmpegError
from av.packet import Packet

from features.media.container import open_container, read_packets
from features.media.packets import FilePackets
from features.media.timeline import Window

_MICROSECONDS = 1_000_000
_PREROLL_S = (1, 10)  # how far before a cut to seek


@dataclass(frozen=True)
class Reading:
    """An opened container, and its packets from a start on, not yet read as far as is known outside."""

    container: InputContainer
    packets: Iterator[Packet]


@dataclass(frozen=True)
class Start:
    """Where to start reading, and from which packet of each stream to decode.

    seek_to: in microseconds, or None for the beginning of the file
    firsts:  stream index -> the number of the first packet that is decoded; 0 for those that are not named
    reading: the file opened there already; it serves once
    """

    seek_to: int | None = None
    firsts: Mapping[int, int] = field(default_factory=dict)
    reading: Reading | None = None

    def first(self, index: int) -> int:
        return self.firsts.get(index, 0)


def find_start(path: Path, packets: FilePackets, window: Window, opened: ExitStack) -> Start:
    """A place shortly before the window that a seek is proven to lead to, or else the beginning of the file, from where
    sound is passed over undecoded until shortly before the window.

    Demuxers work out times after a seek from what they know of the file, some by its mean rate of bytes. So the first
    packets there are compared with those of the file as a whole: their times, places and sizes must be the same.
    opened: closes what was opened
    """
    if window.start is None or not packets.may_seek or not packets.streams:
        return Start()
    for preroll in _PREROLL_S:
        if window.start <= preroll:
            break
        seek_to = int((window.start - preroll) * _MICROSECONDS)
        with ExitStack() as attempt:
            container = attempt.enter_context(open_container(path))
            try:
                start = _proven(container, packets, seek_to, window.start)
            except FFmpegError:  # it has no way to seek
                break
            if start is not None:
                opened.enter_context(attempt.pop_all())
                return start
    time = window.start - _PREROLL_S[0]
    return Start(firsts={index: stream.passed_over(time) for index, stream in packets.streams.items()})


def _proven(container: InputContainer, packets: FilePackets, seek_to: int, latest: Fraction) -> Start | None:
    """The start that a seek leads to. None where a packet there is unknown, or later than `latest`."""
    streams = [container.streams[index] for index in packets.streams]
    firsts: dict[int, int] = {}
    read: list[Packet] = []
    reading = read_packets(container, streams, seek_to)
    for packet in reading:
        read.append(packet)
        stream = packets.streams[packet.stream_index]
        if packet.stream_index not in firsts:
            number = stream.number_of(packet)
            if number is None:
                return None
            firsts[packet.stream_index] = number
        if packet.pts is not None and packet.pts * stream.time_base > latest:
            return None
        if len(firsts) == len(streams):
            return Start(seek_to, firsts, Reading(container, chain(read, reading)))
    return None
