"""What is kept of the decoded sound of one stream: its samples, resampled to every need."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction

import av
import numpy as np

from features.errors import Reason, UnavailableError
from features.media.limits import check_kept, check_sound_form
from features.media.needs import AudioNeed, Sound
from features.media.timeline import Timeline, Window

# swresample lowers the sum of a down-mix's weights to 1 only for integer samples: without this, two equal channels
# would come out 3 dB above either and clip. The centre of 5.1 keeps its share (0.29; left and right 0.21 each).
_RESAMPLER = {"rematrix_maxval": "1"}
# Samples stored as floats may lie above full scale where a lossy decoder made them: up to here they are clipped. What
# is above was scaled otherwise (such as to +-32768), and would become a square wave.
_MAX_PEAK = 2.0
_FLOAT_FORMATS = frozenset(("flt", "fltp", "dbl", "dblp"))


class SoundReader:
    """Resamples decoded audio to every need, within the window, until each has its `max_seconds`.

    Channels without a position are averaged where there are three or more.
    done:   nothing more is wanted
    damage: what FFmpeg said of the first packet that did not decode, or ''
    """

    def __init__(self, timeline: Timeline, window: Window, needs: Sequence[AudioNeed], codec: str = "") -> None:
        self.done = False
        self.damage = ""
        self._refusal: UnavailableError | None = None
        self._heard = False
        self._stores_floats = codec.startswith("pcm_f") or codec == "wavpack"
        self._begin = timeline.begin if window.start is None else max(window.start, timeline.begin)
        self._end = window.end
        stop = timeline.end if window.end is None else min(window.end, timeline.end)
        self._seconds = float(max(stop - self._begin, Fraction(0)))
        self._outside_s = float(window.outside(timeline.begin, timeline.end))
        self._time_base = timeline.time_base
        self._next: Fraction = timeline.begin
        self._tracks = [_Track(need, window) for need in needs]

    def feed(self, frame: av.AudioFrame) -> None:
        """Take one decoded frame. Raises UnavailableError (too-large, undecodable)."""
        self._heard = True
        begin = self._next if frame.pts is None else frame.pts * self._time_base
        self._next = begin + Fraction(frame.samples, frame.sample_rate)
        if self._end is not None and begin >= self._end:
            self.done = True
        elif self._next > self._begin or not frame.samples:
            check_sound_form(frame.sample_rate, frame.layout.nb_channels)
            if self._stores_floats and frame.format.name in _FLOAT_FORMATS:
                _check_scale(frame.to_ndarray())
            if _is_unpositioned(frame):
                frame = _averaged(frame)
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
                found[track.need] = replace(track.finish(self._seconds), outside_s=self._outside_s)
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


def _check_scale(samples: np.ndarray) -> None:
    """Raises UnavailableError (undecodable) where stored floats are far above full scale. NaN is told elsewhere."""
    peak = float(np.abs(samples).max(initial=0.0))
    if np.isfinite(peak) and peak > _MAX_PEAK:
        detail = f"float samples reach {peak:,.6g} (full scale is 1): divide them by their own full scale"
        raise UnavailableError(Reason.UNDECODABLE, detail)


def _is_unpositioned(frame: av.AudioFrame) -> bool:
    """Whether it has channels (three or more) of which the file does not say which loudspeakers they are for.

    FFmpeg would guess: 2.1 for three, and so leave the third out. Two are taken for left and right, whose mix is the
    mean as well.
    """
    count = frame.layout.nb_channels
    return count > 2 and frame.layout.name == f"{count} channels"


def _averaged(frame: av.AudioFrame) -> av.AudioFrame:
    """The mean of a frame's channels, as mono floats."""
    samples = frame.to_ndarray()
    if not frame.format.is_planar:
        samples = samples.reshape(-1, frame.layout.nb_channels).T
    mean = samples.mean(axis=0, dtype=np.float64)
    if samples.dtype.kind == "u":
        mean -= 128.0
    if samples.dtype.kind != "f":
        mean /= 2.0 ** (8 * samples.dtype.itemsize - 1)
    mixed = av.AudioFrame.from_ndarray(mean.astype(np.float32)[None], format="fltp", layout="mono")
    mixed.sample_rate, mixed.pts, mixed.time_base = frame.sample_rate, frame.pts, frame.time_base
    return mixed
