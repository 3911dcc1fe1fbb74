"""The file of an encoder's top layers beside the shards: committed once, checked whole, mended, cleared, exported."""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import shutil
import signal
from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from store_damage import failing_reads, files_of, flip
from store_factory import make_manifest, make_spec
from tiny_top import sequences, tiny_top, top_spec

from features.digests import digest_of, is_later_format
from features.errors import FormatError, ShardError, StoreError, UnreadableError
from features.spec import EncoderSpec
from features.store import Feature, Store, commit, write_feature
from features.store.commit import POINTS, TOP_POINTS, TOP_RECORD, file_role
from features.store.export import export_feature
from features.store.export_verify import verify_export
from features.store.faults import FaultKind
from features.store.garbage import plan_garbage, remove_garbage
from features.store.listing import list_store
from features.store.repair import repair_store
from features.store.top_file import TopFaultError, check_top, write_top
from features.store.verify import verify_store
from features.store.write import open_writer
from features.top import FILE

MANIFEST = make_manifest(70)
FILES = (FILE, TOP_RECORD)


def make_feature(root: Path) -> Feature:
    top = tiny_top()
    spec = top_spec(top)
    return write_feature(root, spec, MANIFEST, sequences(MANIFEST, spec), top=top)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("whole")
    make_feature(root)
    return root


@pytest.fixture
def feature(whole: Path, tmp_path: Path) -> Feature:
    return Store(Path(shutil.copytree(whole, tmp_path / "store"))).features()[0]


def kinds(root: Path) -> dict[str, str]:
    return {fault.path.name: str(fault.kind) for fault in verify_store(root).faults}


def test_it_is_written_once_before_the_first_shard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    passed: list[str] = []
    monkeypatch.setattr(commit, "at_point", passed.append)
    feature = make_feature(tmp_path)
    shard = list(POINTS[4:])
    assert passed == [*POINTS[:4], *TOP_POINTS, *shard * len(feature.names)]
    before = {name: (feature.path / name).stat() for name in FILES}
    passed.clear()
    make_feature(tmp_path)
    assert passed == []
    assert {name: (feature.path / name).stat().st_ino for name in FILES} == {
        name: status.st_ino for name, status in before.items()
    }


def test_a_feature_gives_the_layers_it_was_written_with(feature: Feature) -> None:
    top = feature.read_top()
    assert top.content == tiny_top().content
    assert top.digest == feature.spec.settings["top"]
    record = json.loads((feature.path / TOP_RECORD).read_text())
    content = (feature.path / FILE).read_bytes()
    assert (record["file"]["size"], record["file"]["sha256"]) == (len(content), sha256(content).hexdigest())
    assert [file_role(name) for name in FILES] == ["top", "top"]
    (summary,), troubles = list_store(feature.root)
    assert troubles == []
    assert summary.num_bytes == sum(path.stat().st_size for path in feature.path.iterdir())


def test_a_feature_without_has_none(tmp_path: Path) -> None:
    spec = make_spec()
    feature = write_feature(tmp_path, spec, make_manifest(0), {})
    with pytest.raises(StoreError, match="keeps no layers of its encoder: extract it with --set from_top=K"):
        feature.read_top()
    (feature.path / FILE).write_bytes(b"x")
    assert kinds(tmp_path) == {FILE: "unknown"}


def test_every_one_of_300_single_bit_changes_is_found(feature: Feature) -> None:
    chance = random.Random(3)
    found: set[str] = set()
    for number in range(300):
        path = feature.path / FILES[number % 2]
        content = path.read_bytes()
        changed = bytearray(content)
        changed[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
        path.write_bytes(changed)
        with pytest.raises(TopFaultError) as raised:
            check_top(feature.path, feature.spec)
        assert raised.value.path == path
        found.add(str(raised.value.kind))
        path.write_bytes(content)
    assert found == {"record", "checksum"}
    assert verify_store(feature.root).is_sound


def forged(feature: Feature, content: bytes, **values: Any) -> None:
    """The file with a record that fits it."""
    (feature.path / FILE).write_bytes(content)
    record = json.loads((feature.path / TOP_RECORD).read_text())
    del record["digest"]
    record["file"] |= {"size": len(content), "sha256": sha256(content).hexdigest()}
    record |= values
    text = json.dumps(record | {"digest": digest_of("top", record)}, indent=1) + "\n"
    (feature.path / TOP_RECORD).write_text(text)


def _other_layers(feature: Feature) -> None:
    forged(feature, tiny_top(seed=1).content)


def _more_layers(feature: Feature) -> None:
    forged(feature, tiny_top(from_top=2).content)


def _not_a_top(feature: Feature) -> None:
    forged(feature, b"\x02\0\0\0\0\0\0\0{}")


def _of_another_feature(feature: Feature) -> None:
    forged(feature, tiny_top().content, fingerprint="0" * 64)


def _with_white_space(feature: Feature) -> None:
    path = feature.path / TOP_RECORD
    path.write_text(path.read_text() + "\n")


DAMAGES: dict[str, tuple[Callable[[Feature], object], str, str]] = {
    "gone": (lambda feature: (feature.path / FILE).unlink(), FILE, "absent"),
    "shorter": (lambda feature: (feature.path / FILE).write_bytes(tiny_top().content[:-1]), FILE, "size"),
    "a bit": (lambda feature: flip(feature.path / FILE), FILE, "checksum"),
    "a bit of the record": (lambda feature: flip(feature.path / TOP_RECORD), TOP_RECORD, "record"),
    "white space": (_with_white_space, TOP_RECORD, "record"),
    "another feature's": (_of_another_feature, TOP_RECORD, "record"),
    "other layers": (_other_layers, FILE, "top"),
    "more layers": (_more_layers, FILE, "top"),
    "not a top": (_not_a_top, FILE, "top"),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_damage_is_named_refused_and_mended_without_redoing_shards(feature: Feature, name: str) -> None:
    damage, file, kind = DAMAGES[name]
    damage(feature)
    (fault,) = verify_store(feature.root).faults
    assert (fault.path.name, str(fault.kind), fault.is_repairable, fault.shard) == (file, kind, True, None)
    with pytest.raises(ShardError, match="verify STORE --repair` moves it away, and the `erc extract`"):
        feature.read_top()
    if kind != "top":  # what the record tells is checked before anything is written
        with pytest.raises(ShardError, match=r"top\.(json|safetensors): "):
            make_feature(feature.root)
    shards = {key: value for key, value in files_of(feature.path).items() if not key.startswith("top.")}
    report, done = repair_store(feature.root)
    assert len(done) == 1
    assert f"moved to {feature.path}/.damaged/" in done[0]
    (left,) = report.faults
    assert (left.path.name, left.kind, left.is_repairable) == (TOP_RECORD, FaultKind.ABSENT, False)
    assert make_feature(feature.root).read_top().digest == feature.spec.settings["top"]
    assert verify_store(feature.root).is_sound
    after = files_of(feature.path)
    assert {key: after[key] for key in shards} == shards


def test_both_gone_is_found_and_written_again(feature: Feature) -> None:
    for name in FILES:
        (feature.path / name).unlink()
    (fault,) = verify_store(feature.root).faults
    assert (fault.path.name, fault.kind, fault.is_repairable) == (TOP_RECORD, FaultKind.ABSENT, False)
    with pytest.raises(ShardError, match=r"top\.json: is gone.* writes it again, and encodes nothing twice"):
        feature.read_top()
    make_feature(feature.root)
    assert verify_store(feature.root).is_sound


def test_other_layers_than_the_specs_are_not_written(feature: Feature) -> None:
    for name in FILES:
        (feature.path / name).unlink()
    for top in (None, tiny_top(seed=1)):
        with pytest.raises(StoreError, match=r"needs top\.safetensors, the layers above its states"):
            write_top(feature.path, feature.spec, top, alone=True)
    assert not any((feature.path / name).exists() for name in FILES)


def test_what_a_later_version_wrote_is_named_and_stays(feature: Feature) -> None:
    content = (feature.path / FILE).read_bytes()
    forged(feature, content, format=2)
    before = files_of(feature.path)
    with pytest.raises(FormatError, match="is of format 2, this version reads 1: a later version wrote it"):
        feature.read_top()
    report, done = repair_store(feature.root)
    assert [(fault.path.name, fault.kind) for fault in report.faults] == [(TOP_RECORD, FaultKind.FORMAT)]
    assert done == []
    assert files_of(feature.path) == before


@pytest.mark.parametrize("name", FILES)
def test_what_cannot_be_read_is_not_damaged(feature: Feature, name: str) -> None:
    before = files_of(feature.path)
    with failing_reads(feature.path / name):
        with pytest.raises(UnreadableError, match="cannot be read"):
            feature.read_top()
        report, done = repair_store(feature.root)
        assert [(fault.path.name, fault.kind) for fault in report.faults] == [(name, FaultKind.UNREADABLE)]
    assert done == []
    assert files_of(feature.path) == before


def test_without_a_spec_one_is_compared_with_the_other(feature: Feature) -> None:
    flip(feature.path / FILE)
    (feature.path / "spec.json").write_text("{}")
    assert kinds(feature.root) == {"spec.json": "spec", FILE: "checksum"}
    report, _ = repair_store(feature.root)  # the spec from a ledger, then the rest
    assert [fault.path.name for fault in report.faults] == [TOP_RECORD]


def _killed_at(point: str, root: Path) -> None:
    def at_point(reached: str) -> None:
        if reached == point:
            os.kill(os.getpid(), signal.SIGKILL)

    commit.at_point = at_point
    make_feature(root)


@pytest.mark.parametrize("point", TOP_POINTS)
def test_killed_at_a_point_of_its_commit_the_next_run_finishes(whole: Path, tmp_path: Path, point: str) -> None:
    root = tmp_path / "store"
    tiny_top()  # before the fork
    process = multiprocessing.get_context("fork").Process(target=_killed_at, args=(point, root))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    spec = top_spec(tiny_top())
    assert Feature(root, spec.folder).names == []
    left = set(kinds(root).values())
    assert left <= {"orphan"}, "what a run left that was stopped before the first shard is no fault"
    feature = make_feature(root)
    assert verify_store(root).is_sound
    assert feature.read_top().content == tiny_top().content
    assert sorted(files_of(root)) == sorted(files_of(whole))


def test_an_unrecorded_file_is_made_anew_by_a_run_that_is_alone(feature: Feature) -> None:
    (feature.path / TOP_RECORD).unlink()
    flip(feature.path / FILE)
    make_feature(feature.root)
    assert feature.read_top().content == tiny_top().content


def test_slices_write_it_once_between_them(tmp_path: Path) -> None:
    top = tiny_top()
    spec = top_spec(top)
    with open_writer(tmp_path, spec, (1, 2), "same", top), open_writer(tmp_path, spec, (2, 2), "same", top):
        assert Feature(tmp_path, spec.folder).read_top().content == top.content
    folder = tmp_path / spec.folder
    (folder / TOP_RECORD).unlink()  # stopped, or not there yet
    with open_writer(tmp_path, spec, (2, 2), "same", top):
        assert Feature(tmp_path, spec.folder).read_top().content == top.content
    (folder / TOP_RECORD).unlink()
    flip(folder / FILE)
    with (
        pytest.raises(ShardError, match=r"has no top\.json, and is not what this run would write"),
        open_writer(tmp_path, spec, (2, 2), "same", top),
    ):
        pass


def test_a_full_disk_leaves_no_temporary_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(point: str) -> None:
        if point == "top written":
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(commit, "at_point", fail)
    with pytest.raises(StoreError, match="make space, then run the same command again"):
        make_feature(tmp_path)
    spec = top_spec(tiny_top())
    assert sorted(path.name for path in (tmp_path / spec.folder).iterdir()) == [".lock", "spec.json"]


def test_gc_keeps_it_but_for_a_feature_that_goes_whole(feature: Feature) -> None:
    plan = plan_garbage(feature.root)
    assert plan.items == []
    plan = plan_garbage(feature.root, used=())
    (item,) = plan.items
    assert item.num_bytes == sum(path.stat().st_size for path in feature.path.iterdir())
    remove_garbage(feature.root, plan.items)
    assert not feature.path.exists()


def test_a_renamed_folder_is_refused(feature: Feature) -> None:
    other = feature.path.with_name("sentence-tokens-00000000")
    feature.path.rename(other)
    assert set(kinds(feature.root)) >= {"spec.json"}


class TestSpec:
    def test_its_format_is_2_and_that_of_others_is_1(self) -> None:
        spec = top_spec(tiny_top())
        values = json.loads(spec.to_json())
        assert values["format"] == 2
        assert json.loads(make_spec().to_json())["format"] == 1
        assert EncoderSpec.from_json(spec.to_json()) == spec
        assert (spec.from_top, make_spec().from_top) == (1, 0)
        digest = values.pop("digest")
        assert is_later_format("spec", values, digest, 1), "a version that knows format 1 alone says: upgrade"

    @pytest.mark.parametrize("number", ["1", "3", "0", "6", "10", "18", "34"])
    @pytest.mark.parametrize("of_top", [True, False])
    def test_a_damaged_number_is_damage(self, number: str, of_top: bool) -> None:
        text = (top_spec(tiny_top()) if of_top else make_spec()).to_json()
        changed = text.replace(f'"format": {2 if of_top else 1}', f'"format": {number}')
        if changed == text:
            return
        with pytest.raises(StoreError, match="digest does not fit") as raised:
            EncoderSpec.from_json(changed)
        assert not isinstance(raised.value, FormatError)

    @pytest.mark.parametrize("of_top", [True, False])
    def test_a_format_that_is_not_that_of_the_fields_is_refused(self, of_top: bool) -> None:
        spec = top_spec(tiny_top()) if of_top else make_spec()
        values = json.loads(spec.to_json()) | {"format": 1 if of_top else 2}
        del values["digest"]
        with pytest.raises(StoreError, match=r"its format is \d, that of its fields is \d"):
            EncoderSpec.from_json(json.dumps(values | {"digest": digest_of("spec", values)}))


class TestExport:
    @pytest.mark.parametrize("file_format", ["parquet", "hdf5", "npy"])
    def test_it_travels_beside_and_is_checked(self, feature: Feature, tmp_path: Path, file_format: str) -> None:
        out = tmp_path / "export"
        export_feature(feature, out, file_format)
        beside = out / FILE if file_format == "npy" else tmp_path / f"export.{FILE}"
        assert beside.read_bytes() == tiny_top().content
        report = verify_export(out)
        assert (report.faults, report.notes) == ([], [])
        assert report.files == (7 if file_format == "npy" else 2)
        for position in (20, len(tiny_top().content) - 1):
            flip(beside, position)
            assert {(fault.path, str(fault.kind)) for fault in verify_export(out).faults} >= {(beside, "sha256")}
            flip(beside, position)
        beside.unlink()
        (fault,) = verify_export(out).faults
        assert (fault.path, str(fault.kind)) == (beside, "absent")

    def test_without_sums_its_layers_are_compared_with_the_spec(self, feature: Feature, tmp_path: Path) -> None:
        out = tmp_path / "export.h5"
        export_feature(feature, out, "hdf5")
        (tmp_path / "export.h5.sha256").unlink()
        assert verify_export(out).faults == []
        (tmp_path / f"export.h5.{FILE}").write_bytes(tiny_top(seed=1).content)
        (fault,) = verify_export(out).faults
        assert str(fault.kind) == "form"
        assert "its layers are not those that the spec names" in fault.detail

    def test_an_export_that_was_renamed_with_it_is_sound(self, feature: Feature, tmp_path: Path) -> None:
        export_feature(feature, tmp_path / "a.parquet", "parquet")
        for name in ("a.parquet", "a.parquet.sha256", f"a.parquet.{FILE}"):
            (tmp_path / name).rename(tmp_path / name.replace("a.parquet", "b.parquet"))
        report = verify_export(tmp_path / "b.parquet")
        assert (report.faults, report.files, len(report.notes)) == ([], 2, 1)

    def test_one_without_takes_its_place_whole(self, feature: Feature, tmp_path: Path) -> None:
        out = tmp_path / "a.parquet"
        export_feature(feature, out, "parquet")
        spec = make_spec(kind="sequence", stored_dtype="float16")
        manifest = make_manifest(3)
        plain = write_feature(feature.root, spec, manifest, sequences(manifest, spec))
        export_feature(plain, out, "parquet", overwrite=True)
        assert verify_export(out).faults == []
        assert not (tmp_path / f"a.parquet.{FILE}").exists()

    def test_a_damaged_one_is_not_exported(self, feature: Feature, tmp_path: Path) -> None:
        flip(feature.path / FILE)
        with pytest.raises(TopFaultError, match="its sha256 is not its record's"):
            export_feature(feature, tmp_path / "a.npy", "npy")
        assert not (tmp_path / "a.npy").exists()


def test_the_feature_keeps_its_folder_under_another_name(tmp_path: Path) -> None:
    top = tiny_top()
    spec = replace(top_spec(top), alias="tops")
    feature = write_feature(tmp_path, spec, MANIFEST, sequences(MANIFEST, spec), top=top)
    assert feature.path.name.startswith("tops-")
    assert feature.read_top().digest == top.digest
