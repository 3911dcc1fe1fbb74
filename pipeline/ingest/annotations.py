"""Annotation files as people have them: CSV or text of uncertain encoding, with times as subtitles write them."""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from features.errors import ManifestError, UsageError, bare_line, nearest
from features.manifest import repair_cp1252
from pipeline.ingest.delimited import DELIMITERS, PARTED_OTHERWISE, excel_line, guess_delimiter
from pipeline.ingest.summary import Finding, finding

# Those of UTF-32 first: one begins as one of UTF-16 does.
_MARKS = {
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
_TIME = re.compile(r"(\d+):(\d{1,2}):(\d{1,2})(?:[,.](\d{1,3}))?")


_HALVED = "Rows with half of a character, as of an emoji that was cut: it became U+FFFD."


@dataclass
class TextRepairs:
    """What it took to read text: rows whose C1 characters were mapped, rows with half of a character (a lone surrogate
    of JSON), lines that were cp1252 instead of UTF-8, and CSV files whose fields are not parted by commas."""

    repaired_rows: list[str] = field(default_factory=list)
    halved_rows: list[str] = field(default_factory=list)
    cp1252_lines: list[str] = field(default_factory=list)
    delimiters: list[str] = field(default_factory=list)

    def findings(self) -> list[Finding]:
        return [
            finding(
                "repaired-text",
                self.repaired_rows,
                "Rows whose cp1252 bytes had become C1 characters: repaired.",
            ),
            finding("cp1252-lines", self.cp1252_lines, "Lines that are not UTF-8: read as cp1252."),
            *([finding("half-characters", self.halved_rows, _HALVED)] if self.halved_rows else []),
            *([finding("delimiters", self.delimiters, PARTED_OTHERWISE)] if self.delimiters else []),
        ]


@dataclass(frozen=True)
class Row:
    """One record of a CSV file: its cells by column, and where it stands, as `file:line`."""

    cells: dict[str, str]
    where: str


def read_text(path: Path, repairs: TextRepairs, encoding: str | None = None) -> str:
    """A text file as UTF-8, or as UTF-16 or UTF-32 where a byte order mark says so; a line that is not UTF-8 is read as
    cp1252 and counted.

    encoding: what it is known to be. Raises ManifestError where the file cannot be read, or is not in that encoding.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ManifestError(f"{path}: cannot be read: {error.strerror or error}") from error
    marked = next((name for mark, name in _MARKS.items() if data.startswith(mark)), None)
    if encoding is not None or marked is not None:
        return _decode(path, data, encoding or str(marked))
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        lines = []
        for number, line in enumerate(data.removeprefix(b"\xef\xbb\xbf").split(b"\n"), start=1):
            try:
                lines.append(line.decode("utf-8"))
            except UnicodeDecodeError:
                repairs.cp1252_lines.append(f"{path.name}:{number}")
                lines.append(line.decode("cp1252", errors="ignore"))
        return "\n".join(lines)


def _decode(path: Path, data: bytes, encoding: str) -> str:
    """Strictly in one encoding, a byte order mark taken off."""
    try:
        return data.decode(encoding).removeprefix("\ufeff")
    except LookupError as error:
        raise UsageError(
            f"no encoding {encoding!r}: give one like utf-8, utf-16, gb18030, shift_jis or cp1252"
        ) from error
    except UnicodeError as error:
        raise ManifestError(f"{path}: is not {encoding} ({bare_line(error)}): give its --encoding") from error


def read_rows(path: Path, columns: Sequence[str], repairs: TextRepairs) -> list[Row]:
    """The records of a CSV file with a header, C1 characters repaired. As it comes, its fields are parted by commas;
    saved again by a spreadsheet, perhaps by something else.

    columns: those that must be there. Raises ManifestError for a missing column, or for records with too few or too
    many fields: all of them at once.
    """
    rows: list[Row] = []
    problems: list[str] = []
    text = read_text(path, repairs)
    rest, said = excel_line(text)
    delimiter = said or ("," if _has(rest, columns) else guess_delimiter(rest))
    if delimiter != ",":
        repairs.delimiters.append(f"{path.name}: {DELIMITERS.get(delimiter, repr(delimiter))}")
    reader = csv.reader(io.StringIO(rest, newline=""), delimiter=delimiter)
    above = 1 if said else 0
    try:
        header = [name.strip() for name in next(reader, [])]
        missing = [name for name in columns if name not in header]
        if missing:
            have = nearest(missing[0], header) if header else "the file is empty"
            raise ManifestError(f"{path}: no column {', '.join(map(repr, missing))}: {have}")
        for values in reader:
            if len(values) == len(header):
                where = f"{path.name}:{reader.line_num + above}"
                repaired = [repair_cp1252(value) for value in values]
                if repaired != values:
                    repairs.repaired_rows.append(where)
                rows.append(Row(dict(zip(header, repaired, strict=True)), where))
            elif values:  # an empty line is no record
                problems.append(f"line {reader.line_num + above} has {len(values)} fields, not {len(header)}")
    except csv.Error as error:
        raise ManifestError(f"{path}: line {reader.line_num + above} is not CSV: {error}") from error
    raise_problems(path, problems)
    return rows


def _has(text: str, columns: Sequence[str]) -> bool:
    """Whether the header, parted by commas, has these columns."""
    try:
        header = [name.strip() for name in next(csv.reader(io.StringIO(text.partition("\n")[0])), [])]
    except csv.Error:
        return False
    return all(name in header for name in columns)


def raise_problems(path: Path, problems: Sequence[str], shown: int = 10) -> None:
    """Raise ManifestError that holds all `problems` and shows the first few; nothing where there are none."""
    if problems:
        more = f"; and {len(problems) - shown} more" if len(problems) > shown else ""
        raise ManifestError(f"{path}: {'; '.join(problems[:shown])}{more}", problems)


def milliseconds(text: str) -> int | None:
    """`hh:mm:ss,ms` or `h:mm:ss.ms` in milliseconds, or None for anything else.

    The part behind the separator is a decimal fraction: `47,28` (MELD has it once) is 47.28 seconds.
    """
    match = _TIME.fullmatch(text.strip())
    if match is None:
        return None
    hours, minutes, seconds = (int(part) for part in match.group(1, 2, 3))
    fraction = int((match[4] or "").ljust(3, "0"))
    return ((hours * 60 + minutes) * 60 + seconds) * 1000 + fraction if minutes < 60 and seconds < 60 else None


def annotated_duration(start: str, end: str) -> tuple[float | None, str | None]:
    """(seconds, None), or (None, note) where the times cannot be read or run backwards."""
    first, last = milliseconds(start), milliseconds(end)
    if first is None or last is None:
        unread = [repr(text) for text, time in ((start, first), (end, last)) if time is None]
        return None, f"annotated time {' and '.join(unread)} cannot be read"
    if last < first:
        return None, f"annotated end {end.strip()} is before start {start.strip()}"
    return (last - first) / 1000, None


def episode(season: str, number: str) -> str | None:
    """Season and episode as one name, `s08e21`; None where they are not whole numbers."""
    try:
        return f"s{int(season):02d}e{int(number):02d}"
    except ValueError:
        return None
