"""What a store holds: the rows that hold are counted, by status, and the work of all of them."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from store_factory import make_manifest, make_spec

from features.errors import Reason, ShardError, StoreError, UnavailableError
from features.manifest import Manifest
from features.store import Feature, open_writer, write_feature
from features.store.ledger import LedgerRow
from features.store.listing import list_store, summarise


def vectors(manifest: Manifest) -> dict[str, np.ndarray]:
    return {key: np.full(3, number, np.float32) for number, key in enumerate(manifest.ids)}


def test_utterances_are_counted_by_the_row_that_holds(tmp_path: Path) -> None:
    first = make_manifest(70)
    gone = {
        first.ids[0]: UnavailableError(Reason.NO_TEXT),
        first.ids[1]: UnavailableError(Reason.NON_FINITE),
        first.ids[2]: UnavailableError(Reason.NON_FINITE),
    }
    write_feature(tmp_path, make_spec(), first, vectors(first), gone)
    (summary,) = list_store(tmp_path)
    assert (summary.ok, summary.missing, summary.failed) == (67, 1, 2)
    assert (summary.shards, summary.superseded, summary.generation) == (2, 0, 0)
    edited = make_manifest(70, text=lambda number: f"new {number}" if number < 5 else f"text {number}")
    write_feature(tmp_path, make_spec(), edited, vectors(edited), {first.ids[4]: UnavailableError(Reason.NO_TEXT)})
    (summary,) = list_store(tmp_path)
    assert (summary.ok, summary.missing, summary.failed) == (69, 1, 0)
    assert (summary.shards, summary.superseded, summary.generation) == (3, 0, 1)


def test_shards_that_later_ones_replace_whole_are_counted(tmp_path: Path) -> None:
    for text in ("a", "b", "c"):
        manifest = make_manifest(70, text=lambda number, text=text: f"{text} {number}")
        write_feature(tmp_path, make_spec(), manifest, vectors(manifest))
    (summary,) = list_store(tmp_path)
    assert (summary.ok, summary.shards, summary.superseded) == (70, 6, 4)
    assert summary.generation == 4  # each commit that supersedes takes one more than the highest of its folder


def test_size_and_time(tmp_path: Path) -> None:
    manifest, spec = make_manifest(3), make_spec()
    digests = manifest.source_digests("text")
    with open_writer(tmp_path, spec) as writer:
        for row, key in enumerate(manifest.ids):
            line = LedgerRow(key, digests[row], seconds_decode=None if row else 1.5, seconds_encode=0.25)
            writer.commit(row, [line], {key: np.zeros(3, np.float32)})
    feature = Feature(tmp_path, spec.folder)
    os.utime(feature.path / "00001.json", (2_000_000_000, 2_000_000_000))
    summary = summarise(feature)
    assert summary.seconds == pytest.approx(2.25)
    assert summary.num_bytes == sum(path.stat().st_size for path in feature.path.iterdir())
    assert summary.written_at is not None
    assert summary.written_at.timestamp() == 2_000_000_000


def test_ledgers_with_other_counts_are_counted_together(tmp_path: Path) -> None:
    """A shard without any ok row has no column of the encoder's counts."""
    manifest, spec = make_manifest(3), make_spec()
    with open_writer(tmp_path, spec) as writer:
        for row, key in enumerate(manifest.ids):
            line = LedgerRow(key, "0" * 64, counts={f"count_{row}": 5} if row else {})
            writer.commit(row, [line], {key: np.zeros(3, np.float32)})
    assert summarise(Feature(tmp_path, spec.folder)).ok == 3


def test_a_feature_without_shards(tmp_path: Path) -> None:
    with open_writer(tmp_path, make_spec()):
        pass
    (summary,) = list_store(tmp_path)
    assert (summary.ok, summary.shards, summary.written_at, summary.seconds) == (0, 0, None, 0.0)


def test_nothing_to_list(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"no store at .*nowhere"):
        list_store(tmp_path / "nowhere")
    with pytest.raises(StoreError, match="holds no feature: fill it with `erc extract"):
        list_store(tmp_path)


def test_a_damaged_ledger_is_named_with_its_mend(tmp_path: Path) -> None:
    manifest = make_manifest(3)
    feature = write_feature(tmp_path, replace(make_spec(), alias="mine"), manifest, vectors(manifest))
    (feature.path / "00000.parquet").write_bytes(b"PAR1 no more")
    with pytest.raises(ShardError, match=r"mine-.*: a ledger cannot be read: .*`erc store verify STORE --repair`"):
        list_store(tmp_path)
