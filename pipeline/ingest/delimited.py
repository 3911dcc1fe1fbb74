"""CSV and its kin: which delimiter, which rows, and where each stands."""

from __future__ import annotations

import csv
import io
import re
from pathlib import Path
from typing import Any

from features.errors import ManifestError
from features.manifest import problems_error
from pipeline.ingest.raw_table import RawTable

PARTED_OTHERWISE = "Files whose cells are parted by something else than a comma."
DELIMITERS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar"}

_EXCEL_LINE = re.compile(r'"?sep=(.)"?[ \t,;|]*\r?(?:\n|\Z)', re.IGNORECASE)
_LOOKED_AT = 200  # records, for the delimiter
_SHARE = 0.8  # of those records, that must have as many fields as the heading


def read_delimited(path: Path, text: str, delimiter: str | None = None, quotes: bool = True) -> RawTable:
    """The rows of a text file with a heading.

    delimiter: None: what a first line `sep=;` says, a tab in a .tsv, else what the rows look like
    quotes:    False: quote marks are text, as in files that were never quoted

    A row without any value is left out and counted. Raises ManifestError for records with too few or too many fields
    (all at once, with their lines), for quotes that do not fit, and for a file without a heading.
    """
    text, said = excel_line(text)
    first_line = 2 if said else 1
    delimiter = delimiter or said
    if delimiter is None:
        delimiter = "\t" if path.suffix.lower() == ".tsv" else guess_delimiter(text, quotes)
    return _table(path, text, delimiter, quotes, first_line)


def excel_line(text: str) -> tuple[str, str | None]:
    """The text behind a first line `sep=;`, and the delimiter that this names; the whole text and None without one."""
    said = _EXCEL_LINE.match(text)
    return (text[said.end() :], said[1]) if said else (text, None)


def guess_delimiter(text: str, quotes: bool = True) -> str:
    """The delimiter by which the heading and most of the first rows have the same number of fields, at least two.

    Of several such the one with most fields, of those the first of DELIMITERS; a comma where there is none.
    """
    best, best_fields = ",", 1
    for delimiter in DELIMITERS:
        counts = _field_counts(text, delimiter, quotes)
        if not counts or counts[0] <= best_fields:
            continue
        if sum(count == counts[0] for count in counts[1:]) >= _SHARE * (len(counts) - 1):
            best, best_fields = delimiter, counts[0]
    return best if best_fields > 1 else _by_heading(text, quotes)


def _by_heading(text: str, quotes: bool) -> str:
    """For a file whose rows are ragged by any delimiter: the one that cuts its heading into most fields."""
    fields = {delimiter: (_field_counts(text, delimiter, quotes) or [0])[0] for delimiter in DELIMITERS}
    return max(fields, key=lambda delimiter: fields[delimiter])


def _field_counts(text: str, delimiter: str, quotes: bool) -> list[int]:
    """Fields of the first records that are not blank."""
    counts: list[int] = []
    try:
        for values in _reader(text, delimiter, quotes, strict=False):
            if any(value.strip() for value in values):
                counts.append(len(values))
            if len(counts) > _LOOKED_AT:
                break
    except csv.Error:
        pass
    return counts


def _reader(text: str, delimiter: str, quotes: bool, strict: bool) -> Any:
    lines = io.StringIO(text, newline="")
    if quotes:
        return csv.reader(lines, delimiter=delimiter, strict=strict)
    return csv.reader(lines, delimiter=delimiter, quoting=csv.QUOTE_NONE, strict=strict)


def _table(path: Path, text: str, delimiter: str, quotes: bool, first_line: int) -> RawTable:
    reader = _reader(text, delimiter, quotes, strict=True)
    table: RawTable | None = None
    problems: list[str] = []
    number, line = 0, first_line
    try:
        for values in reader:
            began, line = line, reader.line_num + first_line
            blank = not any(value.strip() for value in values)
            if table is None:
                if not blank:
                    table = RawTable(path, [name.strip() for name in values], delimiter=delimiter)
                continue
            number += 1
            place = f"row {number}" if began == number + 1 else f"row {number} (line {began})"
            if blank:
                table.blank.append(place)
            elif len(values) != len(table.columns):
                problems.append(f"line {began} has {len(values)} fields, not {len(table.columns)}")
            else:
                table.add(list(values), place)
                if line - began > 1:
                    table.several_lines.append(place)
    except csv.Error as error:
        raise ManifestError(
            f"{path}: the record that begins in line {line} is not CSV ({error}): double the quote marks within"
            " a cell, or give --no-quotes where they are text"
        ) from error
    if table is None:
        raise ManifestError(f"{path}: cannot be read: it is empty; the first line must name the columns")
    if problems:
        name = DELIMITERS.get(delimiter, repr(delimiter))
        raise problems_error(
            str(path),
            problems,
            f"give every row a cell for each of {', '.join(table.columns)}, and quote cells that hold the delimiter, a"
            f" {name}, or give another --delimiter",
        )
    return table
