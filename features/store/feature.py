"""One stored feature: a folder of shards, read by utterance id."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import polars as pl

from features.digests import digest_of
from features.errors import FormatError, ShardError, StoreError, UnreadableError
from features.manifest import Manifest
from features.spec import EncoderSpec
from features.store.commit import ShardName, committed_names
from features.store.index import OK, STATUSES, LedgerIndex, Sources, columns_read, read_index
from features.store.ledger import COLUMNS, read_ledger, read_ledgers
from features.store.maps import ShardGoneError, ShardMaps
from features.store.reading import read_bytes
from features.store.shard import Shard
from features.store.top_file import read_top

if TYPE_CHECKING:
    from features.top.top import Top

ABSENT = "absent"

_SHARDS_OPEN = 64  # while many rows are read
_FEW_ROWS = 256  # no more shards than these are open at once

# Where no ledger holds what spec.json said, the command that made it can: a spec is written the same each time.
SPEC_MEND = "move it away and run the `erc extract` that made it, or move the folder away"
SPEC_REPAIR = f"`erc store verify STORE --repair` writes it again where a ledger holds it; else {SPEC_MEND}"

Name = TypeVar("Name")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Rows:
    """Embeddings of some utterances, in the order of the ids that were given.

    values:  float32 [n, *shape]; zeros where there is no embedding
    present: bool [n], True where there is an embedding
    status:  for each utterance `ok`, `missing`, `failed`, or `absent` (never extracted)
    reason:  for each utterance the ledger's reason, or None
    """

    values: np.ndarray
    present: np.ndarray
    status: list[str]
    reason: list[str | None]


def read_spec(path: Path, folder: str) -> EncoderSpec:
    """The spec of the feature in `path`.

    Raises ShardError if spec.json is absent, damaged or that of another folder, UnreadableError if it cannot be read,
    and FormatError if a later version of this package wrote it.
    """
    where = path / "spec.json"
    try:
        spec = EncoderSpec.from_json(read_bytes(where, SPEC_REPAIR).decode("utf-8"), str(where))
    except UnicodeDecodeError as error:
        raise ShardError(f"{where}: is not text ({error}): {SPEC_REPAIR}") from error
    except (ShardError, UnreadableError, FormatError):
        raise
    except StoreError as error:
        raise ShardError(f"{error}: {SPEC_REPAIR}") from error
    if spec.folder != folder:
        raise ShardError(f"{where}: belongs to {spec.folder}: the folder was renamed: {SPEC_REPAIR}")
    return spec


class Feature:
    """A feature of a store. Opening it reads spec.json only. Ledgers and tensors are read when they are needed.

    Reading uses plain arrays and memory maps, so that it also works in processes that were forked or spawned. If a
    shard was removed in the meantime (`gc`), the ledgers are read once more.
    """

    def __init__(
        self, root: Path, folder: str, spec: EncoderSpec | None = None, sources: Sources | None = None
    ) -> None:
        """spec:    used instead of spec.json, if that is gone
        sources: the rows of a manifest to read: see `fitting`
        Raises the errors of `read_spec`.
        """
        self.root = root
        self.folder = folder
        self.path = root / folder
        self.spec = spec or read_spec(self.path, folder)
        self.sources = sources
        self._maps = ShardMaps(self.path, self.spec)

    def fitting(self, manifest: Manifest) -> Feature:
        """The same feature, with the rows that fit this manifest: for each utterance, the newest row that was made from
        what the manifest has now. A store may hold rows of several manifests, and rows of texts that were edited and
        then restored."""
        sources = Sources(manifest.ids, manifest.source_digests(self.spec.depends))
        return Feature(self.root, self.folder, self.spec, sources)

    @property
    def fingerprint(self) -> str:
        return self.spec.fingerprint

    @property
    def name(self) -> str:
        return self.spec.name

    def read_top(self) -> Top:
        """The encoder's layers above the stored states, for a spec with `from_top`. Raises the errors of
        `top_file.read_top`."""
        return read_top(self.path, self.spec)

    @cached_property
    def names(self) -> list[ShardName]:
        """The committed shards, later generations last. This lists the folder, and reads no file."""
        return committed_names(self.path)

    @cached_property
    def index(self) -> LedgerIndex:
        """The row that holds for each utterance."""
        return read_index(self.path, self.sources)

    def index_with(self, *columns: str) -> LedgerIndex:
        """`index`, with these columns of the ledger in its table. It is read again if it has other columns."""
        if set(columns) <= set(columns_read(self.sources)):
            return self.index
        return read_index(self.path, self.sources, columns)

    def ledger(self, columns: Sequence[str] | None = None) -> pl.DataFrame:
        """The row that counts for each utterance, even if it is `failed`, in the order of the shards.

        The columns are those of the ledger (all, or utterance_id and `columns`), then `generation` and `chunk`.
        """
        wanted = None if columns is None else ["utterance_id", *[name for name in columns if name != "utterance_id"]]
        known = wanted is not None and COLUMNS.keys() >= set(wanted)
        index = self.index_with(*(wanted or ())) if known else self.index
        names = index.names
        if known:
            frame = pl.DataFrame(pl.from_arrow(index.table.select(wanted)))
        elif not names:
            shown = list(COLUMNS) if wanted is None else wanted
            frame = pl.DataFrame(schema={name: COLUMNS.get(name, pl.Int64()) for name in shown})
        else:
            frames = read_ledgers([self.path / f"{name.stem}.parquet" for name in names], wanted)
            frame = pl.concat(frames, how="diagonal")
        placed = frame.with_columns(
            generation=pl.Series([name.generation for name in names], dtype=pl.Int64).gather(index.shard),
            chunk=pl.Series([name.chunk for name in names], dtype=pl.Int64).gather(index.shard),
        )
        return placed[index.holding()]

    def ledger_values(self, index: LedgerIndex, places: np.ndarray, column: str) -> list[Any]:
        """A column of the ledger for these rows of the index's table. Only the shards that have these rows are read."""
        values: list[Any] = [None] * len(places)
        for shard, positions in _by_shard(index, places, np.ones(len(places), bool)):
            rows = places[positions] - np.searchsorted(index.shard, shard)
            stored = read_ledger(self.path / f"{index.names[shard].stem}.parquet", [column])[column].gather(rows)
            for position, value in zip(positions.tolist(), stored.to_list(), strict=True):
                values[position] = value
        return values

    def close_shards(self) -> None:
        """Close the open shards. Until then, pages of a mapped file count as memory."""
        self._maps.close()

    def shard(self, name: ShardName) -> Shard:
        """A shard, memory-mapped. Raises ShardError if it is damaged, and ShardGoneError if it was removed."""
        return self._maps[name]

    def _reading(self, work: Callable[[LedgerIndex], Result]) -> Result:
        """`work` by the index; once more by a new one where a shard was removed meanwhile."""
        try:
            return work(self.index)
        except ShardGoneError:
            self._maps.close()
            for name in ("index", "names"):
                self.__dict__.pop(name, None)
            return work(self.index)

    def read(self, ids: Sequence[str], out: np.ndarray | None = None) -> Rows:
        """Embeddings of a vector or stack feature, joined by id.

        out: the array that becomes the rows' values: float32 [n, *shape], filled with zeros. Give a memory map if the
             values do not fit in memory
        Raises StoreError for a sequence feature, and the errors of `shard`.
        """
        if self.spec.kind == "sequence":
            raise StoreError(f"{self.folder} is a sequence feature: each utterance has its own length")

        def work(index: LedgerIndex) -> Rows:
            found = index.find(ids)
            present = _present(index, found)
            shape = (len(ids), *self.spec.shape)
            if len(ids) <= _FEW_ROWS and present.all():
                values = np.empty(shape, np.float32) if out is None else out
                self._take_each(index, found, values)
                return Rows(values, present, [STATUSES[OK]] * len(ids), [None] * len(ids))
            values = np.zeros(shape, np.float32) if out is None else out
            for shard, positions in self._shards(index, found, present):
                rows = index.row[found[positions]]
                if _in_a_row(rows) and _in_a_row(positions):
                    values[positions[0] : positions[-1] + 1] = shard.span(rows[0], len(rows))
                else:
                    values[positions] = shard.take(rows)
            return Rows(values, present, _statuses(index, found), _reasons(index, found))

        return self._reading(work)

    def _take_each(self, index: LedgerIndex, found: np.ndarray, values: np.ndarray) -> None:
        """A minibatch, row by row: most of them are in a shard of their own."""
        names, opened = index.names, self._maps.tensors
        rows = index.row[found].tolist()
        for position, (number, row) in enumerate(zip(index.shard[found].tolist(), rows, strict=True)):
            tensors = opened.get(names[number])
            if tensors is None:
                tensors = self._maps[names[number]].values
            if not 0 <= row < len(tensors):
                self._maps[names[number]].row(row)  # says what is wrong
            values[position] = tensors[row]

    def read_sequences(self, ids: Sequence[str]) -> list[np.ndarray | None]:
        """Embeddings of a sequence feature, each [length, *shape] in the stored dtype, or None."""

        def work(index: LedgerIndex) -> list[np.ndarray | None]:
            found: list[np.ndarray | None] = [None] * len(ids)
            for position, row in self._sequences(index, ids):
                found[position] = np.array(row)
            return found

        return self._reading(work)

    def read_joined(
        self, ids: Sequence[str], allocate: Callable[[tuple[int, ...], np.dtype], np.ndarray]
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Embeddings of a sequence feature laid end to end, in the order of `ids`, in bounded memory.

        allocate: makes the array for the values, [sum of lengths, *shape] in the stored dtype; a memory map if they do
                  not fit in memory
        Returns (values, offsets int64 [n + 1], present bool [n]). A missing embedding has length 0.
        """

        def work(index: LedgerIndex) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
            lengths, present = np.zeros(len(ids), np.int64), np.zeros(len(ids), bool)
            for position, row in self._sequences(index, ids):
                lengths[position], present[position] = len(row), True
            offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)])
            values = allocate((int(offsets[-1]), *self.spec.shape), np.dtype(self.spec.stored_dtype))
            for position, row in self._sequences(index, ids):
                values[offsets[position] : offsets[position + 1]] = row
            return values, offsets, present

        return self._reading(work)

    def _sequences(self, index: LedgerIndex, ids: Sequence[str]) -> Iterator[tuple[int, np.ndarray]]:
        """(place among the ids, its stored rows as a view), shard by shard, for those that have an embedding."""
        if self.spec.kind != "sequence":
            raise StoreError(f"{self.folder} is not a sequence feature: use read()")
        found = index.find(ids)
        for shard, positions in self._shards(index, found, _present(index, found)):
            for position in positions.tolist():
                yield position, shard.row(int(index.row[found[position]]))

    def _shards(self, index: LedgerIndex, found: np.ndarray, present: np.ndarray) -> Iterator[tuple[Shard, np.ndarray]]:
        """As `_by_shard`. Pages that were read count as memory as long as their shard is open, so few stay open."""
        for number, (shard, positions) in enumerate(_by_shard(index, found, present)):
            if number % _SHARDS_OPEN == _SHARDS_OPEN - 1:
                self._maps.close()
            yield self._maps[index.names[shard]], positions

    def reasons(self, ids: Sequence[str]) -> list[str | None]:
        """For each utterance, the ledger's reason or None; `absent` if there is no row."""
        return _reasons(self.index, self.index.find(ids), ABSENT)

    def statuses(self, ids: Sequence[str]) -> list[str]:
        """For each utterance `ok`, `missing`, `failed`, or `absent` if there is no row."""
        return _statuses(self.index, self.index.find(ids))

    def stale(self, manifest: Manifest) -> list[str]:
        """Ids of the manifest that have rows, but no row that was made from what the manifest has now."""
        is_seen_by_it = self.sources is not None and self.sources.ids is manifest.ids
        stale = (self if is_seen_by_it else self.fitting(manifest)).index.stale
        return [utterance_id for utterance_id in manifest.ids if utterance_id in stale]

    def coverage(self, ids: Sequence[str]) -> dict[str, int | dict[str, int]]:
        """How many of these utterances are ok, missing and failed (each by reason), and absent."""
        index = self.index
        found = index.find(ids)
        known = found[found >= 0]
        pairs, numbers = np.unique(
            np.stack([index.status[known].astype(np.int64), index.reason[known]]), axis=1, return_counts=True
        )
        counts: dict[str, int | dict[str, int]] = {"ok": 0, "missing": {}, "failed": {}, ABSENT: int((found < 0).sum())}
        named = [
            (STATUSES[status], index.reasons[reason] if reason >= 0 else None, number)
            for status, reason, number in zip(*pairs.tolist(), numbers.tolist(), strict=True)
        ]
        for status, reason, number in sorted(named, key=lambda item: (item[0], item[1] or "")):
            place = counts[status]
            if isinstance(place, dict):
                place[str(reason)] = number
            else:
                counts[status] = number
        return counts

    def rows_digest(self, ids: Sequence[str]) -> str:
        """A digest of the (utterance id, crc32) pairs of these utterances. It says exactly which numbers a run used."""
        index = self.index
        found = index.find(ids)
        present = _present(index, found)
        checksums: list[int | None] = [None] * len(found)
        values = index.crc32[found[present]].tolist()
        for place, value in zip(np.flatnonzero(present).tolist(), values, strict=True):
            checksums[place] = value
        return digest_of("rows", list(zip(ids, checksums, strict=True)))


def _present(index: LedgerIndex, found: np.ndarray) -> np.ndarray:
    """bool, True where there is an embedding. found: of `LedgerIndex.find`"""
    present = found >= 0
    present[present] = index.status[found[present]] == OK
    return present


def _in_a_row(numbers: np.ndarray) -> bool:
    """Whether each is one more than the one before."""
    return bool(numbers[-1] - numbers[0] == len(numbers) - 1 and (np.diff(numbers) == 1).all())


def _by_shard(index: LedgerIndex, found: np.ndarray, present: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    """(number of a shard, int64 positions among `found` that it has the embeddings of), each shard once."""
    positions = np.flatnonzero(present)
    if not len(positions):
        return
    shards = index.shard[found[positions]]
    order = np.argsort(shards, kind="stable")
    starts = np.flatnonzero(np.diff(shards[order], prepend=-1))
    for start, part in zip(starts.tolist(), np.split(order, starts[1:]), strict=True):
        yield int(shards[order[start]]), positions[part]


def _statuses(index: LedgerIndex, found: np.ndarray) -> list[str]:
    return _named([ABSENT, *STATUSES], index.status, found, 1)


def _reasons(index: LedgerIndex, found: np.ndarray, absent: str | None = None) -> list[str | None]:
    return _named([absent, None, *index.reasons], index.reason, found, 2)


def _named(names: Sequence[Name], numbers: np.ndarray, found: np.ndarray, shift: int) -> list[Name]:
    """The name of each one's row, by its number plus `shift`; the first name where there is no row."""
    places = np.zeros(len(found), np.int64)
    places[found >= 0] = numbers[found[found >= 0]].astype(np.int64) + shift
    named: list[Name] = np.array(names, object)[places].tolist()
    return named
