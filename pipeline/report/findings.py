"""What was worked out from predictions and from the store, beyond the figures that the runs' own files hold."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pipeline.pages.words import percent
from pipeline.report.snapshot import RunSnapshot
from pipeline.runs.features_file import FeatureUse
from pipeline.runs.suite_record import Contrast

if TYPE_CHECKING:
    from pipeline.comparison.compare import Comparison, Difference, Interval
    from pipeline.comparison.places import Places

LEVEL = 0.05
ALL = ("", "all labelled utterances")
"""The slice, as (group, name), that holds everything."""
_SHORTEST = 0.05  # seconds; the tables show tenths


@dataclass(frozen=True)
class Answer:
    """A suite's contrast, and what dev says of it.

    comparison: A - B; None where `trouble` says why there is none
    adjusted:   p by Holm over the answered contrasts of the suite, of which there are `family`
    """

    suite: str
    contrast: Contrast
    a: RunSnapshot | None
    b: RunSnapshot | None
    comparison: Comparison | None = None
    adjusted: float | None = None
    family: int = 0
    trouble: str = ""

    @property
    def verdict(self) -> str:
        """A difference counts as shown where its adjusted p is below 0.05.

        p is of the means over seeds, the interval of one training of each arm: where the interval holds zero all the
        same, the words say that the difference is one of averages. They name both arms, or the higher one and by how
        many points of the means it is.
        """
        if self.comparison is None or self.adjusted is None:
            return f"not answered: {self.trouble}"
        alone = not spans_zero(self.comparison.headline.interval)
        if self.higher:
            name = self.contrast.a if self.higher == "A" else self.contrast.b
            by = f"by {percent(abs(self.comparison.headline.value))} points"
            return f"{name} is higher {by}" if alone else f"{name} is higher on average, {by}"
        between = f"no difference shown between {self.contrast.a} and {self.contrast.b}"
        return f"{between}, with {self.family} questions asked" if alone and self.family > 1 else between

    @property
    def higher(self) -> str:
        """The arm that is shown to be higher, `A` or `B`; empty where none is."""
        if self.comparison is None or self.adjusted is None or self.adjusted >= LEVEL:
            return ""
        return "A" if self.comparison.headline.value > 0 else "B"


@dataclass(frozen=True)
class FeatureCost:
    """What a feature took to extract and takes on disk; None where it is not known.

    seconds_decode: of all decoding processes together; seconds_encode: of the device; of all rows that were ever made
    unread_share: of a text's tokens, those that the encoder does not know, where they are many
    versions: library -> its versions among the shards, of those that change an encoder's numbers
    """

    feature: FeatureUse
    embedded: int | None = None
    seconds_decode: float | None = None
    seconds_encode: float | None = None
    num_bytes: int | None = None
    unread_share: float | None = None
    versions: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def decode_rate(self) -> float | None:
        """Embedded utterances per second of decoding."""
        return _rate(self.embedded, self.seconds_decode)

    @property
    def encode_rate(self) -> float | None:
        """Embedded utterances per second of encoding."""
        return _rate(self.embedded, self.seconds_encode)


@dataclass(frozen=True)
class SliceIntervals:
    """95% intervals of the selected run's score on a slice, and of its difference from the baseline run's there; the
    latter None where the two are not compared."""

    score: Interval
    difference: Interval | None = None


@dataclass(frozen=True)
class Findings:
    """All of it for one corpus; what could not be worked out is absent, and `notes` say why.

    intervals:     split -> 95% interval of the selected run's score
    margins:       split -> over always predicting one label
    over_baseline: split -> the selected run less the suite's baseline
    scores:        split -> name of a score -> 95% interval of the selected run's, macro F1 among them
    ranks:         folder -> 95% interval of the place among the ranked runs on dev
    slices:        split -> (group, name) of a slice -> intervals of the selected run's score there
    """

    intervals: Mapping[str, Interval] = field(default_factory=dict)
    margins: Mapping[str, Difference] = field(default_factory=dict)
    over_baseline: Mapping[str, Comparison] = field(default_factory=dict)
    scores: Mapping[str, Mapping[str, Interval]] = field(default_factory=dict)
    ranks: Mapping[str, Places] = field(default_factory=dict)
    slices: Mapping[str, Mapping[tuple[str, str], SliceIntervals]] = field(default_factory=dict)
    answers: tuple[Answer, ...] = ()
    costs: tuple[FeatureCost, ...] = ()
    notes: tuple[str, ...] = ()
    cost_notes: tuple[str, ...] = ()


def spans_zero(interval: Interval) -> bool:
    return interval.low <= 0 <= interval.high


def _rate(number: int | None, seconds: float | None) -> float | None:
    """None also where the time is too short to divide by."""
    return number / seconds if number and seconds and seconds >= _SHORTEST else None
