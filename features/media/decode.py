"""One decoding pass over a clip: each wanted stream feeds its reader until the reader has what it needs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from features.errors import UnavailableError
from features.media.frame_reader import FrameReader
from features.media.needs import AudioNeed, Frames, FramesNeed, Sound
from features.media.seeking import find_start
from features.media.sound_reader import SoundReader
from features.media.source import Reader, Source
from features.media.survey import Chosen, survey_file
from features.media.timeline import Timeline, Window

Sounds = dict[AudioNeed, Sound | UnavailableError]
Pictures = dict[FramesNeed, Frames | UnavailableError]


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
    is_cut = start is not None or end is not None
    survey = survey_file(path, state, [kind for kind, needs in wanted.items() if needs], is_cut=is_cut)
    window = Window.of_cut(survey.origin, start, end)
    troubles = dict(survey.troubles)
    readers: dict[str, Reader] = {}
    with ExitStack() as opened:
        source = Source(path, survey.packets, find_start(path, survey.packets, window, opened))
        for kind, stream in survey.chosen.items():
            with _kept(troubles, kind):
                timeline = source.timeline(stream.index, kind)
                if kind == "audio":
                    readers[kind] = SoundReader(timeline, window, sounds, stream.codec)
                else:
                    readers[kind] = FrameReader(timeline, window, frames, stream.sample_aspect)
        source.feed({survey.chosen[kind].index: reader for kind, reader in readers.items()})
    if isinstance(video := readers.get("video"), FrameReader):
        readers["video"] = _feed_again(source.anew(), window, frames, survey.chosen["video"], video)
    results: dict[Any, Any] = {}
    for kind, needs in wanted.items():
        with _kept(troubles, kind):
            results |= readers[kind].results() if kind in readers else {}
        if kind in troubles:
            results |= dict.fromkeys(needs, troubles[kind])
    return {need: results[need] for need in sounds}, {need: results[need] for need in frames}


def _feed_again(
    source: Source, window: Window, frames: Sequence[FramesNeed], stream: Chosen, video: FrameReader
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
