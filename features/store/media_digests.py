"""sha256 of clips, which takes reading them whole: each state of a file is hashed once, and remembered in the store.

The memory is a cache beside the features, `STORE/.media-digests.parquet`: absolute path, size, mtime and digest. Where
it is absent or damaged, or cannot be written, planning is only slower. Nothing else in the store rests on it.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from features.digests import sha256_file
from features.files import write_whole

if TYPE_CHECKING:
    import pyarrow as pa

CACHE_NAME = ".media-digests.parquet"

Advance = Callable[[int], object]
ShowBytes = Callable[[int], AbstractContextManager[Advance]]
"""Shows how far hashing has come: called with the bytes there are to read, it gives what is called with those read."""

_THREADS = 4  # hashing leaves the interpreter to others, and a disk answers several questions at once
_TOGETHER = 1024  # files
_SAVED_EVERY_S = 60.0
_MOST_ENTRIES = 4_000_000  # some 70 bytes each


class FileState(NamedTuple):
    """What is hashed: a file (by its absolute path) as it is while it has this size and mtime."""

    path: str
    size: int
    mtime_ns: int


class _StoppedError(Exception):
    """Raised in the middle of a file, where nobody waits for its digest any more."""


@contextmanager
def show_nothing(num_bytes: int) -> Iterator[Advance]:
    yield lambda count: None


class MediaDigests:
    """The digests that one run asks for. Not for several threads."""

    def __init__(self, store: Path, show: ShowBytes = show_nothing) -> None:
        """show: called where files are read, and with how many bytes"""
        self._store = store
        self._show = show
        self._cached: dict[FileState, str] = {}  # what the cache had of files that were asked for
        self._hashed: dict[FileState, str | None] = {}  # by this run; None: could not be read
        self._unsaved: dict[str, tuple[FileState, str]] = {}  # by path
        self._outdated: set[str] = set()  # paths that the cache has in another state than today's
        self._saved_at = time.monotonic()

    def of(
        self, root: Path, media: Sequence[str], states: Sequence[tuple[int, int]], *, fresh: bool = False
    ) -> list[str | None]:
        """sha256 (hex) of clips below `root` that have these sizes and mtimes; None for one that cannot be read.

        fresh: read the files again that were hashed by earlier runs
        """
        folder = os.path.join(os.path.realpath(root), "")  # noqa: PTH118  # a Path a clip is slow
        asked = [FileState(folder + name, *state) for name, state in zip(media, states, strict=True)]
        left = [state for state in dict.fromkeys(asked) if state not in self._hashed]
        if not fresh:
            self._look_up([state for state in left if state not in self._cached])
            left = [state for state in left if state not in self._cached]
        if left:
            self._hash(left)
        return [self._hashed[state] if state in self._hashed else self._cached[state] for state in asked]

    def _look_up(self, states: Sequence[FileState]) -> None:
        """Take what the cache has of files in these states."""
        table = _read_cache(self._store / CACHE_NAME) if states else None
        if table is None:
            return
        import pyarrow as pa
        import pyarrow.compute as pc

        paths = pa.array([os.fsencode(state.path) for state in states], pa.large_binary())
        rows = table.take(pc.index_in(paths, value_set=table["path"].combine_chunks()))
        columns = (rows[name].to_pylist() for name in ("size", "mtime_ns", "sha256"))
        for state, size, mtime_ns, digest in zip(states, *columns, strict=True):
            if (size, mtime_ns) == (state.size, state.mtime_ns):
                self._cached[state] = digest.hex()
            elif size is not None:
                self._outdated.add(state.path)

    def _hash(self, states: Sequence[FileState]) -> None:
        """Read files, several at once. What is learnt until an interruption is kept."""
        stopping, lock = threading.Event(), threading.Lock()

        def counted(num_bytes: int) -> None:
            if stopping.is_set():
                raise _StoppedError
            with lock:
                advance(num_bytes)

        try:
            with self._show(sum(state.size for state in states)) as advance, ThreadPoolExecutor(_THREADS) as pool:
                try:
                    for first in range(0, len(states), _TOGETHER):
                        part = states[first : first + _TOGETHER]
                        for state, found in zip(part, pool.map(partial(_digest, counted), part), strict=True):
                            self._learn(state, *found)
                except BaseException:
                    stopping.set()
                    pool.shutdown(wait=False, cancel_futures=True)
                    raise
        finally:
            self._save()

    def _learn(self, state: FileState, digest: str | None, is_stable: bool) -> None:
        self._hashed[state] = digest
        if digest is not None and is_stable:
            self._unsaved[state.path] = state, digest
        if time.monotonic() - self._saved_at > _SAVED_EVERY_S:
            self._save()

    def _save(self) -> None:
        """Add what was learnt to the cache, whatever it holds by now. Where that cannot be, go on without."""
        self._saved_at = time.monotonic()
        if not self._unsaved and not self._outdated:
            return
        import pyarrow as pa

        path = self._store / CACHE_NAME
        with suppress(OSError, pa.ArrowException):
            table = _joined(_read_cache(path), list(self._unsaved.values()), {*self._unsaved, *self._outdated})
            write_whole(path, partial(_write_cache, table))
            self._unsaved, self._outdated = {}, set()


def _digest(advance: Advance, state: FileState) -> tuple[str | None, bool]:
    """A file's sha256, None where it cannot be read; and whether the file was in this state to the end."""
    path = Path(state.path)
    try:
        digest = sha256_file(path, advance)
        after = path.stat()
    except (OSError, ValueError):
        return None, False
    return digest, (after.st_size, after.st_mtime_ns) == (state.size, state.mtime_ns)


def _schema() -> pa.Schema:
    import pyarrow as pa

    return pa.schema({"path": pa.large_binary(), "size": pa.int64(), "mtime_ns": pa.int64(), "sha256": pa.binary(32)})


def _read_cache(path: Path) -> pa.Table | None:
    """None where there is none, or none that can be used."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(pa.BufferReader(path.read_bytes()), use_threads=False, page_checksum_verification=True)
        is_whole = table.schema.equals(_schema()) and not any(column.null_count for column in table.columns)
    except (OSError, ValueError, pa.ArrowException):
        return None
    return table if is_whole else None


def _joined(old: pa.Table | None, learnt: Sequence[tuple[FileState, str]], replaced: Collection[str]) -> pa.Table:
    """One entry a path, those learnt last at the end; the oldest make room. replaced: paths of `old` that go"""
    import pyarrow as pa
    import pyarrow.compute as pc

    columns = [
        [os.fsencode(state.path) for state, _ in learnt],
        [state.size for state, _ in learnt],
        [state.mtime_ns for state, _ in learnt],
        [bytes.fromhex(digest) for _, digest in learnt],
    ]
    table = pa.table(columns, schema=_schema())
    if old is not None:
        paths = pa.array([os.fsencode(path) for path in replaced], pa.large_binary())
        table = pa.concat_tables([old.filter(pc.invert(pc.is_in(old["path"], value_set=paths))), table])
    return table.slice(max(0, len(table) - _MOST_ENTRIES))


def _write_cache(table: pa.Table, path: Path) -> None:
    import pyarrow.parquet as pq

    pq.write_table(table, path, compression="zstd", write_page_checksum=True)
