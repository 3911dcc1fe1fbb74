"""What a store holds: the rows that hold are counted, by status, and the work of all of them."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from store_damage import committed_again, flip
from store_factory import make_manifest, make_spec

from features.errors import Reason, ShardError, StoreError, UnavailableError
from features.manifest import Manifest
from features.store import Feature, open_writer, write_feature
from features.store.garbage import plan_garbage
from features.store.ledger import LedgerRow
from features.store.listing import list_store, summarise
from features.store.repair import repair_store


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
    (summary,), troubles = list_store(tmp_path)
    assert troubles == []
    assert (summary.ok, summary.missing, summary.failed) == (67, 1, 2)
    assert (summary.shards, summary.superseded, summary.generation) == (2, 0, 0)
    edited = make_manifest(70, text=lambda number: f"new {number}" if number < 5 else f"text {number}")
    write_feature(tmp_path, make_spec(), edited, vectors(edited), {first.ids[4]: UnavailableError(Reason.NO_TEXT)})
    ((summary,), _) = list_store(tmp_path)
    assert (summary.ok, summary.missing, summary.failed) == (69, 1, 0)
    assert (summary.shards, summary.superseded, summary.generation) == (3, 0, 1)


def test_shards_that_gc_would_remove_are_counted(tmp_path: Path) -> None:
    """Those of other sources are not: another manifest may read them."""
    for text in ("a", "b", "c"):
        manifest = make_manifest(70, text=lambda number, text=text: f"{text} {number}")
        feature = write_feature(tmp_path, make_spec(), manifest, vectors(manifest))
    ((summary,), _) = list_store(tmp_path)
    assert (summary.ok, summary.shards, summary.superseded) == (70, 6, 0)
    assert summary.generation == 2  # one more than the highest of the folder when its run was planned
    for number, stem in enumerate(["00000", "00001.1", "00000.2"]):
        committed_again(feature, stem, 5 + number)
        ((summary,), _) = list_store(tmp_path)
        assert (summary.ok, summary.shards, summary.superseded) == (70, 7 + number, 1 + number)
        assert len(plan_garbage(tmp_path).items) == summary.superseded


def test_utterances_twice_in_one_generation_are_counted_once(tmp_path: Path) -> None:
    manifest = make_manifest(70)
    feature = write_feature(tmp_path, make_spec(), manifest, vectors(manifest))
    for kind in ("h5", "parquet", "json"):
        (feature.path / f"00000.{kind}").rename(feature.path / f"00007.{kind}")
        (feature.path / f"00007.{kind}").write_bytes((feature.path / f"00001.{kind}").read_bytes())
    ((summary,), _) = list_store(tmp_path)
    assert (summary.ok, summary.superseded) == (35, 1)


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
    ((summary,), _) = list_store(tmp_path)
    assert (summary.ok, summary.shards, summary.written_at, summary.seconds) == (0, 0, None, 0.0)


def test_nothing_to_list(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"no store at .*nowhere"):
        list_store(tmp_path / "nowhere")
    with pytest.raises(StoreError, match="holds no feature: fill it with `erc extract"):
        list_store(tmp_path)


def test_a_damaged_ledger_is_named_with_its_mend_and_the_rest_is_listed(tmp_path: Path) -> None:
    manifest = make_manifest(70)
    feature = write_feature(tmp_path, replace(make_spec(), alias="mine"), manifest, vectors(manifest))
    write_feature(tmp_path, make_spec(), manifest, vectors(manifest))
    (feature.path / "00000.parquet").write_bytes(b"PAR1 no more")
    summaries, (trouble,) = list_store(tmp_path)
    assert [(summary.ok, summary.shards, len(summary.unread)) for summary in summaries] == [(35, 2, 1), (70, 2, 0)]
    assert (trouble.folder, trouble.kind) == (feature.folder, "damaged")
    assert isinstance(trouble.error, ShardError)
    assert str(trouble.error).startswith(f"{feature.path / '00000.parquet'}: is not a ledger: ")
    assert "`erc store verify STORE --repair`" in str(trouble.error)
    (feature.path / "00000.parquet").unlink()
    assert "00000.parquet: is gone: " in str(list_store(tmp_path)[1][0].error)


def test_what_repair_moved_away_is_not_counted(tmp_path: Path) -> None:
    manifest = make_manifest(70)
    feature = write_feature(tmp_path, make_spec(), manifest, vectors(manifest))
    flip(feature.path / "00000.h5")
    repair_store(tmp_path)
    size = sum(path.stat().st_size for path in feature.path.iterdir() if path.is_file())
    ((summary,), troubles) = list_store(tmp_path)
    assert (summary.ok, summary.num_bytes, troubles) == (35, size, [])
