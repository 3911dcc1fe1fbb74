"""Where to start reading a file for a cut of it: after a seek only where the packets prove that it led there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

from av.container import InputContainer
from av.error import FFmpegError

from features.media.container import open_container, read_packets
from features.media.packets import FilePackets
from features.media.timeline import Window

_MICROSECONDS = 1_000_000
_PREROLL_S = (1, 10)  # how far before a cut to seek


@dataclass(frozen=True)
class Start:
    """Where to start reading.

    seek_to: in microseconds, or None for the beginning of the file
    firsts:  stream index -> the number of the first packet that is read there; 0 for those that are not named
    """

    seek_to: int | None = None
    firsts: Mapping[int, int] = field(default_factory=dict)

    def first(self, index: int) -> int:
        return self.firsts.get(index, 0)


def find_start(path: Path, packets: FilePackets, window: Window) -> Start:
    """The beginning of the file, or a place shortly before the window that a seek is proven to lead to.

    Demuxers work out times after a seek from what they know of the file, some by its mean rate of bytes. So the first
    packets there are compared with those of the file as a whole: their times, places and sizes must be the same.
    """
    if window.start is None or not packets.may_seek or not packets.streams:
        return Start()
    for preroll in _PREROLL_S:
        if window.start <= preroll:
            break
        seek_to = int((window.start - preroll) * _MICROSECONDS)
        with open_container(path) as container:
            try:
                firsts = _firsts(container, packets, seek_to, window.start)
            except FFmpegError:  # it has no way to seek
                break
        if firsts is not None:
            return Start(seek_to, firsts)
    return Start()


def _firsts(container: InputContainer, packets: FilePackets, seek_to: int, latest: Fraction) -> dict[int, int] | None:
    """Stream index -> number of its first packet after a seek. None where one is unknown, or later than `latest`."""
    streams = [container.streams[index] for index in packets.streams]
    firsts: dict[int, int] = {}
    for packet in read_packets(container, streams, seek_to):
        stream = packets.streams[packet.stream_index]
        if packet.stream_index not in firsts:
            number = stream.number_of(packet)
            if number is None:
                return None
            firsts[packet.stream_index] = number
        if packet.pts is not None and packet.pts * stream.time_base > latest:
            return None
        if len(firsts) == len(streams):
            return firsts
    return None
