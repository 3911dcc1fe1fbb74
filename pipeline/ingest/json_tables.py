"""JSON as a table: a line an object, a list of objects, or an object of columns. Nothing nested."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from features.errors import ManifestError
from pipeline.ingest.annotations import raise_problems
from pipeline.ingest.raw_table import RawTable, table_of_columns, table_of_records


def read_json_lines(path: Path, text: str) -> RawTable:
    """One object a line; empty lines are no rows. Raises ManifestError that names every line that is no object."""
    problems: list[str] = []
    records: list[dict[str, Any]] = []
    numbers: list[int] = []
    blank: list[str] = []
    lines = text.split("\n")
    while lines and not lines[-1].strip():
        lines.pop()
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            blank.append(f"row {number}")
            continue
        try:
            value = _parse(line)
        except ValueError as error:
            problems.append(f"line {number} is not JSON: {error}")
            continue
        if isinstance(value, dict):
            records.append(value)
            numbers.append(number)
        else:
            problems.append(f'line {number} is no object: every line is one like {{"text": "..."}}')
    if problems:
        problems[0] = f"cannot be read: {problems[0]}"
    raise_problems(path, problems)
    if not records:
        raise ManifestError(f"{path}: cannot be read: it is empty; every line is an object, one an utterance")
    table = table_of_records(path, records, numbers)
    table.blank += blank
    return table


def read_json(path: Path, text: str) -> RawTable:
    """A list of objects, one an utterance, or an object of columns: each a list, or an object of row to value.

    Raises ManifestError for anything else.
    """
    try:
        value = _parse(text)
    except ValueError as error:
        raise ManifestError(
            f"{path}: cannot be read: it is not JSON: {error} (where every line is an object, name the file .jsonl)"
        ) from error
    if isinstance(value, list) and value and all(isinstance(record, dict) for record in value):
        return table_of_records(path, value)
    if isinstance(value, dict) and value:
        if all(isinstance(column, list) for column in value.values()):
            return table_of_columns(path, value)
        if all(isinstance(column, dict) for column in value.values()) and _same_rows(value):
            return table_of_columns(path, {name: list(column.values()) for name, column in value.items()})
    raise ManifestError(
        f"{path}: is no table: give a list of objects, one an utterance, or an object of columns, each a list"
    )


def _same_rows(value: dict[str, dict[str, Any]]) -> bool:
    """Whether every column names the same rows, in the same order: as pandas writes a frame."""
    keys = [list(column) for column in value.values()]
    return all(one == keys[0] for one in keys[1:]) and not any(
        isinstance(cell, dict | list) for column in value.values() for cell in column.values()
    )


def _parse(text: str) -> Any:
    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            names = [name for name, _ in pairs]
            twice = next(name for name in names if names.count(name) > 1)
            raise ValueError(f"the key {twice!r} occurs twice in one object")
        return found

    try:
        return json.loads(text, object_pairs_hook=once)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
