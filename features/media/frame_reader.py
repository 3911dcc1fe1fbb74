"""What is kept of the decoded frames of one stream: the few pictures that are wanted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import av
import numpy as np

from features.errors import Reason, UnavailableError
from features.media.limits import check_kept, check_picture_size
from features.media.needs import Frames, FramesNeed
from features.media.shown import shown_picture, shown_width
from features.media.timeline import Timeline, Window


@dataclass(frozen=True, eq=False)
class Picture:
    """A decoded frame and its presentation time."""

    time: Fraction
    frame: av.VideoFrame


class FrameReader:
    """Picks from the decoded frames those that are on screen at the wanted times, and converts only them to RGB.

    Times are exact fractions: a frame that begins at the very wanted time is the one that is shown. Where the packets
    say which frames these are, the others need not be decoded unless a wanted one refers to them.
    done:          nothing more is wanted
    damage:        what FFmpeg said of the first packet that did not decode, or ''
    must_not_jump: frames are interlaced, so that no group may be passed over: read again with `may_jump=False`
    """

    def __init__(
        self,
        timeline: Timeline,
        window: Window,
        needs: Sequence[FramesNeed],
        sample_aspect: Fraction | None = None,
        *,
        every_frame: bool = False,
        may_jump: bool = True,
    ) -> None:
        """
        sample_aspect: width of a sample by its height, None where the file does not say
        every_frame:   have every frame decoded, since not all that the packets promise do decode
        may_jump:      groups of pictures in which none is wanted need not be decoded
        """
        self.done = False
        self.must_not_jump = False
        self.damage = ""
        self._refusal: UnavailableError | None = None
        self._sample_aspect = sample_aspect
        self._timeline = timeline
        self._begin = timeline.begin if window.start is None else max(window.start, timeline.begin)
        self._origin = timeline.begin if window.start is None else window.start
        stop = timeline.end if window.end is None else min(window.end, timeline.end)
        self._duration = stop - self._begin
        self._outside_s = float(window.outside(timeline.begin, timeline.end))
        if window != Window(None, None) and self._duration <= 0:
            detail = f"the cut begins at {float(self._begin):.3f} s, the video ends at {float(stop):.3f} s"
            raise UnavailableError(Reason.TOO_SHORT, detail)
        self._times = {need: self._times_of(need) for need in needs}
        self._pending = sorted({time for times in self._times.values() for time in times}, reverse=True)
        self._selective = timeline.has_times and not every_frame
        self._awaited = {timeline.shown_at(time) for time in self._pending} if self._selective else set()
        self._may_jump = may_jump and self._selective
        self._wanted_ticks = {round(time / timeline.time_base) for time in self._awaited}
        self._shown: dict[Fraction, Picture] = {}
        self._latest: Picture | None = None
        self._count = 0
        self._kept_bytes = 0

    def _times_of(self, need: FramesNeed) -> list[Fraction]:
        """The middle of each of `count` equal parts, or the borders of `count` - 1."""
        length = min(self._duration, Fraction(need.max_seconds))
        if need.ends and need.count > 1:
            return [self._begin + length * Fraction(i, need.count - 1) for i in range(need.count)]
        return [self._begin + length * Fraction(2 * i + 1, 2 * need.count) for i in range(need.count)]

    def wants(self, tick: int | None) -> bool:
        """Whether the frame of a packet with this presentation time is to be decoded even if no other refers to it."""
        return not self._selective or tick is None or tick in self._wanted_ticks

    @property
    def jumps_to(self) -> set[int]:
        """The presentation times of the frames that are enough; empty where groups may not be passed over."""
        return self._wanted_ticks if self._may_jump else set()

    @property
    def missed(self) -> bool:
        """A wanted frame did not decode, and frames that could stand in for it were passed over."""
        return self._selective and self._refusal is None and bool(self._awaited)

    def feed(self, frame: av.VideoFrame) -> None:
        """Take one decoded frame. Raises UnavailableError (too-large)."""
        if self._may_jump and frame.interlaced_frame:  # the second field may be in a packet of its own
            self.must_not_jump = self.done = True
            return
        time = self._time_of(frame)
        if self._latest is not None:
            if time <= self._latest.time:
                return
            while self._pending and time > self._pending[-1]:
                self._show(self._latest)
        self._latest = Picture(time, frame)
        if time in self._awaited:
            self._awaited.remove(time)
            while self._pending and self._timeline.shown_at(self._pending[-1]) == time:
                self._show(self._latest)
        self.done = not self._pending

    def _time_of(self, frame: av.VideoFrame) -> Fraction:
        timeline = self._timeline
        self._count += 1
        if timeline.has_times and frame.pts is not None:
            return frame.pts * timeline.time_base
        return timeline.ticks[min(self._count, len(timeline.ticks)) - 1] * timeline.time_base

    def _show(self, picture: Picture) -> None:
        """This picture is on screen at the earliest of the pending times."""
        if picture not in self._shown.values():
            height, width = picture.frame.height, shown_width(picture.frame, self._sample_aspect)
            check_picture_size(width, height)
            decoded = sum(plane.buffer_size for plane in picture.frame.planes)
            self._kept_bytes += decoded + 3 * width * height  # as decoded, and as RGB
            check_kept(self._kept_bytes, "pictures", "take fewer frames")
        self._shown[self._pending.pop()] = picture

    def refuse(self, error: UnavailableError) -> None:
        """Stop for this reason."""
        self._refusal, self.done = error, True

    def decoded_timeline(self) -> Timeline | None:
        """Where fewer frames decoded than the packets promised, the timeline of those that did; else None."""
        if self.done or self._latest is None:
            return None
        if self._timeline.shown_at(self._pending[0]) <= self._latest.time:
            return None
        return self._timeline.cut_after(self._latest.time)

    def results(self) -> dict[FramesNeed, Frames | UnavailableError]:
        """Each need's pictures. Raises UnavailableError where the whole stream is unusable."""
        if self._refusal is not None:
            raise self._refusal
        if self._latest is None:
            raise UnavailableError(Reason.UNDECODABLE, f"no frame of the video decodes ({self.damage or 'no frame'})")
        while self._pending:
            self._show(self._latest)
        pixels = {picture.time: shown_picture(picture.frame, self._sample_aspect) for picture in self._shown.values()}
        return {need: self._frames(need, times, pixels) for need, times in self._times.items()}

    def _frames(self, need: FramesNeed, times: list[Fraction], pixels: dict[Fraction, np.ndarray]) -> Frames:
        shown = [self._shown[time].time for time in times]
        return Frames(
            pixels=[pixels[time] for time in shown],
            times_s=[float(time - self._origin) for time in shown],
            seconds=float(self._duration),
            cut=self._duration > Fraction(need.max_seconds),
            outside_s=self._outside_s,
        )
