"""The files below a folder, for corpora whose names tell everything."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from features.digests import sha256_file
from features.errors import ManifestError
from pipeline.ingest.name_pattern import MEDIA_ENDINGS

_POINTER = b"version https://git-lfs.github.com/spec/"


@dataclass
class MediaFiles:
    """What a walk found; paths relative to the root, with forward slashes.

    files:        those that were asked for, sorted
    other_files:  media with other endings, and hidden ones; tables and texts are not counted
    apple_double: names beginning `._`, which macOS leaves in archives
    outside:      those that symbolic links lead to out of the root
    not_utf8:     those whose names are not UTF-8, which no manifest can hold
    """

    files: list[str] = field(default_factory=list)
    other_files: list[str] = field(default_factory=list)
    apple_double: list[str] = field(default_factory=list)
    outside: list[str] = field(default_factory=list)
    not_utf8: list[str] = field(default_factory=list)


def find_media(root: Path, takes: Callable[[str], bool]) -> MediaFiles:
    """All media files below a root. Linked folders are walked, each once, so that a link to a folder above ends.

    takes: whether a path's ending is wanted

    Raises ManifestError for a folder that cannot be read.
    """
    found = MediaFiles()
    real_root = os.path.realpath(root)
    seen = {real_root}
    for folder, folders, names in os.walk(root, onerror=_refuse, followlinks=True):
        folders.sort()
        for name in list(folders):
            real = os.path.realpath(Path(folder) / name)
            if real in seen:
                folders.remove(name)
            seen.add(real)
        inside = _is_inside(os.path.realpath(folder), real_root)
        for name in names:
            path = Path(folder) / name
            relative = PurePosixPath(path.relative_to(root)).as_posix()
            if not _is_utf8(relative):
                found.not_utf8.append(ascii(relative))
            elif name.startswith("._"):
                found.apple_double.append(relative)
            elif takes(relative) and not name.startswith("."):
                found.files.append(relative)
                if not inside or (path.is_symlink() and not _is_inside(os.path.realpath(path), real_root)):
                    found.outside.append(relative)
            elif path.suffix.lower() in MEDIA_ENDINGS:
                found.other_files.append(relative)
    for paths in (found.files, found.other_files, found.apple_double, found.outside):
        paths.sort()
    return found


def _refuse(error: OSError) -> None:
    raise ManifestError(f"{error.filename}: cannot be read: {error.strerror or error}") from error


def _is_utf8(path: str) -> bool:
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return True


def _is_inside(real: str, real_root: str) -> bool:
    return os.path.commonpath([real, real_root]) == real_root


def is_pointer(path: Path) -> bool:
    """Whether a file is what Git LFS leaves in place of one that was not fetched."""
    try:
        if path.stat().st_size > 1024:
            return False
        with path.open("rb") as file:
            return file.read(len(_POINTER)) == _POINTER
    except OSError:
        return False  # extraction tells what is wrong with it


def are_equal(one: Path, other: Path) -> bool:
    """Whether two files hold the same bytes; a file that cannot be read equals none."""
    try:
        return one.stat().st_size == other.stat().st_size and sha256_file(one) == sha256_file(other)
    except OSError:
        return False
