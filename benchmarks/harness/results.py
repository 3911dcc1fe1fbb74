"""What a run of the benchmarks found, as plain values that a JSON file keeps."""

from __future__ import annotations

import json
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

Unit = Literal["s", "ms", "MiB"]


@dataclass(frozen=True)
class Measured:
    """One contender. seconds: of each round, for all of the work; peak_mib: of all its processes; note: why it has
    none, or what must be known to read it."""

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
    Seconds are stated nowhere: another machine has others, and that is no fault of what is measured.
    """

    over: str
    under: str | None
    sense: Literal["at least", "at most"]
    aim: float
    stated: float | None

    def holds(self, value: float, bound: float) -> bool:
        return value >= bound if self.sense == "at least" else value <= bound

    @property
    def unit(self) -> str:
        return " s" if self.under is None else ""

    @property
    def words(self) -> str:
        over = self.over if self.under is None else f"{self.over} / {self.under}"
        return f"{over}: {self.sense}"


@dataclass(frozen=True)
class Growth:
    """From the last size but one to the greatest, where costs of starting weigh least, `line` grows at most `bound`
    times as much as the size (`straight`), or at most `bound` times (`flat`). aim, stated: as a `Claim` has them"""

    line: str
    shape: Literal["straight", "flat"]
    aim: float
    stated: float

    unit = ""

    def holds(self, value: float, bound: float) -> bool:
        return value <= bound

    @property
    def words(self) -> str:
        return f"{self.line}: growth{' / that of the size' if self.shape == 'straight' else ''}: at most"


@dataclass(frozen=True)
class Comparison:
    """Contenders at one work.

    ours: the name of the one that the others are compared with, None where they are parts that are not compared; work:
    how much, in words; also_ours: names of other ways of ours
    """

    title: str
    work: str
    ours: str | None
    measured: tuple[Measured, ...]
    claims: tuple[Claim, ...] = ()
    text: str = ""
    also_ours: tuple[str, ...] = ()

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
    claims: tuple[Growth, ...] = ()

    def value(self, claim: Growth) -> float | None:
        """What the claim is about; None where the line was measured at one size alone."""
        line = zip(self.sizes, self.lines[claim.line], strict=True)
        points = [(size, value) for size, value in line if value is not None]
        if len(points) < 2:
            return None
        (size, first), (greatest, last) = points[-2:]
        return last / first / (greatest / size if claim.shape == "straight" else 1.0)


Table = Comparison | Curve


@dataclass(frozen=True)
class Section:
    """seconds: how long it took; date and machine: when, and on what (see `machine`)"""

    name: str
    title: str
    text: str
    tables: tuple[Table, ...]
    seconds: float
    date: str
    machine: str

    def checked(self) -> list[tuple[str, float | None, bool]]:
        """Each claim that states something, in words with its title, what was measured, and whether it holds."""
        found = []
        for table in self.tables:
            for claim in table.claims:
                if claim.stated is None:
                    continue
                value = measured(table, claim)
                stated = f"{claim.words} {figure(claim.stated)}{claim.unit}"
                holds = value is not None and claim.holds(value, claim.stated)
                found.append((f"{self.title}, {table.title}: {stated}", value, holds))
        return found


@dataclass(frozen=True)
class Results:
    """size: tiny, small, full or gpu"""

    size: str
    sections: tuple[Section, ...] = ()

    def with_section(self, section: Section) -> Results:
        return Results(self.size, (*self.sections, section))

    def broken(self) -> list[str]:
        """The stated claims that do not hold, in words. What was not measured does not hold, either."""
        checked = [one for section in self.sections for one in section.checked()]
        return [
            f"{words} is stated, {'nothing' if value is None else figure(value)} was measured"
            for words, value, holds in checked
            if not holds
        ]

    def merged(self, older: Results | None, order: Sequence[str]) -> Results:
        """With the sections of before that were not measured now.

        order: the names of all sections, as they are to follow each other
        """
        found = {section.name: section for section in (*(older.sections if older else ()), *self.sections)}
        return Results(self.size, tuple(found[name] for name in order if name in found))


def measured(table: Table, claim: Claim | Growth) -> float | None:
    """What one of a table's claims is about."""
    if isinstance(table, Curve):
        return table.value(claim) if isinstance(claim, Growth) else None
    return table.value(claim) if isinstance(claim, Claim) else None


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


class RecordError(Exception):
    """A file that is no record of this version."""


def read_results(path: Path) -> Results:
    """Raises RecordError for a file of another version."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        return Results(found["size"], tuple(_section(item) for item in found["sections"]))
    except (ValueError, KeyError, TypeError) as error:
        raise RecordError(f"{path} is no record of this version: measure into another folder, or remove it") from error


def _section(item: dict[str, Any]) -> Section:
    return Section(**item | {"tables": tuple(_table(table) for table in item["tables"])})


def _table(item: dict[str, Any]) -> Table:
    if "lines" in item:
        lines = {name: tuple(values) for name, values in item["lines"].items()}
        growths = tuple(Growth(**one) for one in item["claims"])
        return Curve(**item | {"sizes": tuple(item["sizes"]), "lines": lines, "claims": growths})
    rows = tuple(Measured(**one | {"seconds": tuple(one["seconds"])}) for one in item["measured"])
    claims = tuple(Claim(**one) for one in item["claims"])
    return Comparison(**item | {"measured": rows, "claims": claims, "also_ours": tuple(item["also_ours"])})
