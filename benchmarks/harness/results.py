"""What a run of the benchmarks found, as plain values that a JSON file keeps."""

from __future__ import annotations

import json
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

Unit = Literal["s", "ms", "MiB"]


@dataclass(frozen=True)
class Measured:
    """One contender. seconds: of each round, for all of the work; peak_mib: of its process; note: why it has none, or
    what must be known to read it."""

    name: str
    seconds: tuple[float, ...] = ()
    peak_mib: float | None = None
    note: str = ""

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)


@dataclass(frozen=True)
class Ratio:
    """of over to: of the medians, and the least and greatest of the rounds, which went in turns"""

    middle: float
    least: float
    greatest: float

    def __str__(self) -> str:
        spread = f" ({figure(self.least)} to {figure(self.greatest)})" if self.least < self.greatest else ""
        return figure(self.middle) + spread


@dataclass(frozen=True)
class Claim:
    """`over` takes at least, or at most, `bound` times as long as `under`; without `under`, so many seconds.

    aim: what is wanted; stated: what holds, and what a run fails without. They differ where an aim is not reached yet.
    """

    over: str
    under: str | None
    sense: Literal["at least", "at most"]
    aim: float
    stated: float
    unless: str = ""

    def holds(self, value: float, bound: float) -> bool:
        return value >= bound if self.sense == "at least" else value <= bound


@dataclass(frozen=True)
class Comparison:
    """Contenders at one work.

    ours: the name of the one that the others are compared with, None where they are parts that are not compared; work:
    how much, in words
    """

    title: str
    work: str
    ours: str | None
    measured: tuple[Measured, ...]
    claims: tuple[Claim, ...] = ()
    text: str = ""

    def of(self, name: str) -> Measured:
        return next(item for item in self.measured if item.name == name)

    def ratio(self, over: str, under: str) -> Ratio | None:
        """None where one of them was left out."""
        first, second = self.of(over), self.of(under)
        if not first.seconds or not second.seconds:
            return None
        rounds = [a / b for a, b in zip(first.seconds, second.seconds, strict=True)]
        return Ratio(first.median / second.median, min(rounds), max(rounds))

    def times_ours(self, name: str) -> Ratio | None:
        return None if self.ours in (None, name) else self.ratio(name, self.ours)

    def value(self, claim: Claim) -> float | None:
        """What the claim is about, as measured; None where it was not."""
        if claim.unless:
            return None
        if claim.under is None:
            return self.of(claim.over).median if self.of(claim.over).seconds else None
        ratio = self.ratio(claim.over, claim.under)
        return None if ratio is None else ratio.middle


@dataclass(frozen=True)
class Curve:
    """How costs grow. sizes: of the work; lines: name -> a value a size, or None where it was not measured."""

    title: str
    work: str
    along: str
    unit: Unit
    sizes: tuple[float, ...]
    lines: dict[str, tuple[float | None, ...]]
    text: str = ""


@dataclass(frozen=True)
class Section:
    name: str
    title: str
    text: str
    tables: tuple[Comparison | Curve, ...]
    seconds: float = 0.0


@dataclass(frozen=True)
class Results:
    """size: small, full or gpu; machine: see `machine`"""

    size: str
    date: str
    machine: str
    sections: tuple[Section, ...] = field(default_factory=tuple)

    @property
    def seconds(self) -> float:
        return sum(section.seconds for section in self.sections)

    def with_section(self, section: Section) -> Results:
        return Results(self.size, self.date, self.machine, (*self.sections, section))

    def broken(self) -> list[str]:
        """The stated claims that do not hold, in words."""
        found = []
        for section in self.sections:
            for table in section.tables:
                if isinstance(table, Comparison):
                    for claim in table.claims:
                        value = table.value(claim)
                        if value is not None and not claim.holds(value, claim.stated):
                            unit = " s" if claim.under is None else f" times {claim.under}"
                            found.append(
                                f"{section.title}, {table.title}: {claim.over} is {figure(value)}{unit},"
                                f" stated is {claim.sense} {figure(claim.stated)}"
                            )
        return found

    def merged(self, older: Results | None, order: Sequence[str]) -> Results:
        """With the sections of before that were not measured now, where they are from the same machine.

        order: the names of all sections, as they are to follow each other
        """
        if older is None or (older.machine, older.size) != (self.machine, self.size):
            return self
        found = {section.name: section for section in (*older.sections, *self.sections)}
        return Results(self.size, self.date, self.machine, tuple(found[name] for name in order if name in found))


def duration(seconds: float) -> str:
    """In milliseconds where it is short."""
    return f"{figure(seconds)} s" if seconds >= 0.0995 else f"{figure(1000 * seconds)} ms"


def figure(value: float) -> str:
    """Three digits that mean something, as people write them."""
    if value >= 99.95:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 9.995 else f"{value:.2f}" if value >= 0.0995 else f"{value:.2g}"


def write_results(results: Results, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(asdict(results), indent=1, ensure_ascii=False)
    path.write_text(text + "\n", encoding="utf-8")


def read_results(path: Path) -> Results:
    found = json.loads(path.read_text(encoding="utf-8"))
    sections = tuple(_section(item) for item in found.pop("sections"))
    return Results(**found, sections=sections)


def _section(item: dict[str, Any]) -> Section:
    return Section(**item | {"tables": tuple(_table(table) for table in item["tables"])})


def _table(item: dict[str, Any]) -> Comparison | Curve:
    if "lines" in item:
        lines = {name: tuple(values) for name, values in item["lines"].items()}
        return Curve(**item | {"sizes": tuple(item["sizes"]), "lines": lines})
    measured = tuple(Measured(**one | {"seconds": tuple(one["seconds"])}) for one in item["measured"])
    return Comparison(**item | {"measured": measured, "claims": tuple(Claim(**one) for one in item["claims"])})
