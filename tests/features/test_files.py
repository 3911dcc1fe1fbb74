"""A file is written whole or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from features.files import write_bytes_whole


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
