"""When a clip's frames are presented, and which part of them an utterance is."""

from __future__ import annotations

import bisect
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

_MICROSECONDS = 1_000_000


@dataclass(frozen=True)
class Window:
    """The part of a media file that an utterance is, in its own time (seconds, exact). Unbounded ends are None."""

    start: Fraction | None
    end: Fraction | None

    @classmethod
    def of_cut(cls, origin: Fraction, start: float | None, end: float | None) -> Window:
        """A cut given in seconds from the beginning of the file (`origin`, in its own time), to the microsecond."""
        if start is None and end is None:
            return cls(None, None)
        first = origin + Fraction(start or 0).limit_denominator(_MICROSECONDS)
        last = None if end is None else origin + Fraction(end).limit_denominator(_MICROSECONDS)
        return cls(first, last)

    def outside(self, begin: Fraction, end: Fraction) -> Fraction:
        """How many seconds of a bounded window lie outside a stream that lasts from `begin` to `end`."""
        if self.start is None or self.end is None:
            return Fraction(0)
        return max(Fraction(0), begin - self.start) + max(Fraction(0), self.end - end)


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
