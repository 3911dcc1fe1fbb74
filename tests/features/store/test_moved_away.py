"""Repair deletes nothing: what it moves is whole in `.damaged`, and nothing there is ever replaced."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from store_damage import files_of, flip, of_later_format, recommitted, without_specs
from store_factory import make_manifest, make_spec

from features.spec import EncoderSpec
from features.store import Feature, Store, write_feature
from features.store.commit import file_role
from features.store.faults import FaultKind
from features.store.garbage import plan_garbage, remove_garbage
from features.store.ledger import SPEC as SPEC_KEY
from features.store.repair import repair_store
from features.store.verify import verify_store

SPEC = make_spec()


def write(root: Path, spec: EncoderSpec = SPEC, value: float = 1.0) -> Feature:
    manifest = make_manifest(70)
    return write_feature(root, spec, manifest, {key: np.full(3, value, np.float32) for key in manifest.ids})


@pytest.fixture
def feature(tmp_path: Path) -> Feature:
    return write(tmp_path / "store")


def moved(feature: Feature) -> list[str]:
    """What lies in `.damaged`, without the folders of each repair."""
    return sorted(path.name for path in (feature.path / ".damaged").rglob("*") if path.is_file())


def test_every_byte_is_kept(feature: Feature) -> None:
    flip(feature.path / "00001.h5")
    (feature.path / "00007.parquet").write_bytes(b"orphan")
    before = files_of(feature.path)
    repair_store(feature.root)
    after = files_of(feature.path)
    assert sorted(after.values()) == sorted(before.values())
    assert moved(feature) == ["00001.h5", "00001.json", "00001.parquet", "00007.parquet"]
    assert verify_store(feature.root).is_sound


def test_a_second_repair_does_nothing(feature: Feature) -> None:
    flip(feature.path / "00001.h5")
    repair_store(feature.root)
    before = files_of(feature.path)
    report, done = repair_store(feature.root)
    assert (report.is_sound, done) == (True, [])
    assert files_of(feature.path) == before


def test_nothing_is_replaced(feature: Feature, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same shard, damaged again within the same second."""
    monkeypatch.setattr("features.store.damaged.time.strftime", lambda *given: "2026-01-01T00-00-00Z")
    contents = []
    for value in range(3):
        flip(feature.path / "00001.h5", -1 - value)
        contents.append((feature.path / "00001.h5").read_bytes())
        repair_store(feature.root)
        write(feature.root)
    kept = sorted((feature.path / ".damaged").rglob("00001.h5"))
    assert [path.parent.name for path in kept] == [f"2026-01-01T00-00-00Z{end}" for end in ("", ".2", ".3")]
    assert [path.read_bytes() for path in kept] == contents


def test_the_record_goes_first_and_durably(feature: Feature, monkeypatch: pytest.MonkeyPatch) -> None:
    steps: list[str] = []
    rename, fsync = Path.rename, os.fsync

    def renaming(path: Path, target: Path) -> Path:
        steps.append(path.name)
        return rename(path, target)

    def syncing(descriptor: int) -> None:
        steps.append(f"sync {Path(f'/proc/self/fd/{descriptor}').readlink().name}")
        fsync(descriptor)

    flip(feature.path / "00001.h5")
    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", renaming)
        patch.setattr(os, "fsync", syncing)
        repair_store(feature.root)
    (place,) = (feature.path / ".damaged").iterdir()
    both = [f"sync {place.name}", f"sync {feature.path.name}"]
    assert steps == [
        f"sync {feature.path.name}", "sync .damaged", "00001.json", *both, "00001.h5", "00001.parquet", *both,
    ]  # fmt: skip


def test_a_disk_that_refuses_the_move(feature: Feature, monkeypatch: pytest.MonkeyPatch) -> None:
    other = write(feature.root, make_spec(encoder="other"))
    for path in (feature.path, other.path):
        flip(path / "00001.h5")
    rename = Path.rename

    def refusing(path: Path, target: Path) -> Path:
        if path.parent == feature.path:
            raise OSError(28, os.strerror(28))
        return rename(path, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", refusing)
        report, done = repair_store(feature.root)
    assert [line.partition(": moved")[0] for line in done] == [f"{other.path / '00001'}.*"]
    assert report.untouched == [
        f"{feature.path}: cannot be written (No space left on device): make space, then run the same command again;"
        " what is committed is kept"
    ]
    assert repair_store(feature.root)[0].is_sound


def test_it_is_no_part_of_the_store(feature: Feature) -> None:
    flip(feature.path / "00001.h5")
    repair_store(feature.root)
    report = verify_store(feature.root)
    assert report.faults == []
    size = sum(path.stat().st_size for path in (feature.path / ".damaged").rglob("*.*") if path.is_file())
    assert report.notes == [
        f"{feature.path}/.damaged: 3 files ({size:,} bytes) that repair moved away: once nothing of them is wanted,"
        f" remove them with `rm -r {feature.path}/.damaged`"
    ]
    assert file_role(".damaged") == "damaged"
    assert plan_garbage(feature.root).items == []
    again = write(feature.root, value=2.0)
    assert again.read(make_manifest(70).ids).values[:, 0].tolist() == [1.0] * 35 + [2.0] * 35
    assert len(moved(feature)) == 3


def test_it_goes_with_its_feature(feature: Feature) -> None:
    flip(feature.path / "00001.h5")
    repair_store(feature.root)
    plan = plan_garbage(feature.root, {"f" * 64})
    size = sum(path.stat().st_size for path in feature.path.rglob("*") if path.is_file())
    assert [(item.kind, item.num_bytes) for item in plan.items] == [("unused", size)]
    remove_garbage(feature.root, plan.items)
    assert not feature.path.exists()


def test_a_file_of_that_name_is_unknown(feature: Feature) -> None:
    (feature.path / ".damaged").write_text("mine")
    assert [fault.kind for fault in verify_store(feature.root).faults] == [FaultKind.UNKNOWN]


class TestSpec:
    """spec.json from the ledgers."""

    @pytest.mark.parametrize("damage", ["flip", "space", "empty", "gone", "other"])
    def test_it_is_written_again(self, feature: Feature, damage: str) -> None:
        path = feature.path / "spec.json"
        text = path.read_text()
        other = make_spec(encoder="other").to_json()
        changed = {"space": text + " ", "empty": "", "other": other}.get(damage)
        if damage == "flip":
            flip(path)
        elif changed is None:
            path.unlink()
        else:
            path.write_text(changed)
        old = path.read_bytes() if path.exists() else None
        (fault,) = verify_store(feature.root).faults
        assert fault.kind is FaultKind.SPEC
        assert "`--repair` writes it again from the ledger of shard 00001" in fault.detail
        report, done = repair_store(feature.root)
        assert report.is_sound
        assert len(done) == 1
        assert path.read_text() == text
        assert [item.read_bytes() for item in feature.path.rglob(".damaged/*/spec.json")] == (
            [] if old is None else [old]
        )
        assert repair_store(feature.root)[1] == []

    def test_it_is_that_which_was_stored(self, tmp_path: Path) -> None:
        """A local copy of the model continues the feature: the first writer's word stays."""
        write(tmp_path, make_spec(model="hub/model"))
        text = (tmp_path / SPEC.folder / "spec.json").read_text()
        grown = make_manifest(140)
        later = {key: np.zeros(3, np.float32) for key in grown.ids[70:]}
        feature = write_feature(tmp_path, make_spec(model="/a/copy"), grown, later)
        (feature.path / "spec.json").unlink()
        repair_store(tmp_path)
        assert (feature.path / "spec.json").read_text() == text

    def test_a_damaged_ledger_is_not_believed(self, feature: Feature) -> None:
        (feature.path / "spec.json").unlink()
        flip(feature.path / "00001.parquet")
        report, done = repair_store(feature.root)
        assert report.is_sound
        assert done[0].endswith("written again from the ledger of shard 00000")
        assert done[1].startswith(f"{feature.path / '00001'}.*: moved to ")

    def test_a_renamed_folder_stays(self, feature: Feature) -> None:
        other = feature.path.rename(feature.path.with_name("other-00000000"))
        before = files_of(other)
        report, done = repair_store(feature.root)
        assert done == []
        assert FaultKind.SPEC in {fault.kind for fault in report.faults}
        assert files_of(other) == before

    def test_a_kill_between_moving_and_writing(self, feature: Feature, monkeypatch: pytest.MonkeyPatch) -> None:
        path = feature.path / "spec.json"
        text = path.read_text()
        flip(path)

        def killed(*given: Any) -> None:
            raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr("features.store.repair.write_once", killed)
            with pytest.raises(KeyboardInterrupt):
                repair_store(feature.root)
        assert not path.exists()
        assert repair_store(feature.root)[0].is_sound
        assert path.read_text() == text

    def test_older_ledgers_hold_none(self, feature: Feature) -> None:
        without_specs(feature)
        assert verify_store(feature.root).is_sound
        (feature.path / "spec.json").unlink()
        report, done = repair_store(feature.root)
        assert done == []
        assert "move it away and run the `erc extract` that made it" in report.faults[0].detail

    def test_one_of_another_feature_is_a_fault(self, feature: Feature) -> None:
        """Checksums and record fit."""
        other = make_spec(encoder="other")
        recommitted(feature, "00001", lambda metadata: metadata.update({SPEC_KEY: other.to_json()}))
        (fault,) = verify_store(feature.root).faults
        assert (fault.kind, fault.shard) == (FaultKind.LEDGER, "00001")
        assert f"erc.spec is that of another feature (fingerprint {other.fingerprint[:8]})" in fault.detail
        recommitted(feature, "00001", lambda metadata: metadata.update({SPEC_KEY: "{}"}))
        (fault,) = verify_store(feature.root).faults
        assert "erc.spec: is not a spec of this package" in fault.detail


class TestLaterFormats:
    """What a later version wrote is not damaged: it is named, and not touched."""

    @pytest.mark.parametrize("name", ["spec.json", "00001.json"])
    def test_it_is_named_and_stays(self, feature: Feature, name: str) -> None:
        of_later_format(feature.path / name)
        before = files_of(feature.path)
        report, done = repair_store(feature.root)
        assert [(fault.path.name, fault.kind, fault.shard) for fault in report.faults] == [
            (name, FaultKind.FORMAT, None)
        ]
        number = 3 if name == "spec.json" else 2
        assert f"is of format {number}, this version reads {number - 1}: a later" in report.faults[0].detail
        assert done == []
        assert files_of(feature.path) == before

    def test_readers_say_so(self, feature: Feature) -> None:
        from features.errors import FormatError

        of_later_format(feature.path / "00001.json")
        with pytest.raises(FormatError, match=r"00001\.json: is of format 2, .* upgrade"):
            Feature(feature.root, feature.folder).read(make_manifest(70).ids)
        of_later_format(feature.path / "spec.json")
        ((folder, error),) = Store(feature.root).damaged
        assert folder == feature.folder
        assert isinstance(error, FormatError)

    @pytest.mark.parametrize(("name", "kind"), [("spec.json", "spec"), ("00001.json", "record")])
    def test_a_damaged_number_is_damage(self, feature: Feature, name: str, kind: str) -> None:
        """The digest says that it was 1."""
        path = feature.path / name
        text = path.read_text()
        assert text.count('"format": 1') == 1
        for number in ("3", "5", "9", "0", "11", "1.5", "true", "-1", '"2"', "null"):
            path.write_text(text.replace('"format": 1', f'"format": {number}'))
            assert [str(fault.kind) for fault in verify_store(feature.root).faults] == [kind], number
        repair_store(feature.root)
        assert verify_store(feature.root).is_sound
