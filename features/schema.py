"""The columns of the utterance table, and everything that can be wrong with a frame that claims to have them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import PurePosixPath

import polars as pl

from features.errors import nearest

SCHEMA: dict[str, pl.DataType] = {
    "utterance_id": pl.String(),
    "dataset": pl.String(),
    "split": pl.String(),
    "dialogue_id": pl.String(),
    "turn": pl.Int64(),
    "speaker": pl.String(),
    "text": pl.String(),
    "label": pl.String(),
    "sentiment": pl.String(),
    "media": pl.String(),
    "start": pl.Float64(),
    "end": pl.Float64(),
    "duration": pl.Float64(),
    "group": pl.String(),
    "note": pl.String(),
}
REQUIRED = ("utterance_id", "dataset", "split", "dialogue_id", "turn", "speaker", "text")
NULLABLE = tuple(name for name in SCHEMA if name not in REQUIRED)

_KEYS = ("utterance_id", "dataset", "split", "dialogue_id")
_SECONDS = ("start", "end", "duration")
_CONTROL = r"[\x00-\x1f\x7f]"
# The rows that media_path_problem could refuse: a quick filter, so that a million good paths cost one scan.
_SUSPECT_MEDIA = r"^[/~]|^[A-Za-z]:|\\|\.\.|^[\s./]*$|" + _CONTROL


def column_problems(columns: Sequence[str]) -> list[str]:
    """Columns that the schema does not know, and required ones that are absent."""
    unknown = [
        f"column {name!r} is not in the schema: {nearest(name, SCHEMA)}" for name in columns if name not in SCHEMA
    ]
    return unknown + [f"column {name!r} is missing" for name in REQUIRED if name not in columns]


def cast_columns(frame: pl.DataFrame) -> tuple[pl.DataFrame, list[str]]:
    """The frame with SCHEMA's columns, order and types, and the values that do not fit or may not be null.

    Absent columns become null; '' in a nullable text column becomes null; a whole number may be written as 3.0. Nothing
    is rounded. `frame` must have passed `column_problems`.
    """
    problems, columns = [], []
    for name, dtype in SCHEMA.items():
        if name not in frame.columns:
            columns.append(pl.Series(name, [None] * frame.height, dtype=dtype))
            continue
        series = frame[name]
        if name in REQUIRED:
            problems += [f"row {row + 1}, {name}: empty" for row in series.is_null().arg_true()]
        cast = _cast(series, dtype)
        for row in (cast.is_null() & series.is_not_null()).arg_true():
            problems.append(f"row {row + 1}, {name}: {_shown(series[row])} is not {_type_name(dtype)}")
        if name in NULLABLE and dtype == pl.String():
            cast = cast.set(cast == "", None)
        columns.append(cast.alias(name))
    return pl.DataFrame(columns), problems


def _cast(series: pl.Series, dtype: pl.DataType) -> pl.Series:
    """Cast without loss; null where a value does not fit."""
    nothing = pl.Series(series.name, [None] * len(series), dtype=dtype)
    if series.dtype == dtype:
        return series
    if series.dtype.is_nested() or series.dtype in (pl.Object(), pl.Binary()):
        return nothing
    if dtype == pl.Int64():
        if series.dtype == pl.Boolean():
            return nothing
        if not series.dtype.is_integer():
            exact = series.cast(pl.Int64(), strict=False) if series.dtype == pl.String() else nothing
            number = series.cast(pl.Float64(), strict=False)
            whole = number.is_finite() & (number == number.floor()) & (number.abs() < 2**53)
            number = number.set(~whole.fill_null(False), None)
            return exact.fill_null(number.cast(pl.Int64()))
    elif dtype == pl.Float64() and series.dtype == pl.Boolean():
        return nothing
    return series.cast(dtype, strict=False)


def _type_name(dtype: pl.DataType) -> str:
    if dtype == pl.String():
        return "text"
    return "a whole number" if dtype == pl.Int64() else "a number"


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."


def row_problems(frame: pl.DataFrame, labels: Sequence[str] = ()) -> list[str]:
    """Every problem of a frame that has SCHEMA's columns and types, each with its row (from 1) and column.

    labels: the dataset card's emotions; where there are any, a row's label must be one of them or null.
    """
    problems = _blank_keys(frame)
    problems += _repeated_keys(frame)
    problems += _scattered_dialogues(frame)
    problems += _times(frame)
    media = frame["media"]
    for row in media.str.contains(_SUSPECT_MEDIA).fill_null(False).arg_true():
        problem = media_path_problem(media[row])
        if problem:
            problems.append(f"row {row + 1}, media: {_shown(media[row])} {problem}")
    if labels:
        column = frame["label"]
        for row in (column.is_not_null() & ~column.is_in(list(labels))).arg_true():
            known = nearest(column[row], labels)
            problems.append(f"row {row + 1}, label: {_shown(column[row])} is not on the dataset card: {known}")
    return problems


def _blank_keys(frame: pl.DataFrame) -> list[str]:
    problems = []
    for name in _KEYS:
        column = frame[name]
        refused = (column.str.strip_chars() == "") | column.str.contains(_CONTROL)
        for row in refused.fill_null(False).arg_true():
            problems.append(f"row {row + 1}, {name}: {_shown(column[row])} is blank or has control characters")
    return problems


def _repeated_keys(frame: pl.DataFrame) -> list[str]:
    problems = []
    ids = frame["utterance_id"]
    repeated = ids.is_duplicated() & ids.is_not_null()
    for row in repeated.arg_true():
        problems.append(f"row {row + 1}, utterance_id: {_shown(ids[row])} occurs more than once")
    whole = frame["dialogue_id"].is_not_null() & frame["turn"].is_not_null()
    turns = frame.select(pl.struct("dialogue_id", "turn").is_duplicated()).to_series()
    for row in (turns & whole & ~repeated).arg_true():
        turn, dialogue_id = frame["turn"][row], frame["dialogue_id"][row]
        problems.append(f"row {row + 1}, turn: turn {turn} of dialogue {dialogue_id!r} occurs more than once")
    return problems


def _scattered_dialogues(frame: pl.DataFrame) -> list[str]:
    """Dialogues in several splits or datasets, told at the first row that leaves the one in which they began."""
    problems = []
    for name in ("split", "dataset"):
        rows = frame.select("dialogue_id", name).with_row_index("row").drop_nulls()
        began = rows.with_columns(pl.col(name).first().over("dialogue_id").alias("began"))
        strays = began.filter(pl.col(name) != pl.col("began")).unique("dialogue_id", keep="first", maintain_order=True)
        for row, dialogue_id, value, first in strays.select("row", "dialogue_id", name, "began").iter_rows():
            problems.append(f"row {row + 1}, {name}: dialogue {dialogue_id!r} lies in {first!r} and in {value!r}")
    return problems


def _times(frame: pl.DataFrame) -> list[str]:
    problems = []
    for name in _SECONDS:
        column = frame[name]
        for row in (~column.is_finite() | (column < 0)).fill_null(False).arg_true():
            problems.append(f"row {row + 1}, {name}: {column[row]} is not a number of seconds from 0 up")
    for row in (frame["end"] <= frame["start"]).fill_null(False).arg_true():
        problems.append(f"row {row + 1}, end: {frame['end'][row]} is not after start {frame['start'][row]}")
    return problems


def media_path_problem(media: str) -> str | None:
    """Why a `media` value is refused, or None. It must be relative, with forward slashes, and stay inside media_root.

    Symbolic links are seen only where a clip is read: see `features.media.clip.check_inside`.
    """
    if re.search(_CONTROL, media):
        return "has control characters"
    if not media.strip():
        return "is blank: leave it null where there is no clip"
    if media.startswith(("/", "\\", "~")) or re.match(r"[A-Za-z]:", media):
        return "is absolute: make it relative to media_root"
    if ".." in re.split(r"[/\\]", media):
        return "leaves media_root: a path may not hold '..'"
    if "\\" in media:
        return "has a backslash: write it with forward slashes"
    if not PurePosixPath(media).name:
        return "names no file"
    return None
