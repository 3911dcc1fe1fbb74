"""Which row of which shard holds for each utterance: the ledgers of one feature, as plain arrays.

Nothing here is a thread, an open file or a handle, so that forked and spawned processes read by it, and can make it:
ledgers are read by pyarrow, in the calling thread (polars' threads do not survive a fork, docs/LOG.md).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import repeat
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from features.errors import ShardError, bare_line
from features.store.commit import ShardName, committed_names
from features.store.ledger import arrow_schema
from features.store.reading import REPAIR, is_there, read_bytes

if TYPE_CHECKING:
    import pyarrow as pa

STATUSES = ("ok", "missing", "failed")
OK, MISSING, FAILED = range(3)

_COLUMNS = ("utterance_id", "status", "reason", "row", "crc32")
_ATTEMPTS = 3  # `gc` may remove a superseded shard between the listing of a folder and the reading of a ledger
_FEW = 8  # an eighth of all ids are looked up at once rather than one by one


@dataclass(frozen=True)
class Sources:
    """What a manifest's rows are made of today: ids, and the source digest of each (see `Manifest.source_digests`)."""

    ids: Sequence[str]
    digests: Sequence[str]


@dataclass(frozen=True)
class LedgerIndex:
    """The row that holds for each utterance.

    Per utterance the newest row that fits holds: of those made from today's source the last in the order of `names`; an
    utterance that has none of these, or that no manifest was given for, has its newest row.

    names:   the committed shards, later generations last
    table:   all rows of all of them in that order, superseded ones too: the ledger's columns that were asked for
    ids:     the utterances that have rows, in the order of their first ones
    places:  int64 [len(ids)], the row of the table that holds for each
    shard:   int32 [n], the number of each row's shard in `names`
    row:     int64 [n], its row of the shard's tensors; -1 where it has no embedding
    status:  int8 [n], its number in STATUSES
    reason:  int32 [n], its number in `reasons`; -1 for none
    crc32:   uint32 [n]; 0 where there is no embedding
    stale:   utterances of the manifest that have rows, none of which was made from today's source
    """

    names: list[ShardName]
    table: pa.Table
    ids: pa.LargeStringArray
    places: np.ndarray
    shard: np.ndarray
    row: np.ndarray
    status: np.ndarray
    reason: np.ndarray
    reasons: list[str]
    crc32: np.ndarray
    stale: frozenset[str]

    def find(self, ids: Sequence[str]) -> np.ndarray:
        """int64 [len(ids)]: the row of the table that holds for each; -1 where there is none."""
        if len(ids) * _FEW < len(self.ids):
            return np.fromiter(map(self._by_id.get, ids, repeat(-1)), np.int64, len(ids))
        return np.append(self.places, -1)[_numbers(self.ids, ids)]

    @cached_property
    def _by_id(self) -> dict[str, int]:
        return dict(zip(self.ids.to_pylist(), self.places.tolist(), strict=True))

    def holding(self) -> np.ndarray:
        """int64, ascending: the rows of the table that hold for some utterance."""
        return np.sort(self.places)


def columns_read(sources: Sources | None) -> tuple[str, ...]:
    """The ledger's columns that are always in the table of an index."""
    return _COLUMNS if sources is None else (*_COLUMNS, "source_digest")


def read_index(folder: Path, sources: Sources | None = None, columns: Sequence[str] = ()) -> LedgerIndex:
    """Read the ledgers of a feature's folder.

    sources: of the manifest whose rows are wanted; without it the newest row of each utterance holds
    columns: of the ledger, to be in `table` beside those that are always there
    Raises ShardError that names a ledger which is damaged.
    """
    wanted = list(dict.fromkeys([*columns_read(sources), *columns]))
    for attempt in range(_ATTEMPTS):
        names = committed_names(folder)
        try:
            table, lengths = _read_all(folder, names, wanted)
            break
        except _GoneError:
            if attempt + 1 == _ATTEMPTS:
                raise
    return _index(names, table, lengths, sources)


class _GoneError(ShardError):
    """A shard was removed whole while its folder was read."""


def _read_all(folder: Path, names: Sequence[ShardName], columns: Sequence[str]) -> tuple[pa.Table, list[int]]:
    """All rows of these ledgers, and how many each has."""
    import pyarrow as pa

    schema = arrow_schema(columns)
    tables = [_read(folder, name, schema) for name in names]
    joined = pa.concat_tables([schema.empty_table(), *tables])
    return joined.combine_chunks(), [len(table) for table in tables]


def _read(folder: Path, name: ShardName, schema: pa.Schema) -> pa.Table:
    """Raises ShardError where the ledger is absent or damaged, UnreadableError where it cannot be read."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = folder / f"{name.stem}.parquet"
    try:
        content = read_bytes(path)
    except ShardError as error:
        if not is_there(path.with_name(f"{name.stem}.json")):
            raise _GoneError(str(error)) from error
        raise
    try:
        table = pq.ParquetFile(pa.BufferReader(content)).read(columns=schema.names, use_threads=False)
        if not table.schema.equals(schema):  # to select and cast takes as long as to read
            table = table.select(schema.names).cast(schema)
    except (pa.ArrowException, KeyError, OSError, ValueError) as error:
        raise ShardError(f"{path}: is not a ledger: {bare_line(error)}: {REPAIR}") from error
    if table["utterance_id"].null_count:
        raise ShardError(f"{path}: is not a ledger: it has a row without utterance_id: {REPAIR}")
    return table


def _index(names: list[ShardName], table: pa.Table, lengths: Sequence[int], sources: Sources | None) -> LedgerIndex:
    import pyarrow as pa
    import pyarrow.compute as pc

    ids, places = _newest(table, sources)
    stale = set() if sources is None else _take_fitting(ids, places, table, sources)
    reasons = table["reason"].unique().drop_null().to_pylist()
    return LedgerIndex(
        names,
        table,
        ids,
        places,
        np.repeat(np.arange(len(names), dtype=np.int32), lengths),
        _numpy(table["row"], -1, np.int64),
        _numpy(pc.index_in(table["status"], pa.array(STATUSES)), FAILED, np.int8),
        _numpy(pc.index_in(table["reason"], pa.array(reasons, pa.string())), -1, np.int32),
        reasons,
        _numpy(table["crc32"], 0, np.uint32),
        frozenset(stale),
    )


def _newest(table: pa.Table, sources: Sources | None) -> tuple[pa.LargeStringArray, np.ndarray]:
    """Each utterance that has rows, and the last row of the table that it has."""
    import pyarrow as pa

    column = pa.concat_arrays([pa.array([], pa.large_string()), *table["utterance_id"].chunks])
    if sources is not None and column.equals(pa.array(sources.ids, column.type)):
        return column, np.arange(len(column))  # one row each, in the manifest's order: nothing to look up
    encoded = column.dictionary_encode()
    places = np.zeros(len(encoded.dictionary), np.int64)
    places[encoded.indices.to_numpy()] = np.arange(len(column))  # where a number is there twice, the last one stays
    return encoded.dictionary, places


def _numpy(column: Any, null: int, dtype: type) -> np.ndarray:
    array: np.ndarray = column.fill_null(null).to_numpy().astype(dtype)
    return array


def _numbers(known: pa.LargeStringArray, ids: Sequence[str]) -> np.ndarray:
    """int64 [len(ids)]: each one's place among `known`, which has none twice; -1 where it is not there."""
    import pyarrow as pa
    import pyarrow.compute as pc

    asked = pa.array(ids, pa.large_string())
    if asked.equals(known):  # a store filled in the manifest's order: far faster than looking each up
        return np.arange(len(known))
    return _numpy(pc.index_in(asked, known), -1, np.int64)


def _take_fitting(known: pa.LargeStringArray, places: np.ndarray, table: pa.Table, sources: Sources) -> set[str]:
    """Let the newest row that was made from today's source hold; gives the ids that have rows, but no such one.

    known, places: as `LedgerIndex.ids` and `LedgerIndex.places`, which is changed
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    numbers = _numbers(known, sources.ids)
    asked = np.flatnonzero(numbers >= 0)
    today = pa.array(sources.digests, pa.large_string()).take(pa.array(asked))
    made_from = table["source_digest"].take(pa.array(places[numbers[asked]]))
    fits = pc.equal(made_from, today).fill_null(False).to_numpy()
    wanted = {sources.ids[row]: sources.digests[row] for row in asked[~fits].tolist()}
    number_of = dict(zip(wanted, numbers[asked[~fits]].tolist(), strict=True))
    stale = set(wanted)
    for utterance_id, place in rows_made_from(table, wanted):
        places[number_of[utterance_id]] = place
        stale.discard(utterance_id)
    return stale


def rows_made_from(table: pa.Table, wanted: Mapping[str, str]) -> list[tuple[str, int]]:
    """(utterance_id, row of the table) of each row that was made from its utterance's source, in the table's order.

    wanted: utterance_id -> source digest, of the utterances that are asked for
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    if not wanted:
        return []
    rows = np.flatnonzero(pc.is_in(table["utterance_id"], pa.array(list(wanted), pa.large_string())).to_numpy())
    asked = table.select(["utterance_id", "source_digest"]).take(pa.array(rows))
    triples = zip(asked["utterance_id"].to_pylist(), rows.tolist(), asked["source_digest"].to_pylist(), strict=True)
    return [(utterance_id, row) for utterance_id, row, digest in triples if wanted[utterance_id] == digest]
