"""What a store holds, one summary a feature: only the ledgers' columns that are counted are read, no tensors."""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import polars as pl

from features.errors import ShardError, StoreError
from features.store.commit import REPAIR, ShardName
from features.store.feature import Feature
from features.store.ledger import scan_ledgers
from features.store.store import Store

_SECONDS = ["seconds_decode", "seconds_encode"]


@dataclass(frozen=True)
class FeatureSummary:
    """One feature at a glance.

    ok, missing, failed: utterances, by the row that holds for each
    seconds_decode, seconds_encode: over all rows that were ever made
    num_bytes:    of all files of its folder
    written_at:   when the latest shard was committed, or None where there is none
    shards:       all that are committed; superseded: those none of whose rows hold
    generation:   the highest number
    """

    feature: Feature
    ok: int
    missing: int
    failed: int
    seconds_decode: float
    seconds_encode: float
    num_bytes: int
    written_at: datetime | None
    shards: int
    superseded: int
    generation: int

    @property
    def seconds(self) -> float:
        """Decoding and encoding."""
        return self.seconds_decode + self.seconds_encode


def list_store(root: Path) -> list[FeatureSummary]:
    """A summary of each feature. Raises StoreError where there is none, and ShardError for a ledger that is damaged."""
    features = Store(root).features()
    if not features:
        raise StoreError(f"{root} holds no feature: fill it with `erc extract --modality text --store {root}`")
    return [summarise(feature) for feature in features]


def summarise(feature: Feature) -> FeatureSummary:
    """Raises ShardError where a ledger is damaged."""
    try:
        rows = _holding_counts(feature)
    except (pl.exceptions.PolarsError, OSError) as error:
        first_line = next(iter(str(error).splitlines()), type(error).__name__)
        raise ShardError(f"{feature.path}: a ledger cannot be read: {first_line}: {REPAIR}") from error
    statuses, (seconds_decode, seconds_encode), superseded = rows
    num_bytes, written_ns = 0, 0
    for entry in os.scandir(feature.path):
        status = entry.stat()
        num_bytes += status.st_size
        if entry.name.endswith(".json") and entry.name != "spec.json":
            written_ns = max(written_ns, status.st_mtime_ns)
    return FeatureSummary(
        feature,
        statuses.get("ok", 0),
        statuses.get("missing", 0),
        statuses.get("failed", 0),
        seconds_decode,
        seconds_encode,
        num_bytes,
        datetime.fromtimestamp(written_ns / 1e9, UTC).replace(microsecond=0) if written_ns else None,
        len(feature.names),
        len(superseded),
        max((name.generation for name in feature.names), default=0),
    )


def _paths(feature: Feature) -> list[Path]:
    return [feature.path / f"{name.stem}.parquet" for name in feature.names]


def _holding_counts(feature: Feature) -> tuple[dict[str, int], tuple[float, float], list[ShardName]]:
    """How many rows that hold have each status; the seconds of all rows; the shards none of whose rows hold."""
    if not feature.names:
        return {}, (0.0, 0.0), []
    spent = [pl.col(name).fill_null(0.0) for name in _SECONDS]
    if not feature.names[-1].generation:
        rows = scan_ledgers(_paths(feature)).select("status", *spent)
        counted = rows.group_by("status").agg(pl.len(), pl.col(_SECONDS).sum()).collect(engine="streaming")
        statuses = dict(counted.select("status", "len").iter_rows())
        return statuses, _seconds(counted), []
    frame = scan_ledgers(_paths(feature)).select("utterance_id", "place", "status", *spent).collect(engine="streaming")
    holding = frame.select(pl.exclude(_SECONDS)).sort("place").unique("utterance_id", keep="last", maintain_order=True)
    statuses = dict(holding.group_by("status").len().iter_rows())
    held = set(holding["place"].unique().to_list())
    superseded = [name for number, name in enumerate(feature.names) if number not in held]
    return statuses, _seconds(frame), superseded


def _seconds(frame: pl.DataFrame) -> tuple[float, float]:
    decode, encode = (float(frame[name].sum()) for name in _SECONDS)
    return decode, encode
