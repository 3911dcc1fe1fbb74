"""A feature's rows in a given order, block by block: memory is bounded by a block, whatever the feature holds."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import polars as pl

from features.errors import ShardError
from features.manifest import Manifest
from features.store.commit import ShardName
from features.store.feature import ABSENT, Feature
from features.store.reading import REPAIR
from features.store.shard import row_crc32

BLOCK_BYTES = 8 << 20
_MOST_ROWS = 8192
MANIFEST_COLUMNS = ("split", "dialogue_id", "turn", "speaker", "label", "text", "sentiment", "duration", "group")


@dataclass(frozen=True)
class Block:
    """Consecutive utterances.

    table:  one row an utterance: utterance_id, status, reason, the manifest's columns, and crc32
    values: per utterance its embedding in the stored dtype, C-contiguous and little-endian, or None where it has none.
            Copies: a view would keep its shard's file open, and the rows of a block may lie in any number of shards
    """

    table: pl.DataFrame
    values: list[np.ndarray | None]


class RowStream:
    """A feature's utterances in the manifest's order; without a manifest, in the order of their first shards.

    table:   utterance_id, status (`ok`, `missing`, `failed`, or `absent`: in the manifest, but never extracted),
             reason, with a manifest its columns (`manifest_columns`), and crc32, of the embedding's bytes, null where
             there is none
    lengths: int64 [n], of each sequence; zero where there is none. None for other features
    """

    def __init__(self, feature: Feature, manifest: Manifest | None = None) -> None:
        """Reads the ledgers, and for sequences the shards' offsets. Raises ShardError where one is damaged."""
        self.feature = feature
        index = feature.ledger(["status", "reason", "row", "crc32"])
        if manifest is None:
            ordered = index.sort("chunk", "generation", maintain_order=True)
        else:
            wanted = manifest.frame.select("utterance_id", *MANIFEST_COLUMNS)
            ordered = wanted.join(index, on="utterance_id", how="left", maintain_order="left")
        self._places = ordered.select("generation", "chunk", "row")
        self.manifest_columns = MANIFEST_COLUMNS if manifest is not None else ()
        table = ordered.with_columns(pl.col("status").fill_null(ABSENT))
        self.table = table.select("utterance_id", "status", "reason", *self.manifest_columns, "crc32")
        self.lengths = self._sequence_lengths() if feature.spec.kind == "sequence" else None

    def __len__(self) -> int:
        return self.table.height

    @property
    def present(self) -> pl.Series:
        """bool [n], True where there is an embedding."""
        return self.table["status"] == "ok"

    def blocks(self, block_bytes: int = BLOCK_BYTES) -> Iterator[Block]:
        """Every utterance once, in order; a block holds about `block_bytes`, and one utterance at least.

        Raises ShardError where a row's bytes are not those that its ledger describes.
        """
        for start, stop in self._bounds(block_bytes):
            yield Block(self.table[start:stop], self._read(start, stop))
            self.feature.close_shards()

    def _read(self, start: int, stop: int) -> list[np.ndarray | None]:
        found: list[np.ndarray | None] = [None] * (stop - start)
        places = self._places[start:stop].with_columns(self.table["crc32"][start:stop]).with_row_index("position")
        places = places.filter(self.present[start:stop])
        for (generation, chunk), group in places.group_by("generation", "chunk", maintain_order=True):
            shard = self.feature.shard(ShardName(int(generation), int(chunk)))
            for position, row, crc32 in group.select("position", "row", "crc32").iter_rows():
                value = np.array(shard.row(row))
                if row_crc32(value) != crc32:
                    key = self.table["utterance_id"][start + position]
                    raise ShardError(f"{shard.path}: {key}: the ledger's crc32 is that of other bytes: {REPAIR}")
                found[position] = value
        return found

    def _bounds(self, block_bytes: int) -> Iterator[tuple[int, int]]:
        spec = self.feature.spec
        element = int(np.prod(spec.shape, dtype=np.int64)) * np.dtype(spec.stored_dtype).itemsize
        sizes = np.full(len(self), element) if self.lengths is None else self.lengths * element
        ends = np.cumsum(sizes)
        start = 0
        while start < len(self):
            before = int(ends[start - 1]) if start else 0
            stop = int(np.searchsorted(ends, before + block_bytes, side="right"))
            stop = max(start + 1, min(stop, start + _MOST_ROWS, len(self)))
            yield start, stop
            start = stop

    def _sequence_lengths(self) -> np.ndarray:
        lengths = np.zeros(len(self), np.int64)
        places = self._places.with_row_index("position").filter(self.present)
        for (generation, chunk), group in places.group_by("generation", "chunk", maintain_order=True):
            shard = self.feature.shard(ShardName(int(generation), int(chunk)))
            lengths[group["position"].to_numpy()] = shard.lengths(group["row"].to_numpy())
            self.feature.close_shards()
        return lengths
