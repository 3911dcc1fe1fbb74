"""What a store holds, one summary a feature: only the ledgers' columns that are counted are read, no tensors.

What is damaged or cannot be read is named, and the rest is listed all the same.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import polars as pl

from features.errors import StoreError
from features.store.commit import file_role
from features.store.faults import FaultKind, kind_of
from features.store.feature import Feature
from features.store.ledger import read_sound_ledgers
from features.store.reading import folder_entries, read_error
from features.store.replaced import ID, find_replaced, has_repeats
from features.store.store import Store
from features.store.versions import mixed_versions, versions_of

_SECONDS = ["seconds_decode", "seconds_encode"]


@dataclass(frozen=True)
class Trouble:
    """What could not be listed: a feature, a modality, or a ledger of a feature that is listed without it."""

    folder: str
    error: StoreError

    @property
    def kind(self) -> str:
        """`damaged`, `unreadable`, or `format` (a later version wrote it)."""
        kind = kind_of(self.error, FaultKind.LEDGER)
        return "damaged" if kind is FaultKind.LEDGER else str(kind)


@dataclass(frozen=True)
class FeatureSummary:
    """One feature at a glance.

    ok, missing, failed: utterances, by the newest row of each
    seconds_decode, seconds_encode: over all rows that were ever made
    num_bytes:    of the files of its folder, without what repair moved away
    written_at:   when the latest shard was committed, or None where there is none
    shards:       all that are committed; superseded: those all of whose rows are replaced, which `gc` removes
    generation:   the highest number
    versions:     a clause for each package that changes numbers and of which shards name different versions
    unread:       the errors of ledgers that are damaged or cannot be read, whose rows are not counted
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
    versions: list[str]
    unread: list[StoreError]

    @property
    def seconds(self) -> float:
        """Decoding and encoding."""
        return self.seconds_decode + self.seconds_encode


def list_store(root: Path) -> tuple[list[FeatureSummary], list[Trouble]]:
    """A summary of each feature, and what could not be listed. Raises StoreError where there is no feature."""
    store = Store(root)
    if not store.features() and not store.damaged:
        raise StoreError(f"{root} holds no feature: fill it with `erc extract --modality text --store {root}`")
    summaries: list[FeatureSummary] = []
    troubles = [Trouble(folder, error) for folder, error in store.damaged]
    for feature in store.features():
        try:
            summaries.append(summarise(feature))
            troubles += [Trouble(feature.folder, error) for error in summaries[-1].unread]
        except StoreError as error:
            troubles.append(Trouble(feature.folder, error))
    return summaries, troubles


def summarise(feature: Feature) -> FeatureSummary:
    """Raises UnreadableError where the feature's folder cannot be listed."""
    ledgers = [feature.path / f"{name.stem}.parquet" for name in feature.names]
    columns = ["utterance_id", "status", *_SECONDS]
    rows, bad = read_sound_ledgers(ledgers, columns, [ID, pl.col("status", *_SECONDS)])
    newest, superseded = rows, 0
    if has_repeats(rows["id"]):
        newest = rows.filter(pl.col("id").is_last_distinct())
        superseded = len(find_replaced(ledgers).shards)
    counts = {name: int((newest["status"] == name).sum()) for name in ("ok", "missing", "failed")}
    num_bytes, written_ns = 0, 0
    for status, is_record in _files(feature.path):
        num_bytes += status.st_size
        written_ns = max(written_ns, status.st_mtime_ns if is_record else 0)
    return FeatureSummary(
        feature,
        counts["ok"],
        counts["missing"],
        counts["failed"],
        float(rows["seconds_decode"].sum()),
        float(rows["seconds_encode"].sum()),
        num_bytes,
        datetime.fromtimestamp(written_ns / 1e9, UTC).replace(microsecond=0) if written_ns else None,
        len(feature.names),
        superseded,
        max((name.generation for name in feature.names), default=0),
        mixed_versions(versions_of(ledger) for ledger in ledgers),
        list(bad.values()),
    )


def _files(path: Path) -> Iterator[tuple[os.stat_result, bool]]:
    """The state of each file of a feature's folder, and whether it is a commit record."""
    for entry in folder_entries(path):
        role = file_role(entry.name)
        if role != "damaged":
            try:
                yield entry.stat(), role == "record"
            except FileNotFoundError:
                continue  # it was removed meanwhile
            except OSError as error:
                raise read_error(Path(entry.path), error) from error
