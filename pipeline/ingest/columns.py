"""From a file's columns to a manifest's: which is which, and cells as a manifest can hold them."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from features.errors import UsageError, nearest
from features.schema import SCHEMA
from pipeline.ingest.annotations import milliseconds
from pipeline.ingest.raw_table import RawTable, is_empty

# The manifest's columns, and `dialogue`: a key that names a dialogue only within its split.
TARGETS = (*SCHEMA, "dialogue")

_ANY_CASE = ("text", "speaker", "label", "split")  # found as `Text`, too; ids of other corpora's forms are not guessed
_NUMBERS = ("turn", "start", "end", "duration")
_MAY_BE_ABSENT = ("media", "start", "end", "duration", "group", "note")
_ABSENT_WORDS = frozenset({"nan", "null", "none", "n/a", "<na>", "#n/a", "nat"})
NOBODY_WORDS = _ABSENT_WORDS | {"", "unknown", "unk", "-", "--", "?"}
_DECIMAL_COMMA = re.compile(r"\s*[+-]?\d+,\d+\s*")


@dataclass
class Cells:
    """Columns of a manifest as texts, null where there is none; labels and sentiments still as the files have them.

    columns:  manifest column (or `dialogue`) -> one cell a row
    problems: cells that are no text
    absent, nobody: `column: 'NaN'` -> how many such cells stand for nothing, or for a speaker whom nobody knows
    commas, clock: places whose seconds have a decimal comma, or are written as hours, minutes and seconds
    """

    columns: dict[str, list[Any]]
    problems: list[str] = field(default_factory=list)
    absent: Counter[str] = field(default_factory=Counter)
    nobody: Counter[str] = field(default_factory=Counter)
    commas: list[str] = field(default_factory=list)
    clock: list[str] = field(default_factory=list)


def choose_columns(table: RawTable, mapping: Mapping[str, str], constants: Mapping[str, str | None]) -> dict[str, str]:
    """Manifest column -> the file's column. Every problem is told at once, as UsageError.

    mapping:   '' leaves a column out that has a manifest column's name
    constants: `dataset` and `split` of all rows, where they are given
    """
    name, columns = table.path.name, table.columns
    shown = ", ".join(filter(None, columns))
    mapped = {target: column for target, column in mapping.items() if column}
    problems = [
        f"no manifest column {target!r}: {nearest(target, TARGETS)}" for target in mapping if target not in TARGETS
    ]
    problems += [
        f"{name} has no column {column!r}: {nearest(column, filter(None, columns))}"
        for column in mapped.values()
        if column not in columns
    ]
    for option, value in constants.items():
        if value is not None and option in mapped:
            problems.append(f"{option} is given twice, as --{option} {value} and as --map {option}={mapped[option]}")
    own = {
        target: column
        for target in TARGETS
        if constants.get(target) is None and target not in mapping and (column := _own(target, columns))
    }
    chosen = own | mapped
    problems += [
        f"{name} has several columns {column!r}: rename all but one"
        for column in dict.fromkeys(chosen.values())
        if columns.count(column) > 1
    ]
    if mapping.get("dialogue_id") and mapping.get("dialogue"):
        problems.append("map dialogue_id (unique over the corpus) or dialogue (a key within its split), not both")
    if "text" not in chosen and "media" not in chosen:
        problems.append(
            f"no column for the text: give --map text=COLUMN; {name} has {shown} (where there are only clips, media"
            " alone will do)"
        )
    if "split" not in chosen and constants.get("split") is None:
        problems.append(
            "no column for the split: give --split NAME or --map split=COLUMN, or name files like train.csv"
        )
    if problems:
        raise UsageError("; ".join(problems))
    if "dialogue_id" in chosen and "dialogue" in chosen:
        del chosen["dialogue" if "dialogue_id" in mapped else "dialogue_id"]
    return chosen


def tells_split(table: RawTable, mapping: Mapping[str, str]) -> bool:
    """Whether a column of the file, mapped or of that name, holds the split."""
    return bool(mapping["split"]) if "split" in mapping else _own("split", table.columns) is not None


def _own(target: str, columns: Sequence[str]) -> str | None:
    """The file's column that has a manifest column's name; of text, speaker, label and split in any case."""
    if target in columns:
        return target
    found = [column for column in columns if column.casefold() == target] if target in _ANY_CASE else []
    return found[0] if len(found) == 1 else None


def read_cells(table: RawTable, chosen: Mapping[str, str], places: Sequence[str]) -> Cells:
    """The chosen columns. places: where each row stands, for messages."""
    cells = Cells({})
    for target, column in chosen.items():
        values = table.column(column)
        if target not in ("label", "sentiment"):
            values = [_cell(target, value, place, table, cells) for value, place in zip(values, places, strict=True)]
        cells.columns[target] = values
    return cells


def _cell(target: str, value: Any, place: str, table: RawTable, cells: Cells) -> str | None:
    if isinstance(value, bool):
        value = "true" if value else "false"
    elif isinstance(value, list | dict | bytes):
        cells.problems.append(f"{place}, {target}: {_shown(value)} is no text: give one value a cell")
        value = None
    elif isinstance(value, float) and math.isnan(value):
        value = None
    text = None if value is None else str(value)
    if target == "text":
        return text or ""
    if target == "speaker":
        return _speaker(text or "", cells)
    if text is None or is_empty(text):
        return None
    if target in _MAY_BE_ABSENT and text.strip().casefold() in _ABSENT_WORDS:
        cells.absent[f"{target}: {text!r}"] += 1
        return None
    return _number(target, text.strip(), place, table, cells) if target in _NUMBERS else text


def _number(target: str, text: str, place: str, table: RawTable, cells: Cells) -> str:
    """The text as a number is written: with a decimal point, and times of day in seconds."""
    if table.delimiter == ";" and _DECIMAL_COMMA.fullmatch(text):
        cells.commas.append(place)
        return text.replace(",", ".")
    time = milliseconds(text) if target != "turn" else None
    if time is None:
        return text
    cells.clock.append(place)
    return str(time / 1000)


def _speaker(text: str, cells: Cells) -> str:
    """The speaker's name; '' for a word that stands for somebody unknown."""
    if text.strip().casefold() in NOBODY_WORDS:
        cells.nobody[repr(text)] += 1
        return ""
    return text


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
