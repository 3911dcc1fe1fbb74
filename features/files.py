"""Writing a file or a folder so that it appears whole or not at all, and asking whether one has changed."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable
from pathlib import Path

from features.errors import StoreError

_NOT_THERE = {errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG, errno.ELOOP}
_CANNOT_SYNC = {errno.EINVAL, errno.ENOTSUP, errno.EBADF}  # a folder, on file systems that make names durable at once


def write_whole(path: Path, write: Callable[[Path], object]) -> None:
    """`write` a temporary file beside `path`, force it to disk, and rename it, which replaces an older file.

    Shards are not written so: what is committed is never replaced (see `features.store.commit`).
    """
    temporary = beside(path, "tmp")
    try:
        write(temporary)
        sync_file(temporary)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_bytes_whole(path: Path, data: bytes) -> None:
    """`write_whole` of these bytes."""
    write_whole(path, lambda temporary: temporary.write_bytes(data))


def write_folder_whole(path: Path, write: Callable[[Path], object]) -> None:
    """The same of a folder of files: an older one is removed only when the new one is in its place.

    Raises StoreError where it cannot be put there; the older one then stays.
    """
    temporary, older = beside(path, "tmp"), beside(path, "old")
    try:
        temporary.mkdir()
        write(temporary)
        for entry in temporary.rglob("*"):
            (sync_folder if entry.is_dir() else sync_file)(entry)
        sync_folder(temporary)
        try:
            if path.exists():
                path.rename(older)
            temporary.rename(path)
        except BaseException as error:
            if older.exists() and not path.exists():
                older.rename(path)
            if isinstance(error, OSError):
                raise StoreError(f"{path}: cannot be put in its place: {error.strerror}") from error
            raise
        sync_folder(path.parent)
        shutil.rmtree(older, ignore_errors=True)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def sync_folder(path: Path) -> None:
    """Make names that were made or removed in a folder durable, as far as its file system can."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except PermissionError:  # new names may be allowed where reading is not
        return
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in _CANNOT_SYNC:
            raise
    finally:
        os.close(descriptor)


def beside(path: Path, ending: str) -> Path:
    """A name in the same folder that no other process takes, and that listings leave out."""
    return path.with_name(f".{path.name}.{os.getpid()}.{ending}")


def seen_from(folder: Path, path: Path) -> str:
    """The path relative to a folder, with `/`, both without symbolic links; absolute where Windows has it on another
    drive."""
    path, folder = path.resolve(), folder.resolve()
    return (Path(os.path.relpath(path, folder)) if path.anchor == folder.anchor else path).as_posix()


def sync_file(path: Path) -> None:
    """Force a file to disk."""
    with path.open("rb" if os.name == "posix" else "r+b") as file:  # Windows syncs what is open for writing
        os.fsync(file.fileno())


def may_replace_open() -> bool:
    """Whether this system renames, replaces and removes files that are open: not Windows."""
    return os.name != "nt"


def size_and_mtime(path: str) -> tuple[int, int]:
    """Of a file; the mtime in ns. (-1, -1) where there is none, (-2, -2) where that cannot be told."""
    try:
        status = os.stat(path)  # noqa: PTH116  # asked of every clip of a corpus: a Path would take as long again
    except OSError as error:
        return (-1, -1) if error.errno in _NOT_THERE else (-2, -2)
    except ValueError:  # a name that no file system has
        return -1, -1
    return status.st_size, status.st_mtime_ns


def known_size_and_mtime(path: Path) -> tuple[int | None, int | None]:
    """The same, (None, None) where there is no such file or that cannot be told."""
    size, mtime_ns = size_and_mtime(str(path))
    return (None, None) if size < 0 else (size, mtime_ns)
