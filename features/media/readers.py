"""What is kept of the decoded frames of one stream: resampled sound, and the few pictures that are wanted."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import av
import numpy as np

from features.errors import Reason, UnavailableError
from features.media.limits import check_kept, check_picture_size, check_sound_form
from features.media.needs import AudioNeed, Frames, FramesNeed, Sound
from features.media.timeline import Timeline, Window

# swresample lowers the sum of a down-mix's weights to 1 only for integer samples: without this, two equal channels
# would come out 3 dB above either and clip. The centre of 5.1 keeps its share (0.29; left and right 0.21 each).
_RESAMPLER = {"rematrix_maxval": "1"}


class SoundReader:
    """Resamples decoded audio to every need, within the window, until each has its `max_seconds`.

    done:   nothing more is wanted
    damage: what FFmpeg said of the first packet that did not decode, or ''
    """

    def __init__(self, timeline: Timeline, window: Window, needs: Sequence[AudioNeed]) -> None:
        self.done = False
        self.damage = ""
        self._refusal: UnavailableError | None = None
        self._heard = False
        self._begin = timeline.begin if window.start is None else max(window.start, timeline.begin)
        self._end = window.end
        stop = timeline.end if window.end is None else min(window.end, timeline.end)
        self._seconds = float(max(stop - self._begin, Fraction(0)))
        self._time_base = timeline.time_base
        self._next: Fraction = timeline.begin
        self._tracks = [_Track(need, window) for need in needs]

    def feed(self, frame: av.AudioFrame) -> None:
        """Take one decoded frame. Raises UnavailableError (too-large)."""
        self._heard = True
        begin = self._next if frame.pts is None else frame.pts * self._time_base
        self._next = begin + Fraction(frame.samples, frame.sample_rate)
        if self._end is not None and begin >= self._end:
            self.done = True
        elif self._next > self._begin or not frame.samples:
            for track in self._tracks:
                track.feed(frame, begin)
            self.done = all(track.full for track in self._tracks)

    def refuse(self, error: UnavailableError) -> None:
        """Stop for this reason."""
        self._refusal, self.done = error, True

    def results(self) -> dict[AudioNeed, Sound | UnavailableError]:
        """Each need's sound, or why there is none. Raises UnavailableError where the whole stream is unusable."""
        if self._refusal is not None:
            raise self._refusal
        if not self._heard:
            raise UnavailableError(Reason.UNDECODABLE, f"nothing of the sound decodes ({self.damage or 'no frame'})")
        found: dict[AudioNeed, Sound | UnavailableError] = {}
        for track in self._tracks:
            try:
                found[track.need] = track.finish(self._seconds)
            except UnavailableError as error:
                found[track.need] = error
        return found


class _Track:
    """The samples of one need."""

    def __init__(self, need: AudioNeed, window: Window) -> None:
        self.need = need
        self.full = False
        self._window = window
        self._limit = max(1, math.floor(need.max_seconds * need.rate_hz))
        self._resampler: av.AudioResampler | None = None
        self._format: tuple[str, str, int] | None = None
        self._chunks: list[np.ndarray] = []
        self._count = 0
        self._skip = 0
        self._allowed: int | None = None

    def feed(self, frame: av.AudioFrame, begin: Fraction) -> None:
        if self.full:
            return
        if self._resampler is None:
            self._place(begin)
        form = (frame.format.name, frame.layout.name, frame.sample_rate)
        if form != self._format:  # a stream may change its form; the tail of the old one is not lost
            check_sound_form(frame.sample_rate, frame.layout.nb_channels)
            self._flush()
            self._format = form
            self._resampler = av.AudioResampler("fltp", self.need.layout, self.need.rate_hz, options=_RESAMPLER)
        self._keep(frame)

    def finish(self, seconds: float) -> Sound:
        """The sound; `seconds` is the stream's length within the window, by its packets."""
        if not self.full:
            self._flush()
        rate = self.need.rate_hz
        samples = np.concatenate(self._chunks, axis=1) if self._chunks else np.zeros((1, 0), np.float32)
        samples = samples[:, self._skip :][:, : self._allowed]
        cut = samples.shape[1] > self._limit
        length = max(seconds, samples.shape[1] / rate) if cut else samples.shape[1] / rate
        samples = samples[:, : self._limit]
        if not samples.shape[1]:
            raise UnavailableError(Reason.TOO_SHORT, "no sample of sound within the clip")
        if not np.isfinite(samples).all():
            raise UnavailableError(Reason.UNDECODABLE, "decoded samples are not finite")
        samples = np.clip(samples, -1.0, 1.0)  # lossy decoders overshoot full scale a little
        return Sound(samples[0] if self.need.layout == "mono" else samples, rate, length, cut)

    def _place(self, begin: Fraction) -> None:
        """Work out from the time of the first frame which resampled samples lie in the window."""
        rate, window = self.need.rate_hz, self._window
        if window.start is not None:
            self._skip = max(0, round((window.start - begin) * rate))
        if window.end is not None:
            self._allowed = max(0, round((window.end - begin) * rate) - self._skip)

    def _flush(self) -> None:
        if self._resampler is not None:
            self._keep(None)

    def _keep(self, frame: av.AudioFrame | None) -> None:
        """Resample a frame (None: what the resampler still holds) and keep the samples."""
        if self._resampler is None:
            return
        for resampled in self._resampler.resample(frame):
            if resampled is None:
                continue
            chunk = resampled.to_ndarray()
            self._chunks.append(chunk)
            self._count += chunk.shape[1]
            check_kept(self._count * chunk.shape[0] * chunk.itemsize, "sound", "lower max_seconds")
        self.full = self._count - self._skip > self._limit


@dataclass(frozen=True, eq=False)
class Picture:
    """A decoded frame and its presentation time."""

    time: Fraction
    frame: av.VideoFrame


class FrameReader:
    """Picks from the decoded frames those that are on screen at the wanted times, and converts only them to RGB.

    Times are exact fractions: a frame that begins at the very wanted time is the one that is shown. Where the packets
    say which frames these are, the others need not be decoded unless a wanted one refers to them.
    done:   nothing more is wanted
    damage: what FFmpeg said of the first packet that did not decode, or ''
    """

    def __init__(
        self, timeline: Timeline, window: Window, needs: Sequence[FramesNeed], *, every_frame: bool = False
    ) -> None:
        """every_frame: have every frame decoded, since not all that the packets promise do decode."""
        self.done = False
        self.damage = ""
        self._refusal: UnavailableError | None = None
        self._timeline = timeline
        self._begin = timeline.begin if window.start is None else max(window.start, timeline.begin)
        self._origin = timeline.begin if window.start is None else window.start
        stop = timeline.end if window.end is None else min(window.end, timeline.end)
        self._duration = stop - self._begin
        if window != Window(None, None) and self._duration <= 0:
            detail = f"the cut begins at {float(self._begin):.3f} s, the video ends at {float(stop):.3f} s"
            raise UnavailableError(Reason.TOO_SHORT, detail)
        self._times = {need: self._times_of(need) for need in needs}
        self._pending = sorted({time for times in self._times.values() for time in times}, reverse=True)
        self._selective = timeline.has_times and not every_frame
        self._awaited = {timeline.shown_at(time) for time in self._pending} if self._selective else set()
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
    def missed(self) -> bool:
        """A wanted frame did not decode, and frames that could stand in for it were passed over."""
        return self._selective and self._refusal is None and bool(self._awaited)

    def feed(self, frame: av.VideoFrame) -> None:
        """Take one decoded frame. Raises UnavailableError (too-large)."""
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
            check_picture_size(picture.frame.width, picture.frame.height)
            decoded = sum(plane.buffer_size for plane in picture.frame.planes)
            self._kept_bytes += decoded + 3 * picture.frame.width * picture.frame.height  # as decoded, and as RGB
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
        pixels = {picture.time: _upright(picture.frame) for picture in self._shown.values()}
        return {need: self._frames(need, times, pixels) for need, times in self._times.items()}

    def _frames(self, need: FramesNeed, times: list[Fraction], pixels: dict[Fraction, np.ndarray]) -> Frames:
        shown = [self._shown[time].time for time in times]
        return Frames(
            pixels=[pixels[time] for time in shown],
            times_s=[float(time - self._origin) for time in shown],
            seconds=float(self._duration),
            cut=self._duration > Fraction(need.max_seconds),
        )


def _upright(frame: av.VideoFrame) -> np.ndarray:
    """uint8 RGB [h, w, 3], turned as the file says that it is to be shown."""
    pixels = frame.to_ndarray(format="rgb24")
    quarter_turns = round(frame.rotation / 90) % 4  # counter-clockwise, as numpy turns
    return np.ascontiguousarray(np.rot90(pixels, quarter_turns)) if quarter_turns else pixels
