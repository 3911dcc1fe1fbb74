"""What is known of a file before anything is decoded: its streams and their packets. Remembered for its other cuts."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from av.container import InputContainer

from features.errors import UnavailableError
from features.media.container import choose_stream, may_be_cover, open_container, prepare_decoder
from features.media.packets import FilePackets, all_packets, holds_one_packet

_REMEMBERED = 2  # files
_MICROSECONDS = 1_000_000


@dataclass(frozen=True)
class Chosen:
    """The stream of one kind that is decoded. sample_aspect: width of a picture's sample by its height, if known"""

    index: int
    codec: str
    sample_aspect: Fraction | None


@dataclass(frozen=True)
class Survey:
    """A file's beginning, in its own time (seconds), the stream of each kind or why there is none, and the packets."""

    origin: Fraction
    chosen: dict[str, Chosen]
    troubles: dict[str, UnavailableError]
    packets: FilePackets


_remembered: dict[tuple[Path, tuple[int, ...], tuple[str, ...]], Survey] = {}


def survey_file(path: Path, state: tuple[int, ...], kinds: Sequence[str], *, is_cut: bool) -> Survey:
    """The streams of these kinds (audio, video) and all their packets. Of a file that is cut they are remembered, while
    its `state` is the same.

    is_cut: only a part of the file will be decoded
    Raises UnavailableError: undecodable where the file is no media, too-large for too many packets.
    """
    key = (path, state, tuple(kinds))
    if is_cut and key in _remembered:
        return _remembered[key]
    with open_container(path) as container:
        survey = _survey(container, path, kinds, is_cut)
    if is_cut:
        _remembered[key] = survey
        while len(_remembered) > _REMEMBERED:
            _remembered.pop(next(iter(_remembered)))
    return survey


def _survey(container: InputContainer, path: Path, kinds: Sequence[str], is_cut: bool) -> Survey:
    chosen: dict[str, Chosen] = {}
    troubles: dict[str, UnavailableError] = {}
    for kind in kinds:
        try:
            chosen[kind] = _choose(container, kind, _covers(path, container) if kind == "video" else [])
        except UnavailableError as error:
            troubles[kind] = error
    indices = tuple(stream.index for stream in chosen.values())
    packets = all_packets(container, indices, is_cut=is_cut)
    return Survey(Fraction(container.start_time or 0, _MICROSECONDS), chosen, troubles, packets)


def _choose(container: InputContainer, kind: str, covers: Collection[int]) -> Chosen:
    """The stream to decode. Raises UnavailableError (no-audio, no-video, undecodable, too-large)."""
    stream = choose_stream(container, kind, covers)
    prepare_decoder(stream)
    return Chosen(stream.index, stream.codec_context.name, getattr(stream, "sample_aspect_ratio", None))


def _covers(path: Path, container: InputContainer) -> list[int]:
    """Indices of the video streams that are single still pictures beside sound."""
    return [
        stream.index
        for stream in container.streams.video
        if stream.codec_context and may_be_cover(container, stream) and holds_one_packet(path, stream.index)
    ]
