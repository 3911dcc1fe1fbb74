"""A file or a folder is written whole or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from features.errors import StoreError
from features.files import write_bytes_whole, write_folder_whole


def test_a_write_that_fails_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: Path, data: bytes) -> int:
        with self.open("wb") as file:
            file.write(data[:3])
        raise OSError("no space left")

    def stopped(self: Path, target: Path) -> Path:
        raise OSError("stopped before the rename")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", full)
        with pytest.raises(OSError, match="no space left"):
            write_bytes_whole(tmp_path / "clip.mp4", b"abcdef")
    monkeypatch.setattr(Path, "replace", stopped)
    with pytest.raises(OSError, match="stopped before the rename"):
        write_bytes_whole(tmp_path / "clip.mp4", b"abcdef")
    assert list(tmp_path.iterdir()) == []


def test_an_older_file_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("old and longer")
    write_bytes_whole(path, b"new")
    assert path.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [path]


def write_folder(path: Path, content: str) -> None:
    write_folder_whole(path, lambda temporary: (temporary / "values").write_text(content))


def test_an_older_folder_is_replaced(tmp_path: Path) -> None:
    for content in ("old", "new"):
        write_folder(tmp_path / "export", content)
        assert (tmp_path / "export" / "values").read_text() == content
        assert list(tmp_path.iterdir()) == [tmp_path / "export"]


@pytest.mark.parametrize("stands_again", [True, False])
def test_a_folder_that_cannot_be_put_in_its_place_costs_no_older_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stands_again: bool
) -> None:
    """stands_again: whether the older one can be given its name back"""
    write_folder(tmp_path / "export", "old")
    rename = Path.rename

    def stopped(self: Path, target: Path) -> Path:
        if self.suffix == ".tmp" or (self.suffix == ".old" and not stands_again):
            raise OSError(1, "Operation not permitted")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", stopped)
    expected = (
        pytest.raises(StoreError, match=r"export: cannot be put in its place: Operation not permitted")
        if stands_again
        else pytest.raises(OSError, match="Operation not permitted")
    )
    with expected:
        write_folder(tmp_path / "export", "new")
    (left,) = tmp_path.iterdir()
    assert (left / "values").read_text() == "old"
    assert (left.name == "export") is stands_again
