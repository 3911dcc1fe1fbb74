"""A table as a file has it: headings and rows of cells, each with its place in the file, before anything is mapped."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from features.errors import ManifestError


@dataclass
class RawTable:
    """What a file holds.

    columns:    headings without white space around them; '' for a column that has none
    rows:       one list of cells a row, as long as `columns`; a cell of CSV is text, one of JSON what JSON makes of it
    places:     where each row stands, as messages say it: `row 3`, counted from 1 without the heading, with its line
                where that is another than the row and heading tell
    blank:      places of rows without a value: left out of `rows`
    several_lines: places of rows with a line break within a cell
    delimiter:  what parts the cells of a text file, or None
    """

    path: Path
    columns: list[str]
    rows: list[list[Any]] = field(default_factory=list)
    places: list[str] = field(default_factory=list)
    blank: list[str] = field(default_factory=list)
    several_lines: list[str] = field(default_factory=list)
    delimiter: str | None = None

    def add(self, row: list[Any], place: str) -> None:
        """Keep a row, unless every cell is empty or white space."""
        if all(is_empty(cell) for cell in row):
            self.blank.append(place)
            return
        self.rows.append(row)
        self.places.append(place)

    def column(self, name: str) -> list[Any]:
        place = self.columns.index(name)
        return [row[place] for row in self.rows]


def is_empty(cell: Any) -> bool:
    return cell is None or (isinstance(cell, str) and not cell.strip())


def table_of_records(path: Path, records: Sequence[dict[str, Any]], numbers: Iterable[int] | None = None) -> RawTable:
    """A table of JSON objects: its columns are all keys in the order in which they first occur; absent ones are None.

    numbers: of the rows, if not 1, 2, ...
    """
    keys = list(dict.fromkeys(key for record in records for key in record))
    table = RawTable(path, [key.strip() for key in keys])
    for number, record in zip(numbers or range(1, len(records) + 1), records, strict=True):
        table.add([record.get(key) for key in keys], f"row {number}")
    return table


def table_of_columns(path: Path, columns: dict[str, Sequence[Any]]) -> RawTable:
    """A table of columns. Raises ManifestError where they are not of one length."""
    lengths = {name: len(values) for name, values in columns.items()}
    if len(set(lengths.values())) > 1:
        shown = ", ".join(f"{name} {length}" for name, length in lengths.items())
        raise ManifestError(f"{path}: its columns are not of one length ({shown}): give every row a value or null")
    table = RawTable(path, [name.strip() for name in columns])
    for number, row in enumerate(zip(*columns.values(), strict=True), start=1):
        table.add(list(row), f"row {number}")
    return table
