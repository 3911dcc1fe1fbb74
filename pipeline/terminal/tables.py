"""Plain text tables for a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from features.units import bytes_text as bytes_text


class MeanAndDeviation(Protocol):
    """A score over seeds. std: None for one seed."""

    @property
    def mean(self) -> float: ...
    @property
    def std(self) -> float | None: ...


def text_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns padded to their widest cell; the first is aligned to the left, the others to the right."""
    widths = [max(len(row[column]) for row in [header, *rows]) for column in range(len(header))]

    def line(cells: Sequence[str]) -> str:
        first, *rest = [
            cell.ljust(width) if column == 0 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(cells, widths, strict=True))
        ]
        return "  ".join([first, *rest]).rstrip()

    return "\n".join([line(header), *map(line, rows)])


def mean_and_deviation(value: MeanAndDeviation) -> str:
    """Percent: `56.5 ± 0.1`, or the mean alone where there is one seed."""
    return percent_text(value.mean) + (f" ± {percent_text(value.std)}" if value.std is not None else "")


def percent_text(fraction: float) -> str:
    """0.5653 as `56.5`: a header, or what stands around it, says that it is percent."""
    return f"{100 * fraction:.1f}"


def seconds_text(seconds: float) -> str:
    """A time that work took: `4.2 s`, `3 min 20 s`, `5 h 03 min`."""
    if seconds < 99.5:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 100:
        return f"{minutes} min {rest:02} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} min"
