"""One stored feature: a folder of shards, read by utterance id."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import polars as pl

from features.digests import digest_of
from features.errors import FormatError, ShardError, StoreError, UnreadableError
from features.manifest import Manifest
from features.spec import EncoderSpec
from features.store.commit import CommitRecord, ShardName, committed_names, read_record
from features.store.ledger import COLUMNS, read_ledgers, read_ledgers_together
from features.store.reading import read_bytes
from features.store.shard import Shard, open_shard

ABSENT = "absent"

# Where no ledger holds what spec.json said, the command that made it can: a spec is written the same each time.
SPEC_MEND = "move it away and run the `erc extract` that made it, or move the folder away"
SPEC_REPAIR = f"`erc store verify STORE --repair` writes it again where a ledger holds it; else {SPEC_MEND}"

_SHARDS_OPEN = 64  # at once: each mapped file takes one of the few that a process may hold open


@dataclass(frozen=True)
class Rows:
    """Embeddings of some utterances, in the order asked for.

    values:  float32 [n, *shape]; zeros where absent
    present: bool [n], True where there is an embedding
    status:  per utterance `ok`, `missing`, `failed`, or `absent` (never extracted)
    reason:  per utterance the ledger's reason, or None
    """

    values: np.ndarray
    present: np.ndarray
    status: list[str]
    reason: list[str | None]


def read_spec(path: Path, folder: str) -> EncoderSpec:
    """The spec of the feature in `path`.

    Raises ShardError where spec.json is absent, damaged or another folder's, UnreadableError where it cannot be read,
    and FormatError where a later version of this package wrote it.
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
    """A feature of a store. Opening reads spec.json only; ledgers and tensors are read when they are asked for."""

    def __init__(self, root: Path, folder: str, spec: EncoderSpec | None = None) -> None:
        """`spec` stands in for a spec.json that is gone. Raises as `read_spec`."""
        self.root = root
        self.folder = folder
        self.path = root / folder
        self.spec = spec or read_spec(self.path, folder)
        self._shards: dict[ShardName, Shard] = {}

    @property
    def fingerprint(self) -> str:
        return self.spec.fingerprint

    @property
    def name(self) -> str:
        return self.spec.name

    @cached_property
    def names(self) -> list[ShardName]:
        """The committed shards, later generations last."""
        return committed_names(self.path)

    @cached_property
    def records(self) -> dict[ShardName, CommitRecord]:
        return {name: read_record(self.path / f"{name.stem}.json") for name in self.names}

    def ledger(self, columns: Sequence[str] | None = None) -> pl.DataFrame:
        """The row that holds for each utterance: that of the highest generation, even where it is `failed`.

        Columns are the ledger's (all, or `columns` with utterance_id), then `generation` and `chunk`.
        """
        wanted = None if columns is None else ["utterance_id", *[name for name in columns if name != "utterance_id"]]
        paths = [self.path / f"{name.stem}.parquet" for name in self.names]
        if wanted is not None and paths and COLUMNS.keys() >= set(wanted):
            frame = read_ledgers_together(paths, wanted)
            frame = frame.with_columns(
                generation=pl.Series([name.generation for name in self.names], dtype=pl.Int64)[frame["place"]],
                chunk=pl.Series([name.chunk for name in self.names], dtype=pl.Int64)[frame["place"]],
            ).drop("place")
            return self._holding(frame)
        frames = read_ledgers(paths, wanted)
        placed = [
            frame.with_columns(generation=pl.lit(name.generation, pl.Int64), chunk=pl.lit(name.chunk, pl.Int64))
            for name, frame in zip(self.names, frames, strict=True)
        ]
        if not placed:
            shown = list(COLUMNS) if wanted is None else wanted
            schema = {name: COLUMNS.get(name, pl.Int64()) for name in shown}
            return pl.DataFrame(schema=schema | {"generation": pl.Int64(), "chunk": pl.Int64()})
        return self._holding(pl.concat(placed, how="diagonal"))

    def _holding(self, frame: pl.DataFrame) -> pl.DataFrame:
        """Of rows in the order of their shards, the last of each utterance."""
        return frame.unique("utterance_id", keep="last", maintain_order=True)

    @cached_property
    def _index(self) -> pl.DataFrame:
        return self.ledger(["status", "reason", "row", "crc32"])

    def shard(self, name: ShardName) -> Shard:
        """A shard, memory-mapped. Raises ShardError where it is damaged, UnreadableError where it cannot be read."""
        if name not in self._shards:
            record = read_record(self.path / f"{name.stem}.json")
            while len(self._shards) >= _SHARDS_OPEN:
                del self._shards[next(iter(self._shards))]
            self._shards[name] = open_shard(self.path / f"{name.stem}.h5", self.spec, record.sizes["h5"])
        return self._shards[name]

    def close_shards(self) -> None:
        """Let go of the shards that are open: pages of a mapped file count as memory until then."""
        self._shards.clear()

    def _located(self, ids: Sequence[str]) -> pl.DataFrame:
        """One row per id, in that order: status (or `absent`), reason, row, crc32, generation, chunk."""
        wanted = pl.DataFrame({"utterance_id": list(ids)}, schema={"utterance_id": pl.String})
        located = wanted.join(self._index, on="utterance_id", how="left", maintain_order="left")
        return located.with_columns(pl.col("status").fill_null(ABSENT)).with_row_index("position")

    def read(self, ids: Sequence[str], out: np.ndarray | None = None) -> Rows:
        """Embeddings of a vector or stack feature, joined by id.

        out: zeros, float32 [n, *shape], that become the rows' values: a memory map where they do not fit in memory
        Raises StoreError for a sequence feature and as `shard`.
        """
        if self.spec.kind == "sequence":
            raise StoreError(f"{self.folder} is a sequence feature: each utterance has its own length")
        located = self._located(ids)
        values = np.zeros((len(ids), *self.spec.shape), np.float32) if out is None else out
        ok = located.filter(pl.col("status") == "ok")
        for (generation, chunk), group in ok.group_by("generation", "chunk"):
            shard = self.shard(ShardName(int(generation), int(chunk)))
            values[group["position"].to_numpy()] = shard.take(group["row"].to_numpy())
        present = (located["status"] == "ok").to_numpy()
        return Rows(values, present, located["status"].to_list(), located["reason"].to_list())

    def read_sequences(self, ids: Sequence[str]) -> list[np.ndarray | None]:
        """Embeddings of a sequence feature, each [length, *shape] in the stored dtype; None where there is none."""
        found: list[np.ndarray | None] = [None] * len(ids)
        for position, row in self._sequences(ids):
            found[position] = np.array(row)
        return found

    def read_joined(
        self, ids: Sequence[str], allocate: Callable[[tuple[int, ...], np.dtype], np.ndarray]
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Embeddings of a sequence feature laid end to end, in the order of `ids`, in bounded memory.

        allocate: makes the array for the values, [sum of lengths, *shape] in the stored dtype: a memory map where they
        do not fit in memory. Gives (values, offsets int64 [n + 1], present bool [n]); a missing one has length 0.
        """
        lengths, present = np.zeros(len(ids), np.int64), np.zeros(len(ids), bool)
        for position, row in self._sequences(ids):
            lengths[position], present[position] = len(row), True
        offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)])
        values = allocate((int(offsets[-1]), *self.spec.shape), np.dtype(self.spec.stored_dtype))
        for position, row in self._sequences(ids):
            values[offsets[position] : offsets[position + 1]] = row
        return values, offsets, present

    def _sequences(self, ids: Sequence[str]) -> Iterator[tuple[int, np.ndarray]]:
        """(place among the ids, its stored rows as a view), shard by shard, for those that have an embedding."""
        if self.spec.kind != "sequence":
            raise StoreError(f"{self.folder} is not a sequence feature: use read()")
        ok = self._located(ids).filter(pl.col("status") == "ok")
        for (generation, chunk), group in ok.group_by("generation", "chunk"):
            shard = self.shard(ShardName(int(generation), int(chunk)))
            for position, row in group.select("position", "row").iter_rows():
                yield position, shard.row(row)

    def reasons(self, ids: Sequence[str]) -> list[str | None]:
        """Per utterance the ledger's reason, None where there is none, and `absent` where there is no row."""
        located = self._located(ids)
        found = located.select(pl.when(pl.col("status") == ABSENT).then(pl.lit(ABSENT)).otherwise(pl.col("reason")))
        return found.to_series().to_list()

    def stale(self, manifest: Manifest) -> list[str]:
        """Ids of the manifest whose row was made from other input than the manifest holds today."""
        today = pl.DataFrame({"utterance_id": manifest.ids, "today": manifest.source_digests(self.spec.depends)})
        joined = today.join(self.ledger(["source_digest"]), on="utterance_id", how="inner", maintain_order="left")
        return joined.filter(pl.col("today") != pl.col("source_digest"))["utterance_id"].to_list()

    def coverage(self, ids: Sequence[str]) -> dict[str, int | dict[str, int]]:
        """How many of these utterances are ok, missing and failed (by reason) and absent."""
        counted = self._located(ids).group_by("status", "reason").len().sort("status", "reason")
        counts: dict[str, int | dict[str, int]] = {"ok": 0, "missing": {}, "failed": {}, ABSENT: 0}
        for status, reason, number in counted.iter_rows():
            place = counts[status]
            if isinstance(place, dict):
                place[reason] = number
            else:
                counts[status] = number
        return counts

    def rows_digest(self, ids: Sequence[str]) -> str:
        """A digest of the (utterance id, crc32) pairs of these utterances: which very numbers a run used."""
        return digest_of("rows", list(self._located(ids).select("utterance_id", "crc32").iter_rows()))
