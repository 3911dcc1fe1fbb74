"""Numbers, reasons and a warning as people read them.

Scores are shown in percent with one decimal; the files hold fractions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from features.errors import Reason
from pipeline.terminal.tables import bytes_text

REASONS: dict[str, str] = {
    Reason.NO_MEDIA: "the manifest names no clip",
    Reason.NO_FILE: "the clip is not on disk",
    Reason.NO_AUDIO: "the clip has no audio stream",
    Reason.NO_VIDEO: "the clip has no video stream",
    Reason.NO_TEXT: "the text is empty",
    Reason.NO_KNOWN_TOKEN: "no word of the text is in the vocabulary",
    Reason.NO_FACE: "no face in any sampled frame",
    Reason.TOO_SHORT: "shorter than the encoder's smallest input",
    Reason.KNOWN_BAD: "the dataset card lists the clip as wrong",
    Reason.NOT_IN_IMPORT: "the imported file has no vector of it",
    Reason.UNDECODABLE: "the clip cannot be decoded",
    Reason.TOO_LARGE: "the clip is over the size limits",
    Reason.TIMED_OUT: "decoding took longer than the limit",
    Reason.CHANGED: "the clip was replaced while it was read",
    Reason.OUTSIDE_ROOT: "a symbolic link leads out of the media root",
    Reason.NON_FINITE: "the encoder, or the imported file, gave NaN or infinity",
    Reason.OUT_OF_MEMORY: "the device had no room for it",
    Reason.UNPREPARED: "the encoder could not make an input of it",
    Reason.WORKER_DIED: "the process that decoded the clip died",
}
NOTHING = "–"
SYNTHETIC_WARNING = (
    "These utterances were generated to test the plumbing. No score on this page says anything about emotion "
    "recognition in real conversations."
)


def foreign_warning(names: Sequence[str]) -> str:
    """What is to be known of features that others made."""
    several = len(names) > 1
    return (
        f"{listed(names)} {'were' if several else 'was'} imported: others made {'them' if several else 'it'}, by means"
        " that nobody checked here. What the encoder was trained on, perhaps these very rows, is not known."
    )


class Range(Protocol):
    """An interval of fractions."""

    @property
    def low(self) -> float: ...
    @property
    def high(self) -> float: ...


class OverSeeds(Protocol):
    """A number over seeds: its mean and deviation, None for one seed."""

    @property
    def mean(self) -> float: ...
    @property
    def std(self) -> float | None: ...


class Covered(Protocol):
    """A split: the fraction of its utterances that have an embedding, and how many have none."""

    @property
    def share(self) -> float: ...
    @property
    def unavailable(self) -> int: ...


def percent(value: float | None) -> str:
    """A fraction as percent with one decimal, without the sign: 0.5634 -> `56.3`."""
    return NOTHING if value is None else f"{100 * value:.1f}"


def score(value: OverSeeds | None) -> str:
    """`56.3 ± 0.4`, or `56.3` for one seed."""
    if value is None:
        return NOTHING
    return percent(value.mean) if value.std is None else f"{percent(value.mean)} ± {percent(value.std)}"


def points(value: float | None) -> str:
    """A difference of fractions in percentage points, signed: `+31.1`, `−0.4`, `0.0`."""
    if value is None:
        return NOTHING
    text = f"{abs(100 * value):.1f}"
    return text if text == "0.0" else f"{'+' if value > 0 else '−'}{text}"


def interval(value: Range | None) -> str:
    """The interval of a score, in percent: `54.1 to 58.0`."""
    return NOTHING if value is None else f"{percent(value.low)} to {percent(value.high)}"


def point_interval(value: Range | None) -> str:
    """The interval of a difference, in points: `−0.6 to +5.8`."""
    return NOTHING if value is None else f"{points(value.low)} to {points(value.high)}"


def p_value(value: float | None) -> str:
    """`0.012`, `<0.001`."""
    if value is None:
        return NOTHING
    return "<0.001" if value < 0.001 else f"{value:.3f}"


def rate(value: float | None) -> str:
    """Something per second, three digits: `0.52`, `13.4`, `1,204`."""
    if value is None:
        return NOTHING
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def short(value: float) -> str:
    """Three digits, or all of a whole part that has more: `0.681`, `12.3`, `1,024`."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def size(value: int | None) -> str:
    """Bytes on disk: `1.5 MB`."""
    return NOTHING if value is None else bytes_text(value)


def column_text(value: OverSeeds | None, as_percent: bool = True) -> str:
    """The mean in a leaderboard's cell, in percent or as it stands with two decimals."""
    if value is None:
        return NOTHING
    return percent(value.mean) if as_percent else f"{value.mean:.2f}"


def deviation_text(value: OverSeeds, as_percent: bool = True) -> str:
    """The deviation beside it."""
    if value.std is None:
        return NOTHING
    return percent(value.std) if as_percent else f"{value.std:.2f}"


def count(value: int | None) -> str:
    """A whole number with thin groups: 11098 -> `11,098`."""
    return NOTHING if value is None else f"{value:,}"


def magnitude(value: int | None) -> str:
    """A large count in few characters: 1250000 -> `1.25 M`."""
    if value is None:
        return NOTHING
    for limit, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= limit:
            return f"{value / limit:.3g} {unit}"
    return str(value)


def seconds(value: float | None) -> str:
    """A time in seconds: one decimal below 100."""
    if value is None:
        return NOTHING
    return f"{value:.1f}" if value < 100 else f"{value:,.0f}"


def capital(text: str) -> str:
    """With a capital: `Weighted F1`."""
    return text[:1].upper() + text[1:]


def article(noun: str) -> str:
    """`a` or `an`, by the first letter."""
    return "an" if noun[:1].lower() in "aeiou" else "a"


def plural(number: int, noun: str) -> str:
    """`1 seed`, `5 seeds`."""
    return f"{count(number)} {noun}" if number == 1 else f"{count(number)} {noun}s"


def listed(items: Sequence[str]) -> str:
    """`a, b and c`."""
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} and {items[-1]}" if items else ""


def reasons(counts: Mapping[str, int]) -> str:
    """`3: the clip has no audio stream; 1: ...`, most frequent first; a reason that is not known stands as it is."""
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return "; ".join(f"{count(number)}: {REASONS.get(reason, reason)}" for reason, number in ordered if number)


def share(coverage: Covered) -> str:
    """Percent of utterances with an embedding; never rounded up to 100."""
    value = 100 * coverage.share
    return "100" if coverage.unavailable == 0 else f"{min(value, 99.9):.1f}"
