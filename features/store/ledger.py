"""The ledger: what happened to each utterance that a shard was asked for, as Parquet."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from features.errors import Reason, ShardError, StoreError, bare_line, status_of
from features.store.reading import REPAIR, read_bytes

if TYPE_CHECKING:
    import pyarrow as pa

COLUMNS: dict[str, pl.DataType] = {
    "utterance_id": pl.String(),
    "status": pl.String(),
    "reason": pl.String(),
    "detail": pl.String(),
    "row": pl.Int64(),
    "source_digest": pl.String(),
    "input_digest": pl.String(),
    "media_size": pl.Int64(),
    "media_mtime_ns": pl.Int64(),
    "crc32": pl.UInt32(),
    "seconds_decode": pl.Float64(),
    "seconds_encode": pl.Float64(),
}

# The count of how many milliseconds of a cut lie outside its clip.
OUTSIDE = "outside_ms"

# The key of a ledger's metadata that holds the text of the feature's spec.json.
SPEC = "erc.spec"

# What polars raises for content that is no ledger; damaged Parquet can even make it panic.
NOT_A_LEDGER = (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError, ValueError)


@dataclass(frozen=True)
class LedgerRow:
    """One utterance's outcome. `row` and `crc32` are None unless it is ok; times are seconds."""

    utterance_id: str
    source_digest: str
    reason: Reason | None = None
    detail: str | None = None
    row: int | None = None
    input_digest: str | None = None
    media_size: int | None = None
    media_mtime_ns: int | None = None
    crc32: int | None = None
    seconds_decode: float | None = None
    seconds_encode: float | None = None
    counts: dict[str, int] = field(default_factory=dict)


def ledger_frame(rows: Sequence[LedgerRow]) -> pl.DataFrame:
    """The rows as COLUMNS, then one Int64 column for each of the encoder's counts."""
    names = sorted({name for row in rows for name in row.counts})
    data: dict[str, list[Any]] = {name: [getattr(row, name) for row in rows] for name in COLUMNS if name != "status"}
    data["status"] = [status_of(row.reason) for row in rows]
    data["reason"] = [None if row.reason is None else str(row.reason) for row in rows]
    columns = [pl.Series(name, data[name], dtype=dtype) for name, dtype in COLUMNS.items()]
    counts = [pl.Series(name, [row.counts.get(name) for row in rows], dtype=pl.Int64) for name in names]
    return pl.DataFrame(columns + counts)


def ledger_rows(frame: pl.DataFrame) -> list[LedgerRow]:
    """What `ledger_frame` made a frame of."""
    names = [name for name in COLUMNS if name not in ("status", "reason")]
    return [
        LedgerRow(
            **{name: row[name] for name in names},
            reason=None if row["reason"] is None else Reason(row["reason"]),
            counts={name: row[name] for name in row.keys() - COLUMNS.keys() if row[name] is not None},
        )
        for row in frame.iter_rows(named=True)
    ]


def arrow_schema(columns: Sequence[str]) -> pa.Schema:
    """Some of COLUMNS, as ledgers are written."""
    import pyarrow as pa

    kinds = {
        pl.String(): pa.large_string(),
        pl.Int64(): pa.int64(),
        pl.UInt32(): pa.uint32(),
        pl.Float64(): pa.float64(),
    }
    return pa.schema([(name, kinds[COLUMNS[name]]) for name in columns])


def ledger_bytes(frame: pl.DataFrame, metadata: dict[str, str]) -> bytes:
    """The Parquet file of a ledger, with its metadata (versions, host, time)."""
    import pyarrow.parquet as pq

    file = io.BytesIO()
    pq.write_table(frame.to_arrow().replace_schema_metadata(metadata), file)
    return file.getvalue()


def read_ledgers(paths: Sequence[Path], columns: Sequence[str] | None = None) -> list[pl.DataFrame]:
    """The ledgers, each as a frame. Raises as `read_ledger`."""
    return [read_ledger(path, columns) for path in paths]


def read_ledger(path: Path, columns: Sequence[str] | None = None) -> pl.DataFrame:
    """One ledger. Raises ShardError where it is absent or damaged, and UnreadableError where it cannot be read."""
    content = read_bytes(path)  # here, so that an error of the disk is not taken for one of the content
    try:
        frame = pl.read_parquet(io.BytesIO(content), columns=list(columns) if columns else None, glob=False)
    except NOT_A_LEDGER as error:
        raise ShardError(f"{path}: is not a ledger: {bare_line(error)}: {REPAIR}") from error
    wrong = [name for name, dtype in frame.schema.items() if dtype != COLUMNS.get(name, dtype)]
    if wrong:
        raise ShardError(f"{path}: column {wrong[0]} is {frame.schema[wrong[0]]}, not {COLUMNS[wrong[0]]}: {REPAIR}")
    return frame


def scan_ledgers(paths: Sequence[Path]) -> pl.LazyFrame:
    """The columns that all ledgers share, and `place`: the number of each row's ledger. Far faster than one by one."""
    names = [str(path) for path in paths]
    scanned = pl.scan_parquet(
        names,
        glob=False,
        hive_partitioning=False,
        include_file_paths="path",
        extra_columns="ignore",
        missing_columns="raise",
    )
    place = pl.col("path").cast(pl.Enum(names)).to_physical()  # far faster than looking each path up
    return scanned.with_columns(place=place.cast(pl.Int32())).drop("path")


def read_sound_ledgers(
    paths: Sequence[Path], columns: Sequence[str], values: Sequence[pl.Expr] = ()
) -> tuple[pl.DataFrame, dict[int, StoreError]]:
    """Some of COLUMNS of the ledgers that can be read, in their order, and `place`: the number of each row's ledger.
    And for the places of the others what is wrong.

    values: what is wanted of the columns, if not they themselves
    """
    wanted = list(values) or [pl.col(name) for name in columns]
    types = {name: COLUMNS[name] for name in columns}
    try:
        scanned = scan_ledgers(paths)
        if paths and types.items() <= scanned.collect_schema().items():
            return scanned.select(*wanted, "place").collect(), {}
    except NOT_A_LEDGER:
        pass  # one of them, but which one?
    place = pl.Series("place", [], pl.Int32())
    frames, bad = [pl.DataFrame(schema=types).select(*wanted, place)], dict[int, StoreError]()
    for number, path in enumerate(paths):
        try:
            frames.append(read_ledger(path, columns).select(*wanted, place=pl.lit(number, pl.Int32())))
        except StoreError as error:
            bad[number] = error
    return pl.concat(frames), bad
