"""`read_json`: what is wrong with nested JSON is told by its place, all at once."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from features.errors import ManifestError
from pipeline.ingest.annotations import TextRepairs, raise_problems
from pipeline.ingest.nested import Entry, read_json


def read(tmp_path: Path, content: Any, repairs: TextRepairs | None = None) -> Entry:
    path = tmp_path / "a.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return read_json(path, repairs or TextRepairs())


def test_values_are_found_where_they_are(tmp_path: Path) -> None:
    repairs = TextRepairs()
    file = read(tmp_path, {"a": [{"b": {"c": "must\x92ve"}, "n": [" x ", "y"]}]}, repairs)
    (entry,) = file.entries("a")
    assert entry.where == "a.json: a[0]"
    assert (entry.child("b").where, entry.child("b").text("c")) == ("a.json: a[0].b", "must’ve")
    assert entry.texts("n") == ["x", "y"]
    assert [(name, value.where) for name, value in entry.members()] == [
        ("b", "a.json: a[0].b"),
        ("n", "a.json: a[0].n"),
    ]
    assert entry.text("absent", default="-") == "-"
    assert (file.problems, repairs.repaired_rows) == ([], ["a.json: a[0].b"])


def test_all_problems_are_told_with_their_place(tmp_path: Path) -> None:
    file = read(tmp_path, {"a": [{"t": 3}, 7, {}], "d": [], "m": {"x": None}})
    for entry in file.entries("a"):
        entry.text("t")
        entry.texts("t")
    file.child("d")
    file.entries("zz")
    for _, value in file.child("m").members():
        list(value.members())
    assert file.problems == [
        "a.json: a[0].t is not text but 3",
        "a.json: a[0].t is not a list of texts but 3",
        "a.json: a[1] is not an object but 7",
        "a.json: a[2] has no 't'",
        "a.json: a[2] has no 't'",
        "a.json: d is not an object but []",
        "a.json has no 'zz'",
        "a.json: m.x is not an object but None",
    ]
    with pytest.raises(ManifestError, match=r"a\[0\]\.t is not text but 3") as caught:
        raise_problems(tmp_path / "a.json", file.problems)
    assert len(caught.value.problems) == 8


def test_a_key_twice_would_hide_the_first(tmp_path: Path) -> None:
    assert read(tmp_path, '{"u": {"k": 1, "k": 2}}').problems == [
        "a.json: key 'k' occurs twice in one object: rename or remove one"
    ]


def test_what_is_no_json_is_told_by_line(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match=r"a\.json: line 2, column 1 is not JSON"):
        read(tmp_path, "[1,\n")
    with pytest.raises(ManifestError, match="nested too deep"):
        read(tmp_path, "[" * 100_000)
