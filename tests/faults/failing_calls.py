"""Calls of the system that fail: the n-th of a kind that concerns files below some folders, once or from then on.

All code of this package passes Python's own functions, and these are replaced for a while: no library is preloaded.
What a file object reads and writes is caught too. What goes past Python is not (FFmpeg, Arrow and polars open files of
their own); `scan`, polars' look at many ledgers at once, is therefore a kind of its own.
"""

from __future__ import annotations

import errno
import fcntl
import io
import os
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self, cast

import pytest

Mode = Literal["once", "gone", "late"]

# kind -> the errors that real file systems answer there with.
KINDS: dict[str, tuple[int, ...]] = {
    "open": (errno.EIO, errno.ESTALE, errno.EACCES, errno.EMFILE, errno.ENOSPC),
    "read": (errno.EIO, errno.ESTALE),
    "write": (errno.ENOSPC, errno.EIO, errno.EDQUOT),
    "close": (errno.ENOSPC, errno.EIO),
    "fsync": (errno.EIO, errno.ENOSPC, errno.ESTALE),
    "link": (errno.EIO, errno.ENOSPC, errno.EACCES, errno.EPERM, errno.ESTALE),
    "rename": (errno.EIO, errno.ENOSPC, errno.EACCES),
    "unlink": (errno.EIO, errno.EACCES, errno.ESTALE),
    "mkdir": (errno.EIO, errno.ENOSPC, errno.EACCES),
    "scandir": (errno.EIO, errno.ESTALE, errno.EACCES, errno.EMFILE),
    "stat": (errno.EIO, errno.ESTALE, errno.EACCES),
    "flock": (errno.ENOLCK, errno.EIO),
    "scan": (errno.EIO,),
}
# Calls that can have done their work and answer an error all the same: a server's answer was lost, and it asked again.
LATE = ("link", "rename", "unlink", "mkdir", "fsync", "close")

_open = io.open


@dataclass
class FailingCalls:
    """Within it, the `number`-th call of `kind` below one of `roots` fails.

    mode:   `once`, `gone` (that one and all later ones of the kind) or `late` (once, after it did its work)
    seen:   how many calls of each kind there were; with `kind` None nothing fails, and it only counts
    failed: how many did fail
    """

    roots: tuple[Path, ...]
    kind: str | None = None
    error: int = errno.EIO
    number: int = 1
    mode: Mode = "once"
    seen: Counter[str] = field(default_factory=Counter)
    failed: int = 0
    _patch: pytest.MonkeyPatch = field(default_factory=pytest.MonkeyPatch, init=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False)
    _below: tuple[str, ...] = field(default=(), init=False)

    def __enter__(self) -> Self:
        # The folders above a store that is still to be made are its own, too.
        self._below = tuple(os.path.realpath(root) for root in self.roots)
        # Nothing here pulls the plug, and a disk that is busy with true syncs takes most of the time.
        self._patch.setattr(os, "fsync", lambda descriptor: None)
        for name, kind in _OF_OS.items():
            self._replace(os, name, kind)
        self._replace(fcntl, "flock", "flock")
        self._patch.setattr(os, "scandir", self._scandir)
        for module in ("io", "builtins"):
            self._patch.setattr(f"{module}.open", self._open_file)
        for place in ("features.store.ledger.scan_ledgers",):
            self._patch.setattr(place, self._scan(place))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._patch.undo()

    def __str__(self) -> str:
        return f"{self.kind} {self.number} answers {errno.errorcode[self.error]}, {self.mode}"

    def call(self, kind: str, path: Any, work: Callable[[], Any], half: Callable[[], Any] | None = None) -> Any:
        """Do a call, or fail. `half`: what is done of it where it fails."""
        if not self._concerns(path):
            return work()
        with self._lock:
            self.seen[kind] += 1
            number = self.seen[kind]
            fails = kind == self.kind and (number == self.number or (self.mode == "gone" and number > self.number))
            self.failed += fails
        if not fails:
            return work()
        if self.mode == "late":
            work()
        elif half is not None:
            half()
        raise OSError(self.error, os.strerror(self.error), str(path))

    def _concerns(self, path: Any) -> bool:
        try:
            if isinstance(path, int):
                path = _path_of(path)
            name = os.path.abspath(os.fsdecode(path))  # noqa: PTH100  # links stay
        except (OSError, TypeError, ValueError):
            return False
        return any(name == root or name.startswith(f"{root}{os.sep}") for root in self._below)

    def _replace(self, module: Any, name: str, kind: str) -> None:
        real = getattr(module, name)

        def failing(path: Any, *values: Any, **options: Any) -> Any:
            folder = options.get("dir_fd") or options.get("src_dir_fd")
            asked = path if folder is None else f"{_path_of(folder)}/{path}"
            return self.call(kind, asked, lambda: real(path, *values, **options))

        self._patch.setattr(module, name, failing)

    def _scandir(self, path: Any = ".") -> Any:
        return self.call("scandir", path, lambda: _Entries(_scandir(path), self))

    def _open_file(self, file: Any, mode: str = "r", buffering: int = -1, *texts: Any, **options: Any) -> Any:
        if isinstance(file, int) or options.get("opener") or not self._concerns(file):
            return _open(file, mode, buffering, *texts, **options)
        raw_mode = mode.replace("t", "").replace("b", "")
        raw = self.call("open", file, lambda: _File(file, raw_mode, self))
        if "b" in mode and buffering == 0:
            return raw
        kind = io.BufferedRandom if "+" in mode else io.BufferedReader if "r" in mode else io.BufferedWriter
        buffered = cast(Any, kind)(raw)
        return buffered if "b" in mode else io.TextIOWrapper(buffered, *texts, **options)

    def _scan(self, place: str) -> Callable[..., Any]:
        from features.store import ledger

        real = ledger.scan_ledgers
        return lambda paths: self.call("scan", paths[0] if paths else "", lambda: real(paths))


_OF_OS = {
    "open": "open",
    "pread": "read",
    "pwrite": "write",
    "ftruncate": "write",
    "fsync": "fsync",
    "link": "link",
    "rename": "rename",
    "replace": "rename",
    "unlink": "unlink",
    "remove": "unlink",
    "rmdir": "unlink",
    "mkdir": "mkdir",
    "listdir": "scandir",
    "stat": "stat",
    "lstat": "stat",
    "fstat": "stat",
}
_scandir = os.scandir


def _path_of(descriptor: int) -> str:
    return str(Path(f"/proc/self/fd/{descriptor}").readlink())


class _File(io.FileIO):
    """A file whose calls can fail; a write that fails has written half."""

    def __init__(self, path: Any, mode: str, calls: FailingCalls) -> None:
        super().__init__(path, mode)
        self._calls = calls
        self._path = path

    def readinto(self, buffer: Any) -> Any:
        return self._calls.call("read", self._path, lambda: super(_File, self).readinto(buffer))

    def readall(self) -> Any:
        return self._calls.call("read", self._path, super().readall)

    def read(self, size: int | None = -1) -> Any:
        return self._calls.call("read", self._path, lambda: super(_File, self).read(-1 if size is None else size))

    def write(self, data: Any) -> Any:
        whole = super().write
        view = memoryview(data).cast("B")
        return self._calls.call("write", self._path, lambda: whole(view), lambda: whole(view[: len(view) // 2]))

    def close(self) -> None:
        if self.closed or not self.writable():
            super().close()
            return
        self._calls.call("close", self._path, super().close, super().close)


class _Entries:
    """What os.scandir gives, whose entries' own questions can fail, too."""

    def __init__(self, entries: Any, calls: FailingCalls) -> None:
        self._entries, self._calls = entries, calls

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._entries.close()

    def close(self) -> None:
        self._entries.close()

    def __iter__(self) -> Iterator[_Entry]:
        return (_Entry(entry, self._calls) for entry in self._entries)

    def __next__(self) -> _Entry:
        return _Entry(next(self._entries), self._calls)


class _Entry:
    def __init__(self, entry: os.DirEntry[str], calls: FailingCalls) -> None:
        self._entry, self._calls = entry, calls
        self.name, self.path = entry.name, entry.path

    def __fspath__(self) -> str:
        return self.path

    def is_symlink(self) -> bool:
        return self._entry.is_symlink()

    def is_dir(self, **options: bool) -> bool:
        return self._entry.is_dir(**options)

    def is_file(self, **options: bool) -> bool:
        return self._entry.is_file(**options)

    def stat(self, **options: bool) -> os.stat_result:
        result: os.stat_result = self._calls.call("stat", self.path, lambda: self._entry.stat(**options))
        return result
