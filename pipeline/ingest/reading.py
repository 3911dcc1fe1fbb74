"""A table's file into rows: CSV and its kin, JSON, Parquet and Excel, by the file's ending."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from features.errors import ManifestError, UsageError, bare_line, nearest
from features.extras import install_extra
from pipeline.ingest.annotations import TextRepairs, read_text
from pipeline.ingest.delimited import DELIMITERS, PARTED_OTHERWISE, read_delimited
from pipeline.ingest.json_tables import read_json, read_json_lines
from pipeline.ingest.raw_table import RawTable, table_of_columns
from pipeline.ingest.summary import Finding, finding

_TEXT: dict[str, Callable[[Path, str], RawTable]] = {
    ".jsonl": read_json_lines,
    ".ndjson": read_json_lines,
    ".json": read_json,
}
_DELIMITED = (".csv", ".tsv", ".txt")
ENDINGS = (*_DELIMITED, *_TEXT, ".parquet", ".xlsx")


@dataclass(frozen=True)
class Reading:
    """How files are read where they do not say it themselves.

    delimiter: of CSV; None: found out. encoding: of text; None: UTF-8, or what a byte order mark says
    quotes:    of CSV; False: quote marks are text. sheet: of Excel; None: the only one that is not empty
    """

    delimiter: str | None = None
    encoding: str | None = None
    quotes: bool = True
    sheet: str | None = None


def read_raw(path: Path, reading: Reading, repairs: TextRepairs) -> RawTable:
    """A file's rows. Raises UsageError for an ending that is no table's, ManifestError for what cannot be read."""
    kind = path.suffix.lower()
    if kind not in ENDINGS:
        raise UsageError(f"{path}: a table ends in one of {', '.join(ENDINGS)}, not {kind or 'nothing'!r}")
    if kind == ".parquet":
        return _read_parquet(path)
    if kind == ".xlsx":
        return _read_excel(path, reading.sheet)
    text = read_text(path, repairs, reading.encoding)
    if "\0" in text:
        raise ManifestError(
            f"{path}: has NUL characters, as UTF-16 without a byte order mark: give --encoding utf-16-le, or save it as"
            " UTF-8"
        )
    if kind in _TEXT:
        return _TEXT[kind](path, text)
    return read_delimited(path, text, reading.delimiter, reading.quotes)


def reading_findings(tables: Sequence[RawTable]) -> list[Finding]:
    """What was found out or left out while reading; only what there is."""

    def places(of: Callable[[RawTable], Sequence[str]]) -> list[str]:
        return [f"{table.path.name} {place}" for table in tables for place in of(table)]

    other = [
        f"{table.path.name}: {DELIMITERS.get(table.delimiter, repr(table.delimiter))}"
        for table in tables
        if table.delimiter not in (None, "\t" if table.path.suffix.lower() == ".tsv" else ",")
    ]
    found = [
        finding("delimiters", other, PARTED_OTHERWISE),
        finding("blank-rows", places(lambda table: table.blank), "Rows without a value: left out."),
        finding(
            "cells-of-several-lines",
            places(lambda table: table.several_lines),
            "Quoted cells that run over the end of a line: --no-quotes, if the marks are only text.",
        ),
    ]
    return [item for item in found if item.count]


def _read_parquet(path: Path) -> RawTable:
    import polars as pl

    try:
        with path.open("rb") as file:
            frame = pl.read_parquet(file)
    except (pl.exceptions.PolarsError, OSError) as error:
        raise ManifestError(
            f"{path}: cannot be read: {getattr(error, 'strerror', None) or bare_line(error)}"
        ) from error
    return table_of_columns(path, {name: frame[name].to_list() for name in frame.columns})


def _read_excel(path: Path, sheet: str | None) -> RawTable:
    if not path.is_file():
        raise ManifestError(f"{path}: cannot be read: No such file or directory")
    try:
        import openpyxl
    except ImportError as error:
        raise UsageError(
            f"{path}: reading .xlsx needs openpyxl: {install_extra('excel')}, or save the sheet as CSV"
        ) from error
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # of styles and print areas
            book = openpyxl.load_workbook(path, read_only=True, data_only=True)
            try:
                sheets = {page.title: _sheet_rows(page) for page in book.worksheets}
            finally:
                book.close()
    except Exception as error:  # zipfile's, the XML parser's and openpyxl's own
        raise ManifestError(f"{path}: cannot be read as .xlsx: {bare_line(error)}") from error
    return _sheet_table(path, sheets, sheet)


def _sheet_rows(page: Any) -> list[list[Any]]:
    return [list(row) for row in page.iter_rows(values_only=True)]


def _sheet_table(path: Path, sheets: dict[str, list[list[Any]]], sheet: str | None) -> RawTable:
    filled = [name for name, rows in sheets.items() if any(cell is not None for row in rows for cell in row)]
    if sheet is None and len(filled) != 1:
        problem = f"has sheets {', '.join(filled)}: name one with --sheet" if filled else "cannot be read: it is empty"
        raise (UsageError if filled else ManifestError)(f"{path}: {problem}")
    name = sheet if sheet is not None else filled[0]
    if name not in sheets:
        raise UsageError(f"{path}: no sheet {name!r}: {nearest(name, sheets)}")
    table: RawTable | None = None
    number = 0
    width = max((len(row) for row in sheets[name]), default=0)
    for line, row in enumerate(sheets[name], start=1):
        cells = [_cell(value) for value in row] + [None] * (width - len(row))
        if table is None:
            if any(cell is not None for cell in cells):
                table = RawTable(path, [str(cell or "").strip() for cell in cells])
            continue
        number += 1
        table.add(cells, f"row {number}" if line == number + 1 else f"row {number} (line {line})")
    if table is None:
        raise ManifestError(f"{path}: sheet {name!r} is empty: the first row must name the columns")
    return table


def _cell(value: Any) -> Any:
    """What a manifest can hold of a cell: dates and times as Excel shows them in ISO form."""
    return value if value is None or isinstance(value, str | int | float | bool) else str(value)
