"""Archives unpacked once, each into a folder of its name that appears whole, and archives within them after it."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from features.errors import DownloadError
from features.files import sync_folder
from features.network.telling import byte_bar, free_bytes
from pipeline.download.members import DAMAGED, folder_name, members

MARKER = ".unpacked.json"
_DEPTH = 3  # an archive in an archive in an archive
_KEPT_FREE = 200_000_000
_RATIO, _SMALL = 200, 100_000_000  # films and sound hardly shrink; a table may twentyfold
_PER_MEMBER = 4096  # what the smallest file takes on a disk
_BLOCK = 1 << 20


@dataclass
class _Room:
    """What an archive may still write. Raises DownloadError where it wants more."""

    archive: Path
    disk: int
    sane: int

    def take(self, number: int) -> None:
        self.disk -= number
        self.sane -= number
        if self.disk < 0:
            raise DownloadError(
                f"{self.archive}: the disk has no room for what it holds: make room, and give the same command"
            )
        if self.sane < 0:
            raise DownloadError(
                f"{self.archive}: holds more than {_RATIO} times its own size, as no corpus does: it is not unpacked"
            )


def unpacked_folder(archive: Path) -> Path | None:
    """Where an archive is, or would be, unpacked: beside it, by its name without the suffix. None: it is none."""
    name = folder_name(archive.name)
    return None if name is None else archive.with_name(name)


def is_unpacked(archive: Path) -> bool:
    """Whether the archive's own folder is there, whole, whether the archive still is or not."""
    folder = unpacked_folder(archive)
    return folder is not None and (folder / MARKER).is_file()


def unpack(archive: Path, sha256: str | None = None, depth: int = 1) -> None:
    """Unpack an archive, unless that is done, and then what archives its folder holds, which are removed.

    sha256:  of the archive, noted in its folder: another edition is not taken for this one
    A run that is killed leaves no half folder: the archive in hand is begun anew. Raises DownloadError for an archive
    that is damaged, may not be trusted, or does not fit on the disk, and for a folder that somebody else made.
    """
    folder = unpacked_folder(archive)
    if folder is None:
        return
    if not is_unpacked(archive):
        if folder.exists():
            raise DownloadError(
                f"{folder} is there, and was not unpacked from {archive.name} by this command: move it, or give --to"
                " another folder"
            )
        _unpack_whole(archive, folder, sha256)
    elif sha256 is not None and _noted(folder) not in (None, sha256):
        raise DownloadError(f"{folder} was unpacked from another edition of {archive.name}: remove that folder")
    for inner in _within(folder):
        if depth >= _DEPTH:
            raise DownloadError(f"{inner}: is an archive in archives {_DEPTH} deep: unpack it by hand if you trust it")
        unpack(inner, None, depth + 1)
        inner.unlink()


def _within(folder: Path) -> list[Path]:
    found = (Path(place) / name for place, _, names in os.walk(folder) for name in names)
    return sorted(path for path in found if folder_name(path.name) and not path.name.startswith("."))


def _noted(folder: Path) -> str | None:
    try:
        noted = json.loads((folder / MARKER).read_text(encoding="utf-8"))["sha256"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return noted if isinstance(noted, str) else None


def _unpack_whole(archive: Path, folder: Path, sha256: str | None) -> None:
    staging = folder.with_name(f".{folder.name}.unpacking")
    shutil.rmtree(staging, ignore_errors=True)  # of a run that was killed
    try:
        staging.mkdir()
        number, written = _write_members(archive, staging)
        top = _single_folder(staging, folder.name)
        note = {"archive": archive.name, "sha256": sha256, "files": number, "bytes": written}
        (top / MARKER).write_text(json.dumps(note), encoding="utf-8")
        sync_folder(top)
        top.rename(folder)
        sync_folder(folder.parent)
    except DAMAGED as error:
        raise DownloadError(_damage(archive, error)) from error
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _damage(archive: Path, error: Exception) -> str:
    if isinstance(error, OSError) and error.errno is not None:
        return f"{archive}: cannot be unpacked: {error.strerror or error}: make room or give --to another folder"
    told = " ".join(str(error).split()) or type(error).__name__
    return f"{archive} is damaged ({told}): remove it, and give the same command"


def _write_members(archive: Path, staging: Path) -> tuple[int, int]:
    """How many files, and bytes."""
    size = archive.stat().st_size
    room = _Room(archive, free_bytes(staging) - _KEPT_FREE, _RATIO * size + _SMALL)
    number = written = 0
    with byte_bar(size, f"unpack {archive.name}") as bar, archive.open("rb") as source:
        for member in members(archive, staging, source):
            room.take(_PER_MEMBER)
            path = staging / member.name
            if member.content is None:
                path.mkdir(parents=True, exist_ok=True)
                continue
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("wb") as file:
                while block := member.content.read(_BLOCK):
                    room.take(len(block))
                    file.write(block)
                    written += len(block)
                    bar.update(source.tell() - bar.n)
            number += 1
    return number, written


def _single_folder(staging: Path, name: str) -> Path:
    """The folder to keep: what holds all members, where that is one folder of the archive's name."""
    entries = list(staging.iterdir())
    if len(entries) == 1 and entries[0].name == name and entries[0].is_dir():
        return entries[0]
    return staging
