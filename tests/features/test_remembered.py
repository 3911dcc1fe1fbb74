"""What is remembered of this machine: asked once, and nothing that a lost or damaged file could break."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from features.remembered import cache_folder, remembered


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ERC_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def refuse() -> str:
    raise AssertionError("it was worked out again")


def test_an_answer_is_worked_out_once() -> None:
    assert remembered("kind", ["a", 1], lambda: "first") == "first"
    assert remembered("kind", ["a", 1], refuse) == "first"
    assert remembered("kind", ["a", 2], lambda: "other") == "other"
    assert remembered("kind", ["a", 1], refuse) == "first"
    assert remembered("another kind", ["a", 1], lambda: "apart") == "apart"


@pytest.mark.parametrize("content", ["", "[1, 2]", "{", "null", "\x00"])
def test_a_damaged_file_is_as_none(cache: Path, content: str) -> None:
    remembered("kind", 1, lambda: "first")
    (cache / "kind.json").write_text(content)
    assert remembered("kind", 1, lambda: "again") == "again"
    assert remembered("kind", 1, refuse) == "again"


def test_where_nothing_can_be_written_it_is_worked_out_each_time(cache: Path) -> None:
    cache.write_text("a file where the folder should be", encoding="utf-8")
    assert remembered("kind", 1, lambda: "first") == "first"
    assert remembered("kind", 1, lambda: "again") == "again"


def test_the_oldest_answers_go_first(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("features.remembered._MOST", 3)
    for number in range(5):
        remembered("kind", number, lambda: "kept")
    assert len(json.loads((cache / "kind.json").read_text())) == 3
    assert remembered("kind", 4, refuse) == "kept"
    assert remembered("kind", 0, lambda: "again") == "again"


def test_the_folder_is_the_users_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ERC_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    assert cache_folder() == Path("/somewhere/erc-feature-store")
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", "/home/user")
    assert cache_folder() == Path("/home/user/.cache/erc-feature-store")
