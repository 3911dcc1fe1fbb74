"""What is removed is what nothing needs: after `gc` every reader finds what it found before."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from store_damage import committed_again, failing_reads, flip, rewritten
from store_factory import make_manifest, make_spec

from features.errors import StoreBusyError
from features.manifest import Manifest
from features.spec import EncoderSpec
from features.store import Feature, Store, write_feature
from features.store.garbage import GarbagePlan, needed_fingerprints, plan_garbage, remove_garbage
from features.store.lock import writer_lock
from features.store.shard import shard_bytes
from features.store.verify import verify_store


def table(texts: dict[int, str] | str) -> Manifest:
    """70 utterances, of which those of `texts` (or all) have other texts."""

    def text(number: int) -> str:
        return f"{texts} {number}" if isinstance(texts, str) else texts.get(number, f"text {number}")

    return make_manifest(70, text=text)


def write(root: Path, texts: dict[int, str] | str, value: float, **spec: Any) -> Feature:
    """70 utterances in two chunks, of which those of `texts` (or all) have other texts and the embedding `value`."""
    manifest = table(texts)
    vectors = {key: np.full(3, value, np.float32) for key in manifest.ids}
    return write_feature(root, make_spec(**spec), manifest, vectors)


def rows(root: Path, spec: EncoderSpec | None = None) -> list[list[float]]:
    return Feature(root, (spec or make_spec()).folder).read(make_manifest(70).ids).values.tolist()


def names(plan: GarbagePlan) -> dict[str, str]:
    return {item.name: item.kind for item in plan.items}


def test_a_store_without_garbage(tmp_path: Path) -> None:
    write(tmp_path, {}, 0)
    write(tmp_path, {3: "new"}, 1)
    assert plan_garbage(tmp_path) == GarbagePlan([], [])


def test_only_shards_that_are_replaced_whole_go(tmp_path: Path) -> None:
    write(tmp_path, {}, 0)  # 00000 with rows 0-34, 00001 with rows 35-69
    write(tmp_path, dict.fromkeys(range(30), "new"), 1)  # 00000.1 replaces most of 00000
    write(tmp_path, dict.fromkeys(range(35), "newer"), 2)  # 00000.2 replaces the rest, and all of 00000.1
    write(tmp_path, dict.fromkeys(range(36), "newest"), 3)  # 00000.3 and one row of 00001, in 00001.3
    before = rows(tmp_path)
    newest = [table(dict.fromkeys(range(36), "newest"))]
    plan = plan_garbage(tmp_path, manifests=newest)
    assert names(plan) == {"00000": "superseded", "00000.1": "superseded", "00000.2": "superseded"}
    assert plan.notes == []
    folder = tmp_path / make_spec().folder
    gone = [path for stem in names(plan) for path in folder.glob(f"{stem}.[hjp]*")]
    assert plan.num_bytes == sum(path.stat().st_size for path in gone)
    assert remove_garbage(tmp_path, plan.items, newest) == plan.num_bytes
    assert [name.stem for name in Feature(tmp_path, make_spec().folder).names] == ["00001", "00000.3", "00001.3"]
    assert not any(path.exists() for path in gone)
    assert rows(tmp_path) == before
    assert {value[0] for value in before} == {0.0, 3.0}
    assert verify_store(tmp_path).faults == []
    assert plan_garbage(tmp_path).items == []


def test_a_row_that_failed_still_holds(tmp_path: Path) -> None:
    """The newest row holds even where it failed: the ok row of the same source is replaced."""
    feature = write(tmp_path, {}, 0)
    failed = {"status": pl.lit("failed"), "reason": pl.lit("non-finite")}
    committed_again(feature, "00000", 1, **failed, row=pl.lit(None, pl.Int64), crc32=pl.lit(None, pl.UInt32))
    assert verify_store(tmp_path).faults != []  # its tensors are of no row
    (feature.path / "00000.1.h5").write_bytes(shard_bytes(feature.spec, []))
    rewritten(feature, "00000.1", ok=0)
    assert verify_store(tmp_path).faults == []
    assert names(plan_garbage(tmp_path)) == {"00000": "superseded"}
    assert Feature(tmp_path, feature.folder).read(table({}).ids[:2]).status == ["failed", "failed"]


def test_a_row_of_another_source_replaces_nothing(tmp_path: Path) -> None:
    """Two manifests with differing texts on one store: each reads rows that are older or newer than the other's."""
    write(tmp_path, {}, 0)
    feature = write(tmp_path, "new", 1)
    plan = plan_garbage(tmp_path)
    assert plan.items == []
    size = sum((feature.path / f"0000{chunk}.{kind}").stat().st_size for chunk in (0, 1) for kind in ("h5", "json"))
    size += sum((feature.path / f"0000{chunk}.parquet").stat().st_size for chunk in (0, 1))
    assert [note for note in plan.notes if "--manifest" in note] == plan.notes
    assert (
        f"{feature.folder}: 2 shards ({size:,} bytes) hold only rows of other sources than the newest" in plan.notes[0]
    )
    assert plan_garbage(tmp_path, manifests=[table({}), table("new")]) == GarbagePlan([], [])
    assert names(plan_garbage(tmp_path, manifests=[table("new")])) == dict.fromkeys(["00000", "00001"], "superseded")
    older = plan_garbage(tmp_path, manifests=[table({})])
    assert names(older) == dict.fromkeys(["00000.1", "00001.1"], "superseded")
    remove_garbage(tmp_path, older.items, [table({})])
    assert {value[0] for value in rows(tmp_path)} == {0.0}


def test_what_was_not_named_again_stays(tmp_path: Path) -> None:
    """Removing asks once more, with the same manifests."""
    write(tmp_path, {}, 0)
    write(tmp_path, "new", 1)
    plan = plan_garbage(tmp_path, manifests=[table("new")])
    assert remove_garbage(tmp_path, plan.items) == 0
    assert len(Feature(tmp_path, make_spec().folder).names) == 4


def test_a_source_without_a_row_keeps_the_newest(tmp_path: Path) -> None:
    """An edit that is not extracted yet: whoever reads with that manifest finds the newest row, which is stale."""
    write(tmp_path, {}, 0)
    write(tmp_path, "new", 1)
    edited = [table({3: "edited"} | {number: f"new {number}" for number in range(70) if number != 3})]
    before = rows(tmp_path)
    for manifests in (edited, [table("never extracted")], [table("new"), table("never extracted")]):
        plan = plan_garbage(tmp_path, manifests=manifests)
        assert names(plan) == dict.fromkeys(["00000", "00001"], "superseded")
    assert plan_garbage(tmp_path, manifests=[table({}), table("never extracted")]).items == []
    remove_garbage(tmp_path, plan.items, manifests)
    assert rows(tmp_path) == before
    assert plan_garbage(tmp_path, manifests=manifests).items == []


def test_rows_of_utterances_that_no_manifest_has_stay(tmp_path: Path) -> None:
    write(tmp_path, {}, 0)
    write(tmp_path, "new", 1)
    small = [make_manifest(35, text=lambda number: f"new {number}")]
    plan = plan_garbage(tmp_path, manifests=small)
    assert names(plan) == {"00000": "superseded"}
    assert plan.notes == [f"{make_spec().folder}: 70 rows belong to utterances that no manifest here has: they stay"]


def test_a_damaged_shard_replaces_nothing(tmp_path: Path) -> None:
    """Else the sound rows would be removed, and those that replaced them moved away by the next repair."""
    feature = write(tmp_path, {}, 0)
    committed_again(feature, "00000", 1)
    committed_again(feature, "00001", 1)
    assert names(plan_garbage(tmp_path)) == dict.fromkeys(["00000", "00001"], "superseded")
    flip(feature.path / "00001.1.h5")
    plan = plan_garbage(tmp_path)
    assert names(plan) == {"00000": "superseded"}
    (note,) = plan.notes
    assert note.startswith(f"{feature.path / '00001.1.h5'}: checksum: ")
    assert f"1 shards that it replaces, or that it is, stay: first run `erc store verify {tmp_path} --repair`" in note


def test_a_shard_that_is_damaged_itself_stays(tmp_path: Path) -> None:
    """What its ledger says is not what was committed: it may hold other rows than it seems to."""
    feature = write(tmp_path, {}, 0)
    shutil.copy(feature.path / "00001.parquet", feature.path / "00000.parquet")
    plan = plan_garbage(tmp_path)
    assert plan.items == []
    assert plan.notes[0].startswith(f"{feature.path / '00000.parquet'}: size: ")


def test_an_unreadable_shard_replaces_nothing(tmp_path: Path) -> None:
    feature = write(tmp_path, {}, 0)
    committed_again(feature, "00000", 1)
    with failing_reads(feature.path / "00000.1.h5"):
        plan = plan_garbage(tmp_path)
    assert plan.items == []
    assert "00000.1.h5: unreadable: cannot be read (Input/output error)" in plan.notes[0]
    assert "--repair" not in plan.notes[0]
    assert names(plan_garbage(tmp_path)) == {"00000": "superseded"}


def test_a_damaged_ledger_is_named_and_the_rest_goes(tmp_path: Path) -> None:
    feature = write(tmp_path, {}, 0)
    committed_again(feature, "00000", 1)
    (feature.path / "00001.parquet").write_bytes(b"PAR1 no more")
    plan = plan_garbage(tmp_path)
    assert names(plan) == {"00000": "superseded"}
    assert [note.partition(": is not a ledger")[0] for note in plan.notes] == [
        f"00001 of {feature.folder} was not looked at: {feature.path / '00001.parquet'}"
    ]


def test_a_copy_of_a_record_is_no_shard(tmp_path: Path) -> None:
    """000001.json names the files of 00001: as a shard of its own it would replace that one."""
    feature = write(tmp_path, {}, 0)
    shutil.copy(feature.path / "00001.json", feature.path / "000001.json")
    assert plan_garbage(tmp_path).items == []
    assert len(Feature(tmp_path, feature.folder).names) == 2


def test_a_damaged_feature_stops_no_other(tmp_path: Path) -> None:
    committed_again(write(tmp_path, {}, 0), "00000", 1)
    bad = write(tmp_path, {}, 0, encoder="other")
    committed_again(bad, "00000", 1)
    flip(bad.path / "spec.json")
    plan = plan_garbage(tmp_path)
    assert [(item.folder, item.name) for item in plan.items] == [(make_spec().folder, "00000")]
    assert plan.notes[0].startswith(f"{bad.folder} was not looked at: {bad.path / 'spec.json'}: ")


def test_nothing_is_unused_while_a_feature_is_damaged(tmp_path: Path) -> None:
    """It may be derived from one that no run names."""
    source = write(tmp_path, {}, 0, modality="visual", encoder="faces")
    derived = write(tmp_path, {}, 0, modality="visual", encoder="derived", derives_from=source.fingerprint)
    flip(derived.path / "spec.json")
    plan = plan_garbage(tmp_path, {derived.fingerprint})
    assert plan.items == []
    assert "unused features were not looked for" in plan.notes[1]


def test_orphans_go(tmp_path: Path) -> None:
    folder = write(tmp_path, {}, 0).path
    (folder / f".tmp-{'0' * 32}-12345678").write_bytes(b"half")
    (folder / "00007.h5").write_bytes(b"whole")
    (folder / "mine.txt").write_text("stays")
    plan = plan_garbage(tmp_path)
    assert names(plan) == {f".tmp-{'0' * 32}-12345678": "orphan", "00007.h5": "orphan"}
    assert remove_garbage(tmp_path, plan.items) == 9
    assert sorted(path.name for path in folder.iterdir() if "0000" not in path.name) == [
        ".lock",
        "mine.txt",
        "spec.json",
    ]


def test_a_run_that_writes_is_left_alone(tmp_path: Path) -> None:
    folder = write(tmp_path, {}, 0).path
    committed_again(Feature(tmp_path, make_spec().folder), "00000", 1)
    committed_again(Feature(tmp_path, make_spec().folder), "00001", 1)
    (folder / "00007.h5").write_bytes(b"whole")
    with writer_lock(folder, (1, 2)):
        plan = plan_garbage(tmp_path)
        assert names(plan) == {"00000": "superseded", "00001": "superseded"}
        assert "a run may be writing it" in plan.notes[0]
        with pytest.raises(StoreBusyError, match="another run is writing it"):
            remove_garbage(tmp_path, plan.items)
    assert len(Feature(tmp_path, make_spec().folder).names) == 4


def test_what_is_no_longer_garbage_is_not_removed(tmp_path: Path) -> None:
    """Between the list and the answer a shard was repaired away: the older one holds again."""
    from features.store.repair import drop_shard

    feature = write(tmp_path, {}, 0)
    committed_again(feature, "00000", 1)
    committed_again(feature, "00001", 2)
    plan = plan_garbage(tmp_path)
    assert len(plan.items) == 2
    drop_shard(feature.path, "00001.2")
    remove_garbage(tmp_path, plan.items)
    assert [name.stem for name in Feature(tmp_path, feature.folder).names] == ["00001", "00000.1"]


def test_features_that_nothing_uses(tmp_path: Path) -> None:
    source = make_spec(modality="visual", encoder="faces")
    middle = make_spec(modality="visual", encoder="middle", derives_from=source.fingerprint)
    derived = make_spec(modality="visual", encoder="derived", derives_from=middle.fingerprint)
    other = make_spec(encoder="other")
    manifest: Manifest = make_manifest(3)
    for spec in (source, middle, derived, other):
        write_feature(tmp_path, spec, manifest, {key: np.zeros(3, np.float32) for key in manifest.ids})
    (tmp_path / other.folder / "mine.txt").write_text("stays")
    assert needed_fingerprints([source, middle, derived, other], {derived.fingerprint}) == {
        source.fingerprint,
        middle.fingerprint,
        derived.fingerprint,
    }
    assert plan_garbage(tmp_path).items == []
    plan = plan_garbage(tmp_path, {derived.fingerprint, "f" * 64})
    assert [(item.folder, item.kind) for item in plan.items] == [(other.folder, "unused")]
    remove_garbage(tmp_path, plan.items)
    assert [path.name for path in (tmp_path / other.folder).iterdir()] == ["mine.txt"]
    (tmp_path / other.folder / "mine.txt").unlink()
    (tmp_path / other.folder).rmdir()
    plan = plan_garbage(tmp_path, {source.fingerprint})
    assert {item.folder for item in plan.items} == {middle.folder, derived.folder}
    remove_garbage(tmp_path, plan.items)
    assert [feature.folder for feature in Store(tmp_path).features()] == [source.folder]
    assert not (tmp_path / derived.folder).exists()
    assert verify_store(tmp_path).faults == []


def test_a_feature_that_a_run_begins_to_use_meanwhile_stays(tmp_path: Path) -> None:
    source = write(tmp_path, {}, 0, modality="visual", encoder="faces")
    derived = write(tmp_path, {}, 0, modality="visual", encoder="derived", derives_from=source.fingerprint)
    other = write(tmp_path, {}, 0)
    plan = plan_garbage(tmp_path, set())
    assert {item.kind for item in plan.items} == {"unused"}
    remove_garbage(tmp_path, plan.items, used=lambda: {derived.fingerprint})
    assert source.path.is_dir()
    assert derived.path.is_dir()
    assert not other.path.exists()
