"""Nested JSON, read with the place of everything in it, so that what is wrong is told by file and path, all at once."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from features.errors import ManifestError
from features.manifest import repair_cp1252, whole_characters
from pipeline.ingest.annotations import TextRepairs, read_text


@dataclass(frozen=True)
class Entry:
    """A value of a JSON file.

    where:    its path, as `dev.json: episodes[2].scenes[0]`
    problems: what was not as asked for, of the whole file, for `raise_problems`
    """

    value: Any
    where: str
    problems: list[str]
    repairs: TextRepairs

    def entries(self, key: str) -> list[Entry]:
        """The items of the list under `key`; where there is none, a problem and []."""
        items = self._get(key, list, "a list") or []
        return [self._below(item, f"{self._path(key)}[{number}]") for number, item in enumerate(items)]

    def child(self, key: str) -> Entry:
        """The object under `key`; where there is none, a problem and an empty one."""
        return self._below(self._get(key, dict, "an object") or {}, self._path(key))

    def members(self) -> Iterator[tuple[str, Entry]]:
        """(name, value) of everything in this object; where it is none, a problem and nothing."""
        return ((name, self._below(value, self._path(name))) for name, value in (self._object() or {}).items())

    def text(self, key: str, default: str | None = None) -> str:
        """The text under `key`, cp1252 bytes and halves of characters repaired. Absent or null: the default, or a
        problem and ''."""
        if default is not None and isinstance(self.value, dict) and self.value.get(key) is None:
            return default
        found = self._get(key, str, "text")
        if found is None:
            return ""
        repaired = repair_cp1252(found)
        if repaired != found:
            self.repairs.repaired_rows.append(self.where)
        whole = whole_characters(repaired)
        if whole != repaired:
            self.repairs.halved_rows.append(self.where)
        return whole

    def texts(self, key: str) -> list[str]:
        """The list of texts under `key`; a problem where it is something else."""
        found = self._get(key, list, "a list of texts") or []
        if all(isinstance(item, str) for item in found):
            return [whole_characters(item).strip() for item in found]
        self.problems.append(f"{self._path(key)} is not a list of texts but {_shown(found)}")
        return []

    def _path(self, key: str) -> str:
        return f"{self.where}.{key}" if self.where[-1] != " " else f"{self.where}{key}"

    def _below(self, value: Any, where: str) -> Entry:
        return Entry(value, where, self.problems, self.repairs)

    def _object(self) -> dict[str, Any] | None:
        if isinstance(self.value, dict):
            return self.value
        problem = f"{self.where.removesuffix(': ')} is not an object but {_shown(self.value)}"
        if self.problems[-1:] != [problem]:  # told once, however much was looked for in it
            self.problems.append(problem)
        return None

    def _get(self, key: str, kind: type, name: str) -> Any:
        mapping = self._object()
        if mapping is None:
            return None
        if key not in mapping:
            self.problems.append(f"{self.where.removesuffix(': ')} has no {key!r}")
            return None
        if not isinstance(mapping[key], kind):
            self.problems.append(f"{self._path(key)} is not {name} but {_shown(mapping[key])}")
            return None
        return mapping[key]


def read_json(path: Path, repairs: TextRepairs) -> Entry:
    """The whole of a JSON file. A key that an object has twice is a problem: the later value would hide the earlier.

    Raises ManifestError for what is no JSON, by line and column.
    """
    problems: list[str] = []

    def pairs(items: list[tuple[str, Any]]) -> dict[str, Any]:
        names = [name for name, _ in items]
        for name in sorted({name for name in names if names.count(name) > 1} if len(set(names)) < len(names) else ()):
            problems.append(f"{path.name}: key {name!r} occurs twice in one object: rename or remove one")
        return dict(items)

    try:
        value = json.loads(read_text(path, repairs), object_pairs_hook=pairs)
    except json.JSONDecodeError as error:
        raise ManifestError(f"{path}: line {error.lineno}, column {error.colno} is not JSON: {error.msg}") from error
    except RecursionError as error:
        raise ManifestError(f"{path}: is nested too deep to be read") from error
    return Entry(value, f"{path.name}: ", problems, repairs)


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
