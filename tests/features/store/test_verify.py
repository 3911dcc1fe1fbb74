"""`verify` finds every change of a committed file and every file that is gone or swapped; `repair` makes it sound."""

from __future__ import annotations

import json
import os
import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import polars as pl
import pytest
from store_damage import rewritten, without_specs
from store_factory import HashEncoder, make_manifest, make_spec

from features.errors import Reason, StoreError, UnavailableError
from features.extract import extract_features
from features.manifest import Manifest, build_manifest
from features.spec import EncoderSpec
from features.store import Feature, Store, write_feature
from features.store.faults import FaultKind
from features.store.lock import writer_lock
from features.store.repair import drop_shard, repair_store
from features.store.verify import StoreReport, verify_feature, verify_store

VECTOR = make_spec(shape=(4,))
STACK = make_spec(modality="audio", encoder="layers", kind="stack", shape=(2, 3), stored_dtype="float16")
SEQUENCE = make_spec(modality="visual", encoder="faces", kind="sequence", shape=(5,), settings={"frames": 5})
SPECS = (VECTOR, STACK, SEQUENCE)


def embeddings(manifest: Manifest, spec: EncoderSpec, seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    shapes = {
        key: (number % 3, *spec.shape) if spec.kind == "sequence" else spec.shape
        for number, key in enumerate(manifest.ids)
    }
    return {key: rng.standard_normal(shape).astype(np.float32) for key, shape in shapes.items()}


def make_store(root: Path, manifest: Manifest) -> None:
    """A vector, a stack and a sequence feature of four shards each; two utterances have no embedding."""
    gone = {
        manifest.ids[1]: UnavailableError(Reason.NO_TEXT),
        manifest.ids[40]: UnavailableError(Reason.UNDECODABLE, "bad"),
    }
    for spec in SPECS:
        write_feature(root, spec, manifest, embeddings(manifest, spec), gone)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("whole")
    make_store(root, make_manifest(130))
    return root


@pytest.fixture
def store(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "store"))


def committed_files(root: Path) -> list[Path]:
    return sorted(path for path in root.glob("*/*/*") if path.is_file() and not path.name.startswith(".lock"))


def folder_of(path: Path) -> str:
    return f"{path.parents[1].name}/{path.parent.name}"


def named(report: StoreReport) -> dict[str, str]:
    """File -> kind of its fault."""
    return {str(fault.path): str(fault.kind) for fault in report.faults}


def test_a_sound_store_has_no_fault(whole: Path) -> None:
    report = verify_store(whole, make_manifest(130))
    assert report.faults == []
    assert report.notes == []
    assert [(item.shards, item.rows, item.ok) for item in report.features] == [(4, 130, 128)] * 3
    assert sum(item.num_bytes for item in report.features) == sum(
        path.stat().st_size for path in committed_files(whole) if path.name != "spec.json"
    )


def test_every_one_of_200_single_bit_changes_is_found(store: Path) -> None:
    chance = random.Random(7)
    files = committed_files(store)
    assert len(files) == 3 * (1 + 4 * 3)
    kinds: dict[str, int] = {}
    for number in range(200):
        path = files[number % len(files)]
        content = path.read_bytes()
        position, bit = chance.randrange(len(content)), chance.randrange(8)
        changed = bytearray(content)
        changed[position] ^= 1 << bit
        path.write_bytes(changed)
        found = {str(fault.path): str(fault.kind) for fault in verify_feature(store, folder_of(path)).faults}
        assert list(found) == [str(path)], f"{path.name}: byte {position}, bit {bit}: {found}"
        kinds[found[str(path)]] = kinds.get(found[str(path)], 0) + 1
        path.write_bytes(content)
    assert set(kinds) == {"spec", "record", "checksum"}
    assert verify_store(store).faults == []


def as_one_line(text: str) -> str:
    return json.dumps(json.loads(text)) + "\n"


@pytest.mark.parametrize("name", ["spec.json", "00002.json"])
@pytest.mark.parametrize("change", [as_one_line, lambda text: text + "\n", lambda text: text.replace("\n", "\r\n")])
def test_white_space_in_json_is_found(store: Path, name: str, change: Callable[[str], str]) -> None:
    path = store / VECTOR.folder / name
    path.write_bytes(change(path.read_text()).encode())
    assert named(verify_store(store)) == {str(path): "spec" if name == "spec.json" else "record"}


def test_bytes_that_are_no_text_are_found(store: Path) -> None:
    for name, kind in (("spec.json", "spec"), ("00002.json", "record")):
        path = store / VECTOR.folder / name
        path.write_bytes(b"\xff" + path.read_bytes())
        assert named(verify_store(store))[str(path)] == kind


def test_every_deleted_file_is_found(store: Path) -> None:
    expected = {".h5": "absent", ".parquet": "absent", "spec.json": "spec"}
    files = committed_files(store)
    for path in files:
        content = path.read_bytes()
        path.unlink()
        found = {str(fault.path): str(fault.kind) for fault in verify_feature(store, folder_of(path)).faults}
        if path.suffix == ".json" and path.name != "spec.json":
            assert found == {str(path.with_suffix(kind)): "orphan" for kind in (".h5", ".parquet")}
        else:
            assert found == {str(path): expected[path.name if path.name == "spec.json" else path.suffix]}
        path.write_bytes(content)


def swap(one: Path, other: Path) -> None:
    kept = one.read_bytes()
    one.write_bytes(other.read_bytes())
    other.write_bytes(kept)


@pytest.mark.parametrize("kinds", [["h5"], ["parquet"], ["json"], ["h5", "parquet"], ["h5", "parquet", "json"]])
@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.kind)
def test_swapped_files_are_found(store: Path, kinds: list[str], spec: EncoderSpec) -> None:
    folder = store / spec.folder
    for kind in kinds:
        swap(folder / f"00000.{kind}", folder / f"00001.{kind}")
    found = verify_store(store).faults
    assert {fault.shard for fault in found} == {"00000", "00001"}
    blamed = {fault.path.suffix[1:] for fault in found}
    assert blamed == ({"json"} if "json" in kinds else set(kinds))


@pytest.mark.parametrize("kinds", [["h5"], ["parquet"], ["json"], ["h5", "parquet", "json"]])
def test_files_swapped_between_features_are_found(store: Path, kinds: list[str]) -> None:
    for kind in kinds:
        swap(store / VECTOR.folder / f"00002.{kind}", store / STACK.folder / f"00002.{kind}")
    found = verify_store(store).faults
    assert {(fault.feature, fault.shard) for fault in found} == {(VECTOR.folder, "00002"), (STACK.folder, "00002")}


def test_swapped_specs_and_renamed_folders_are_found(store: Path) -> None:
    swap(store / VECTOR.folder / "spec.json", store / STACK.folder / "spec.json")
    faults = verify_store(store).faults
    assert [(fault.kind, fault.path.name) for fault in faults] == [(FaultKind.SPEC, "spec.json")] * 2
    assert "belongs to audio/layers" in faults[0].detail
    swap(store / VECTOR.folder / "spec.json", store / STACK.folder / "spec.json")
    (store / VECTOR.folder).rename(store / "text" / "other-00000000")
    kinds = {fault.kind for fault in verify_store(store).faults}
    assert kinds == {FaultKind.SPEC, FaultKind.RECORD}


def first(name: str, value: object) -> pl.Expr:
    """The column with its first row replaced."""
    return pl.when(pl.int_range(pl.len()) == 0).then(pl.lit(value)).otherwise(pl.col(name)).alias(name)


@pytest.mark.parametrize(
    ("change", "kind", "detail"),
    [
        (lambda frame: frame.with_columns(first("row", 99)), "ledger", "row 99 is beyond them"),
        (lambda frame: frame.with_columns(first("row", 1)), "ledger", "or one twice"),
        (lambda frame: frame.with_columns(first("row", None).cast(pl.Int64)), "ledger", "must have a row of tensors"),
        (lambda frame: frame.with_columns(first("crc32", 5).cast(pl.UInt32)), "crc32", "of other bytes"),
        (lambda frame: frame.with_columns(first("status", "failed")), "ledger", "does not go with its reason"),
        (lambda frame: frame.with_columns(first("reason", "no-file")), "ledger", "does not go with its reason"),
        (lambda frame: frame.with_columns(first("reason", "bored")), "ledger", "does not go with its reason"),
        (lambda frame: frame.with_columns(first("source_digest", "x")), "ledger", "is not a sha256"),
        (lambda frame: frame.with_columns(first("seconds_encode", -1.0)), "ledger", "below zero"),
        (
            lambda frame: frame.with_columns(first("utterance_id", "toy/train/dia0_utt2")),
            "duplicate",
            "dia0_utt2 stands in it more than once",
        ),
        (lambda frame: frame.drop("detail"), "ledger", "has columns"),
        (lambda frame: frame.with_columns(pl.col("row").cast(pl.Int32)), "ledger", "row is Int32, expected Int64"),
        (lambda frame: frame[:-1], "ledger", "its commit record says 35"),
    ],
)
def test_a_ledger_that_contradicts_itself_or_its_shard(
    store: Path, change: Callable[[pl.DataFrame], pl.DataFrame], kind: str, detail: str
) -> None:
    """Checksums and record fit: only what the ledger says is wrong."""
    feature = Feature(store, VECTOR.folder)
    rewritten(feature, "00000", change(pl.read_parquet(feature.path / "00000.parquet")))
    faults = verify_store(store).faults
    assert faults[0].kind == kind
    assert any(detail in fault.detail for fault in faults), [fault.detail for fault in faults]
    assert {fault.shard for fault in faults} == {"00000"}


@pytest.mark.parametrize(
    ("metadata", "detail"),
    [({"erc.shard": "00003"}, "is that of shard '00003'"), ({"erc.fingerprint": "f" * 64}, "of another feature")],
)
def test_a_ledger_of_another_shard(store: Path, metadata: dict[str, str], detail: str) -> None:
    feature = Feature(store, VECTOR.folder)
    rewritten(feature, "00000", pl.read_parquet(feature.path / "00000.parquet"), metadata)
    assert detail in verify_store(store).faults[0].detail


@pytest.mark.parametrize("count", ["utterances", "ok"])
def test_a_record_whose_counts_are_wrong(store: Path, count: str) -> None:
    rewritten(Feature(store, VECTOR.folder), "00000", **{count: 7})
    faults = verify_store(store).faults
    assert [fault.kind for fault in faults] == [FaultKind.LEDGER]
    assert f"{count}, its commit record says 7" in faults[0].detail


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.kind)
@pytest.mark.parametrize(("value", "kinds"), [(1.0, {"crc32"}), (np.nan, {"crc32", "non-finite"})])
def test_tensors_that_are_not_those_of_the_ledger(
    store: Path, spec: EncoderSpec, value: float, kinds: set[str]
) -> None:
    feature = Feature(store, spec.folder)
    with h5py.File(feature.path / "00001.h5", "r+") as file:
        data = file["values" if spec.kind == "sequence" else "embedding"]
        data[3] = value
    rewritten(feature, "00001")
    faults = verify_store(store).faults
    assert {str(fault.kind) for fault in faults} == kinds
    assert {fault.path.name for fault in faults} == {"00001.h5"}


def test_tensors_of_another_form(store: Path) -> None:
    feature = Feature(store, VECTOR.folder)
    with h5py.File(feature.path / "00001.h5", "r+") as file:
        file.create_dataset("more", data=np.zeros(3))
    rewritten(feature, "00001")
    faults = verify_store(store).faults
    assert [fault.kind for fault in faults] == [FaultKind.TENSORS]
    assert "holds ['embedding', 'more']" in faults[0].detail


def test_two_shards_of_one_generation_with_one_utterance(tmp_path: Path) -> None:
    """What two runs without locks, over manifests in different orders, could leave."""
    manifest = make_manifest(70)
    for place, table in (("a", manifest), ("b", build_manifest(manifest.frame.reverse(), manifest.card))):
        write_feature(tmp_path / place, VECTOR, table, embeddings(manifest, VECTOR))
    for kind in ("h5", "parquet", "json"):
        shutil.copy(tmp_path / "b" / VECTOR.folder / f"00001.{kind}", tmp_path / "a" / VECTOR.folder)
    faults = verify_store(tmp_path / "a").faults
    assert [(fault.kind, fault.shard) for fault in faults] == [(FaultKind.DUPLICATE, "00001")]
    repair_store(tmp_path / "a")
    assert verify_store(tmp_path / "a").faults == []
    feature = write_feature(tmp_path / "a", VECTOR, manifest, embeddings(manifest, VECTOR))
    assert feature.read(manifest.ids).present.all()


def test_files_that_belong_to_nothing(store: Path) -> None:
    folder = store / VECTOR.folder
    (folder / "notes.txt").write_text("mine")
    (folder / "00009.h5").write_bytes(b"")
    (folder / f".tmp-{'0' * 32}-12345678").write_bytes(b"half")
    (folder / "000001.json").write_bytes((folder / "00001.json").read_bytes())
    (store / "text" / "stray.txt").write_text("mine")
    (store / "readme.txt").write_text("the store's own folder may hold anything")
    expected = {
        str(store / "text" / "stray.txt"): "unknown",
        str(folder / "notes.txt"): "unknown",
        str(folder / "00009.h5"): "orphan",
        str(folder / f".tmp-{'0' * 32}-12345678"): "orphan",
        str(folder / "000001.json"): "record",
    }
    assert named(verify_store(store)) == expected
    report, done = repair_store(store)
    assert {fault.path.name for fault in report.faults} == {"notes.txt", "stray.txt"}
    assert len(done) == 3
    assert named(verify_store(store)) == {
        str(store / "text" / "stray.txt"): "unknown",
        str(folder / "notes.txt"): "unknown",
    }


def test_superseded_generations_are_no_fault(store: Path) -> None:
    manifest = make_manifest(130, text=lambda number: "new" if number == 50 else f"text {number}")
    write_feature(store, VECTOR, manifest, embeddings(manifest, VECTOR, seed=1))
    assert (store / VECTOR.folder / "00001.1.json").exists()
    assert verify_store(store, manifest).faults == []


def test_how_rows_fit_a_manifest_is_told_and_is_no_fault(store: Path) -> None:
    larger = make_manifest(140, text=lambda number: "new" if number == 50 else f"text {number}")
    report = verify_store(store, build_manifest(larger.frame[7:], larger.card))
    assert report.faults == []
    text = [note for note in report.notes if note.startswith(VECTOR.folder)]
    assert len(text) == 3
    assert "no row for 10 utterances" in text[0]
    assert "1 rows were made from other input" in text[1]
    assert "7 rows belong to utterances that the manifest does not have" in text[2]


def test_no_store_and_no_feature(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"no store at .*nowhere: make one with `erc extract"):
        verify_store(tmp_path / "nowhere")
    with pytest.raises(StoreError, match="holds no feature: fill it"):
        verify_store(tmp_path)


class TestWhileARunWrites:
    def test_what_it_has_in_hand_is_not_judged(self, store: Path) -> None:
        folder = store / VECTOR.folder
        (folder / f".tmp-{'0' * 32}-12345678").write_bytes(b"half")
        (folder / "00000.2.h5").write_bytes(b"renamed, its record not yet")
        for shard in (None, (1, 2)):
            with writer_lock(folder, shard):
                report = verify_store(store)
                assert report.faults == []
                assert ["a run may be writing it" in note for note in report.notes] == [True]
        assert len(verify_store(store).faults) == 2

    def test_a_damaged_shard_is_a_fault_all_the_same(self, store: Path) -> None:
        path = store / VECTOR.folder / "00000.h5"
        path.write_bytes(path.read_bytes()[:-1])
        with writer_lock(store / VECTOR.folder):
            assert named(verify_store(store)) == {str(path): "size"}

    def test_shards_that_vanish_are_passed_over(self, store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Another process clears away a shard between the listing and the reading, at each possible moment."""
        import features.store.shard_checks as checks

        for moment in ("record", "tensors_unchanged", "ledger_content", "tensors"):
            with monkeypatch.context() as patch:
                original = getattr(checks._ShardCheck, moment)

                def vanishing(self: Any, *given: Any, original: Any = original) -> Any:
                    if self.folder == VECTOR.folder and self.stem == "00001":
                        drop_shard(self.root / self.folder, self.stem)
                    return original(self, *given)

                patch.setattr(checks._ShardCheck, moment, vanishing)
                kept = {path: path.read_bytes() for path in (store / VECTOR.folder).glob("00001.*")}
                report = verify_store(store)
                assert report.faults == [], moment
                for path, content in kept.items():
                    path.write_bytes(content)

    def test_repair_waits_for_nobody(self, store: Path) -> None:
        """It goes on with the other features, and says so."""
        for spec in (VECTOR, STACK):
            path = store / spec.folder / "00001.h5"
            path.write_bytes(path.read_bytes()[:-1])
        with writer_lock(store / VECTOR.folder):
            report, done = repair_store(store)
        assert [line.partition(" (")[0] for line in report.untouched] == [
            f"{store / VECTOR.folder}: another run is writing it"
        ]
        assert [line.partition(": moved")[0] for line in done] == [f"{store / STACK.folder / '00001'}.*"]
        assert named(report) == {str(store / VECTOR.folder / "00001.h5"): "size"}
        assert not report.is_sound

    def test_verify_writes_nothing(self, store: Path) -> None:
        for lock in store.glob("*/*/.lock*"):
            lock.unlink()
        before = {path: path.stat().st_mtime_ns for path in store.rglob("*")}
        (store / VECTOR.folder / "00000.json").rename(store / VECTOR.folder / "00000.gone")
        verify_store(store)
        (store / VECTOR.folder / "00000.gone").rename(store / VECTOR.folder / "00000.json")
        after = {path: path.stat().st_mtime_ns for path in store.rglob("*") if path != store / VECTOR.folder}
        assert after == {path: time for path, time in before.items() if path != store / VECTOR.folder}


class TestRepair:
    @pytest.fixture(autouse=True)
    def sound_after(self, store: Path) -> Iterator[None]:
        yield
        assert verify_store(store).faults == []

    @pytest.mark.parametrize("kind", ["h5", "parquet", "json"])
    @pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.kind)
    def test_only_the_damaged_shard_is_made_again(self, store: Path, kind: str, spec: EncoderSpec) -> None:
        manifest = make_manifest(130)
        before = {path: path.read_bytes() for path in committed_files(store)}
        path = store / spec.folder / f"00001.{kind}"
        path.write_bytes(path.read_bytes()[:-3] + b"x\n\n")
        report, done = repair_store(store)
        assert report.faults == []
        assert len(done) == 1
        assert done[0].startswith(f"{store / spec.folder / '00001'}.*: moved to {path.parent}/.damaged/")
        assert {item for item in before if not item.exists()} == set((path.parent / "00001").parent.glob("00001.*")) | {
            path.parent / f"00001.{kind}" for kind in ("h5", "parquet", "json")
        }
        ids = pl.read_parquet(before_ledger(before, path))["utterance_id"].to_list()
        again = {key: value for key, value in embeddings(manifest, spec).items() if key in ids}
        lost = {manifest.ids[40]: UnavailableError(Reason.UNDECODABLE, "bad")}
        write_feature(store, spec, manifest, {key: value for key, value in again.items() if key not in lost}, lost)
        after = {path: path.read_bytes() for path in committed_files(store)}
        assert after.keys() == before.keys()
        rewritten_files = {path for path in before if before[path] != after[path]}
        assert rewritten_files <= {path.parent / "00001.parquet", path.parent / "00001.json"}  # the time of writing

    def test_a_damaged_newer_generation_is_redone_where_the_source_changed(self, store: Path) -> None:
        """Without generation 1 the rows of generation 0 hold again; their digests show that they are stale."""
        edited = make_manifest(130, text=lambda number: "new" if number == 50 else f"text {number}")
        new = {edited.ids[50]: np.full(4, 5, np.float32)}
        write_feature(store, VECTOR, edited, new)
        path = store / VECTOR.folder / "00001.1.h5"
        path.write_bytes(path.read_bytes()[:-1] + b"\x01")
        report, done = repair_store(store)
        assert report.faults == []
        assert "older rows of its utterances hold again" in done[0]
        feature = Feature(store, VECTOR.folder)
        assert feature.stale(edited) == [edited.ids[50]]
        feature = write_feature(store, VECTOR, edited, new)
        assert [name.stem for name in feature.names][-1] == "00001.1"
        assert feature.stale(edited) == []
        assert feature.read([edited.ids[50]]).values.tolist() == [[5.0] * 4]
        assert feature.read(edited.ids).present.sum() == 128

    def test_a_damaged_older_generation_is_redone_beside_the_newer_one(self, store: Path) -> None:
        edited = make_manifest(130, text=lambda number: "new" if number == 50 else f"text {number}")
        new = {edited.ids[50]: np.full(4, 5, np.float32)}
        write_feature(store, VECTOR, edited, new)
        (store / VECTOR.folder / "00001.h5").write_bytes(b"")
        repair_store(store)
        lost = {edited.ids[40]: UnavailableError(Reason.UNDECODABLE, "bad")}
        rest = {key: value for key, value in embeddings(edited, VECTOR).items() if key not in lost | new}
        feature = write_feature(store, VECTOR, edited, rest, lost)
        assert feature.read(edited.ids).present.sum() == 128
        assert feature.read([edited.ids[50]]).values.tolist() == [[5.0] * 4]
        np.testing.assert_array_equal(feature.read(edited.ids[41:50]).values, [rest[key] for key in edited.ids[41:50]])

    def test_a_kill_in_the_middle_leaves_orphans_only(self, store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        folder = store / VECTOR.folder
        content = (folder / "00001.h5").read_bytes()
        for steps in range(3):
            (folder / "00001.h5").write_bytes(content[:-1])
            kept = {path: path.read_bytes() for path in folder.glob("00001.*")}
            done = 0
            rename = Path.rename

            def stopping(path: Path, target: Path, steps: int = steps, rename: Any = rename) -> Path:
                nonlocal done
                if done == steps:
                    raise KeyboardInterrupt
                done += 1
                return rename(path, target)

            with monkeypatch.context() as patch:
                patch.setattr(Path, "rename", stopping)
                with pytest.raises(KeyboardInterrupt):
                    repair_store(store)
            left = verify_store(store).faults
            assert {fault.kind for fault in left} == ({FaultKind.SIZE} if steps == 0 else {FaultKind.ORPHAN})
            for path, old in kept.items():
                path.write_bytes(old)
        repair_store(store)

    def test_a_read_only_store(self, store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def read_only(path: object, *given: object) -> int:
            raise OSError(30, os.strerror(30))

        with monkeypatch.context() as patch:
            patch.setattr("features.store.lock.os.open", read_only)
            report, done = repair_store(store)
            assert done == []
            assert len(report.untouched) == 3
            assert all("cannot be written (Read-only file system)" in line for line in report.untouched)


@pytest.mark.parametrize("damage", [lambda text: text.replace("4", "5"), lambda text: text + " ", None])
def test_a_spec_is_not_repaired_but_extraction_writes_it_again(
    store: Path, damage: Callable[[str], str] | None
) -> None:
    """Shards of older versions do not say what a spec said, so repair moves nothing; the command that made it can."""
    manifest = make_manifest(130)
    without_specs(Feature(store, VECTOR.folder))
    path = store / VECTOR.folder / "spec.json"
    text = path.read_text()
    shard = path.parent / "00002.h5"
    shard.write_bytes(shard.read_bytes()[:-1])
    path.unlink()
    if damage:
        path.write_text(damage(text))
    report, done = repair_store(store)
    assert done == []
    assert {str(fault.kind) for fault in report.faults} == {"spec", "size"}
    spec = next(fault for fault in report.faults if fault.kind is FaultKind.SPEC)
    assert "move it away and run the `erc extract` that made it, or move the folder away" in spec.detail
    assert any("nothing else was moved: first its spec.json must be mended" in note for note in report.notes)
    path.unlink(missing_ok=True)
    shards = {item: item.read_bytes() for item in committed_files(store)}
    write_feature(store, VECTOR, manifest, {})
    assert path.read_text() == text
    assert {item: item.read_bytes() for item in committed_files(store) if item != path} == shards
    assert len(Store(store).choose("text", "surface").read(manifest.ids[:30]).present) == 30
    repair_store(store)
    assert verify_store(store).faults == []


def test_extraction_gives_a_lost_spec_back_and_does_nothing_twice(tmp_path: Path) -> None:
    manifest = make_manifest(40)
    extract_features(manifest, tmp_path, [HashEncoder()])
    before = {path: path.read_bytes() for path in committed_files(tmp_path)}
    encoder = HashEncoder()
    (tmp_path / encoder.spec.folder / "spec.json").unlink()
    jobs = extract_features(manifest, tmp_path, [encoder])
    assert [job.plan.left for job in jobs] == [0]
    assert encoder.batches == []
    assert {path: path.read_bytes() for path in committed_files(tmp_path)} == before


def before_ledger(before: dict[Path, bytes], path: Path) -> bytes:
    return before[path.parent / "00001.parquet"]
