"""What is removed is what nothing needs: after `gc` every reader finds what it found before."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from store_factory import make_manifest, make_spec

from features.errors import ShardError, StoreBusyError
from features.manifest import Manifest
from features.spec import EncoderSpec
from features.store import Feature, Store, write_feature
from features.store.garbage import GarbagePlan, needed_fingerprints, plan_garbage, remove_garbage
from features.store.lock import writer_lock
from features.store.verify import verify_store


def write(root: Path, texts: dict[int, str] | str, value: float, **spec: Any) -> Feature:
    """70 utterances in two chunks, of which those of `texts` (or all) have other texts and the embedding `value`."""

    def text(number: int) -> str:
        return f"{texts} {number}" if isinstance(texts, str) else texts.get(number, f"text {number}")

    manifest = make_manifest(70, text=text)
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
    plan = plan_garbage(tmp_path)
    assert names(plan) == {"00000": "superseded", "00000.1": "superseded", "00000.2": "superseded"}
    folder = tmp_path / make_spec().folder
    gone = [path for stem in names(plan) for path in folder.glob(f"{stem}.[hjp]*")]
    assert plan.num_bytes == sum(path.stat().st_size for path in gone)
    assert remove_garbage(tmp_path, plan.items) == plan.num_bytes
    assert [name.stem for name in Feature(tmp_path, make_spec().folder).names] == ["00001", "00000.3", "00001.3"]
    assert not any(path.exists() for path in gone)
    assert rows(tmp_path) == before
    assert {value[0] for value in before} == {0.0, 3.0}
    assert verify_store(tmp_path).faults == []
    assert plan_garbage(tmp_path).items == []


def test_a_row_that_failed_still_holds(tmp_path: Path) -> None:
    """The highest generation holds even where it failed: the ok row below it is superseded."""
    from features.errors import Reason, UnavailableError

    manifest = make_manifest(3)
    write_feature(tmp_path, make_spec(), manifest, {key: np.zeros(3, np.float32) for key in manifest.ids})
    edited = make_manifest(3, text="other")
    write_feature(tmp_path, make_spec(), edited, {}, {key: UnavailableError(Reason.NON_FINITE) for key in edited.ids})
    assert names(plan_garbage(tmp_path)) == {"00000": "superseded"}


def test_a_damaged_shard_supersedes_nothing(tmp_path: Path) -> None:
    """Else the sound rows would be removed, and those that replaced them dropped by the next repair."""
    write(tmp_path, {}, 0)
    feature = write(tmp_path, "new", 1)
    path = feature.path / "00001.2.h5"
    path.write_bytes(path.read_bytes()[:-1] + b"\x01")
    before = {item.name for item in feature.path.iterdir()}
    with pytest.raises(ShardError, match=r"00001\.2\.h5: checksum: .* nothing is removed: first run `erc store verify"):
        plan_garbage(tmp_path)
    assert {item.name for item in feature.path.iterdir()} == before


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
    write(tmp_path, "new", 1)
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
    write(tmp_path, "new", 1)
    plan = plan_garbage(tmp_path)
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
