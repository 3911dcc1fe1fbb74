"""Copying a pack's rows into a store, bit for bit."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from features.errors import StoreError, UsageError, nearest
from features.packs.check import check_pack
from features.packs.layout import LEDGER, PackedFeature
from features.spec import EncoderSpec
from features.store.export_read import open_export
from features.store.feature import Feature, read_spec
from features.store.ledger import LedgerRow, ledger_rows, read_ledger
from features.store.top_file import parse_top
from features.store.write import FeatureWriter, open_writer
from features.top import FILE as TOP_FILE

Advance = Callable[[int], object]


@dataclass(frozen=True)
class Installed:
    """For one feature: how many rows were written, and how many the store had already, with the same bytes."""

    folder: str
    added: int
    kept: int


def install_pack(
    folder: Path, store: Path, wanted: Collection[str] = (), *, advance: Advance = lambda number: None
) -> list[Installed]:
    """Check a pack, and write those of its rows that the store does not have. After an interruption, call it again: it
    goes on where it stopped.

    wanted:  folders or names of features of the pack; if empty, all of them
    advance: called with numbers of utterances, for each feature
    Raises StoreError if the pack is damaged or the store has other numbers for the same input, and UsageError for a
    feature that the pack does not have.
    """
    pack = check_pack(folder)
    chosen = [item for item in pack.features if not wanted or {item.folder, _name(item)} & set(wanted)]
    known = {_name(item) for item in pack.features} | {item.folder for item in pack.features}
    if unknown := [name for name in wanted if name not in known]:
        raise UsageError(f"the pack has no feature {unknown[0]!r}: {nearest(unknown[0], known)}")
    return [install_feature(folder, item, store, advance=advance) for item in chosen]


def _name(item: PackedFeature) -> str:
    return item.folder.partition("/")[2].rpartition("-")[0]


def install_feature(
    folder: Path, item: PackedFeature, store: Path, *, advance: Advance = lambda number: None
) -> Installed:
    """The same for one feature of a pack, whose files are already checked. Raises StoreError, as `install_pack`
    does."""
    source = folder / item.folder
    spec = read_spec(source, item.folder)
    top = parse_top(source / TOP_FILE, spec, (source / TOP_FILE).read_bytes()) if spec.from_top else None
    rows = {row.utterance_id: row for row in ledger_rows(read_ledger(source / LEDGER))}
    with open_writer(store, spec, top=top) as writer:
        there = Feature(store, spec.folder)
        missing = _missing(rows, there)
        writing = _Writing(writer, there, spec)
        for split in item.splits:
            with open_export(source / f"{split}.parquet", "parquet") as (_, blocks):
                for block in blocks:
                    arrays = dict(zip(block.ids, block.values, strict=True))
                    writing.commit([rows[name] for name in block.ids if name in missing], arrays)
                    advance(len(block.ids))
    return Installed(item.folder, len(missing), len(rows) - len(missing))


def _missing(rows: dict[str, LedgerRow], there: Feature) -> set[str]:
    """The ids whose rows the store lacks. Raises StoreError where it has other bytes for the same input."""
    held = there.ledger(["status", "reason", "crc32", "source_digest"]) if there.names else None
    if held is None:
        return set(rows)
    columns = held.select("utterance_id", "source_digest", "reason", "crc32")
    known = {name: (digest, reason, crc32) for name, digest, reason, crc32 in columns.iter_rows()}
    missing, other = set(), []
    for name, row in rows.items():
        digest, reason, crc32 = known.get(name, (None, None, None))
        if digest != row.source_digest or (reason is not None and row.reason is None):
            missing.add(name)
        elif row.reason is None and crc32 != row.crc32:
            other.append(name)
    if other:
        raise StoreError(
            f"{there.path}: holds other numbers than the pack for {len(other)} utterances (the first is {other[0]}),"
            " made of the same input, as another machine rounds: take another --store"
        )
    return missing


class _Writing:
    """Shards of a generation of their own, behind what the store has."""

    def __init__(self, writer: FeatureWriter, there: Feature, spec: EncoderSpec) -> None:
        self._writer, self._spec, self._chunk = writer, spec, 0
        self._generation = there.names[-1].generation + 1 if there.names else 0

    def commit(self, rows: list[LedgerRow], arrays: Mapping[str, np.ndarray | None]) -> None:
        """Raises StoreError where a row's bytes are not those of the pack's ledger."""
        if not rows:
            return
        found = {row.utterance_id: arrays[row.utterance_id] for row in rows if row.reason is None}
        embeddings = {name: array for name, array in found.items() if array is not None}
        if len(embeddings) < len(found):
            lost = next(name for name, array in found.items() if array is None)
            raise StoreError(f"{self._spec.folder}: {lost}: the pack's ledger tells of an embedding, and it has none")
        blank = [replace(row, row=None, crc32=None) for row in rows]
        written = self._writer.commit(self._chunk, blank, embeddings, self._generation)
        self._chunk += 1
        for row, made in zip(rows, written, strict=True):
            if (row.reason, row.crc32) != (made.reason, made.crc32):
                raise StoreError(f"{self._spec.folder}: {row.utterance_id}: the pack's ledger tells of other bytes")
