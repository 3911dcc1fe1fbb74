"""A store as its readers see it: rows by id, the generation that holds, choosing a feature, what is stale."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from store_factory import make_manifest, make_spec

from features.errors import FeatureChoiceError, Reason, ShardError, StoreBusyError, StoreError, UnavailableError
from features.manifest import Manifest, build_manifest
from features.spec import EncoderSpec
from features.store import Feature, Store, write_feature
from features.store.chunks import chunk_size, cut_chunks
from features.store.commit import orphans, read_record
from features.store.lock import writer_lock


def numbered(manifest: Manifest, offset: float = 0) -> dict[str, np.ndarray]:
    return {utterance_id: np.full(3, number + offset, np.float32) for number, utterance_id in enumerate(manifest.ids)}


def edit(manifest: Manifest, row: int, text: str) -> Manifest:
    frame = manifest.frame.with_columns(
        text=pl.when(pl.int_range(pl.len()) == row).then(pl.lit(text)).otherwise(pl.col("text"))
    )
    return build_manifest(frame, manifest.card)


def test_rows_are_joined_by_id(tmp_path: Path) -> None:
    manifest = make_manifest(100)
    feature = write_feature(tmp_path, make_spec(), manifest, numbered(manifest))
    assert len(feature.names) == 3
    order = np.random.default_rng(0).permutation(100)
    rows = feature.read([manifest.ids[number] for number in order] + ["not there"])
    np.testing.assert_array_equal(rows.values[:100, 0], order)
    assert rows.present.tolist() == [True] * 100 + [False]
    assert rows.status[-1] == "absent"
    assert not rows.values[-1].any()


@pytest.mark.parametrize("kind", ["vector", "sequence"])
def test_few_shards_are_open_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: Any) -> None:
    """Each mapped file is one of the few that a process may hold open, and large stores have thousands."""
    monkeypatch.setattr("features.store.feature._SHARDS_OPEN", 2)
    manifest = make_manifest(400)
    embeddings = numbered(manifest)
    if kind == "sequence":
        embeddings = {
            key: np.repeat(value[None], index % 4, 0) for index, (key, value) in enumerate(embeddings.items())
        }
    feature = write_feature(tmp_path, make_spec(kind=kind), manifest, embeddings)
    assert len(feature.names) > 5
    ids = np.random.default_rng(0).permutation(manifest.ids).tolist()
    if kind == "vector":
        out = np.zeros((len(ids), 3), np.float32)
        assert feature.read(ids, out).values is out
        found = list(out)
    else:
        found = feature.read_sequences(ids)
    for key, value in zip(ids, found, strict=True):
        np.testing.assert_array_equal(value, embeddings[key])
    assert len(feature._shards) == 2


def test_what_is_missing_has_a_reason_and_no_row(tmp_path: Path) -> None:
    manifest = make_manifest(40)
    gone = {
        manifest.ids[3]: UnavailableError(Reason.NO_TEXT),
        manifest.ids[5]: UnavailableError(Reason.UNDECODABLE, "bad"),
    }
    available = {key: value for key, value in numbered(manifest).items() if key not in gone}
    feature = write_feature(tmp_path, make_spec(), manifest, available, gone)
    rows = feature.read(manifest.ids[:7])
    assert rows.status == ["ok", "ok", "ok", "missing", "ok", "failed", "ok"]
    assert rows.reason[3] == "no-text"
    assert feature.coverage([*manifest.ids, "x"]) == {
        "ok": 38,
        "missing": {"no-text": 1},
        "failed": {"undecodable": 1},
        "absent": 1,
    }
    ledger = feature.ledger()
    assert ledger.filter(pl.col("status") != "ok")["row"].null_count() == 2
    assert ledger.filter(pl.col("reason") == "undecodable")["detail"].item() == "bad"


def test_an_edit_is_stale_and_is_redone_in_a_new_generation(tmp_path: Path) -> None:
    manifest = make_manifest(100)
    write_feature(tmp_path, make_spec(), manifest, numbered(manifest))
    before = {path.name: path.read_bytes() for path in (tmp_path / make_spec().folder).iterdir()}
    edited = edit(manifest, 50, "new text")
    feature = Store(tmp_path).choose("text", "surface")
    assert feature.stale(manifest) == []
    assert feature.stale(edited) == [manifest.ids[50]]
    feature = write_feature(tmp_path, make_spec(), edited, {manifest.ids[50]: np.full(3, -1, np.float32)})
    assert [name.stem for name in feature.names] == ["00000", "00001", "00002", "00001.1"]
    assert feature.stale(edited) == []
    values = feature.read(manifest.ids).values[:, 0]
    assert values[50] == -1
    assert (np.delete(values, 50) == np.delete(np.arange(100), 50)).all()
    for name, content in before.items():
        assert (tmp_path / make_spec().folder / name).read_bytes() == content, f"{name} was rewritten"


def test_the_highest_generation_holds_even_when_it_failed(tmp_path: Path) -> None:
    manifest = make_manifest(40)
    write_feature(tmp_path, make_spec(), manifest, numbered(manifest))
    edited = edit(manifest, 7, "other")
    error = {manifest.ids[7]: UnavailableError(Reason.NON_FINITE)}
    feature = write_feature(tmp_path, make_spec(), edited, {}, error)
    assert feature.read(manifest.ids[6:9]).status == ["ok", "failed", "ok"]


def test_a_grown_or_reordered_manifest_does_nothing_twice(tmp_path: Path) -> None:
    small = make_manifest(70)
    write_feature(tmp_path, make_spec(), small, numbered(small))
    grown = make_manifest(140)
    new = {key: value for key, value in numbered(grown).items() if key not in small.positions}
    feature = write_feature(tmp_path, make_spec(), grown, new)
    np.testing.assert_array_equal(feature.read(grown.ids).values[:, 0], np.arange(140))
    dialogues = [dialogue.dialogue_id for dialogue in grown.dialogues()]
    order = {dialogue_id: -number for number, dialogue_id in enumerate(dialogues)}
    frame = grown.frame.sort(pl.col("dialogue_id").replace_strict(order, return_dtype=pl.Int64), "turn")
    reordered = build_manifest(frame, grown.card)
    assert reordered.ids != grown.ids
    count = len(feature.names)
    feature = write_feature(tmp_path, make_spec(), reordered, {})
    assert len(feature.names) == count


@pytest.mark.parametrize(("total", "size"), [(1, 32), (2048, 32), (13708, 214), (65536, 1024), (1_000_000, 1024)])
def test_chunk_size(total: int, size: int) -> None:
    assert chunk_size(total) == size
    assert chunk_size(total, waveform=True) == min(size, 64)


def test_chunks_are_whole_dialogues() -> None:
    lengths = [5, 40, 1, 1, 33, 2]
    stops = list(itertools.accumulate(lengths))
    bounds = list(zip([0, *stops], stops, strict=False))
    assert cut_chunks(bounds, 32) == [(0, 45), (45, 80), (80, 82)]
    assert cut_chunks([], 32) == []


class TestChoosing:
    def write(self, root: Path, **changes: object) -> EncoderSpec:
        spec = make_spec(**changes)
        manifest = make_manifest(3)
        write_feature(root, spec, manifest, numbered(manifest))
        return spec

    def test_one_by_name_fingerprint_or_fields(self, tmp_path: Path) -> None:
        one = self.write(tmp_path, settings={"layers": "-1"}, model="a")
        two = self.write(tmp_path, settings={"layers": "-2"}, model="b")
        store = Store(tmp_path)
        with pytest.raises(FeatureChoiceError, match=r"matches 2 features .*choose one of surface@.*surface@"):
            store.choose("text", "surface")
        assert store.choose("text", f"surface@{one.fingerprint[:6]}").spec == one
        assert store.choose("text", {"encoder": "surface", "model": "b"}).spec == two
        assert store.choose("text", {"layers": "-1"}).spec == one

    def test_an_alias_is_a_name_of_its_own(self, tmp_path: Path) -> None:
        self.write(tmp_path)
        alias = self.write(tmp_path, settings={"seconds": 2}, alias="surface-2s")
        assert Store(tmp_path).choose("text", "surface-2s").spec == alias
        assert Store(tmp_path).choose("text", "surface").spec.alias is None

    def test_errors_name_the_mend(self, tmp_path: Path) -> None:
        self.write(tmp_path)
        with pytest.raises(FeatureChoiceError, match="did you mean 'surface'"):
            Store(tmp_path).choose("text", "surfaces")
        with pytest.raises(FeatureChoiceError, match="erc extract --modality audio --encoder logmel"):
            Store(tmp_path).choose("audio", "logmel")
        with pytest.raises(StoreError, match=r"no store at .*erc extract"):
            Store(tmp_path / "none")


def test_a_changed_spec_or_record_is_refused(tmp_path: Path) -> None:
    manifest = make_manifest(3)
    folder = tmp_path / write_feature(tmp_path, make_spec(), manifest, numbered(manifest)).folder
    record = folder / "00000.json"
    record.write_text(record.read_text().replace('"ok": 3', '"ok": 2'))
    with pytest.raises(ShardError, match="changed or damaged"):
        read_record(record)
    spec = folder / "spec.json"
    spec.write_text(spec.read_text().replace('"version": 1', '"version": 2'))
    with pytest.raises(StoreError, match="changed or damaged"):
        Feature(tmp_path, make_spec().folder)


def test_orphans_are_not_read_and_are_cleared(tmp_path: Path) -> None:
    manifest = make_manifest(40)
    feature = write_feature(tmp_path, make_spec(), manifest, numbered(manifest))
    (feature.path / "00000.json").unlink()  # as if the kill came before the commit
    (feature.path / f".tmp-{'0' * 32}-1").write_bytes(b"half")
    assert Feature(tmp_path, feature.folder).read(manifest.ids[:1]).status == ["absent"]
    assert len(list(orphans(feature.path))) == 3
    again = write_feature(tmp_path, make_spec(), manifest, numbered(manifest, offset=1))
    assert list(orphans(feature.path)) == []
    assert again.read(manifest.ids[:2]).values[:, 0].tolist() == [1, 2]


def test_a_commit_that_fails_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    manifest = make_manifest(3)

    def full(*args: object, **kwargs: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("features.store.write.ledger_bytes", full)
    with pytest.raises(StoreError, match=r"cannot be written \(No space left on device\): make space"):
        write_feature(tmp_path, make_spec(), manifest, numbered(manifest))
    assert sorted(path.name for path in (tmp_path / make_spec().folder).iterdir()) == [".lock", "spec.json"]


def test_two_writers(tmp_path: Path) -> None:
    manifest = make_manifest(3)
    folder = write_feature(tmp_path, make_spec(), manifest, numbered(manifest)).path
    with writer_lock(folder):
        with (
            pytest.raises(StoreBusyError, match=r"another run is writing it \(host .*, pid \d+\)"),
            writer_lock(folder),
        ):
            pass
        with pytest.raises(StoreBusyError, match="another run is writing"), writer_lock(folder, (1, 2)):
            pass
    with writer_lock(folder, (1, 2)), writer_lock(folder, (2, 2)):
        with pytest.raises(StoreBusyError, match="another run is writing"), writer_lock(folder, (2, 2)):
            pass
        with pytest.raises(StoreBusyError, match="another run is writing"), writer_lock(folder):
            pass


def test_a_local_copy_of_a_model_continues_the_feature(tmp_path: Path) -> None:
    """Where the weights came from is recorded, not hashed: the first writer's word stays."""
    manifest, grown = make_manifest(3), make_manifest(5)
    write_feature(tmp_path, make_spec(model="hub/model"), manifest, numbered(manifest))
    feature = write_feature(tmp_path, make_spec(model="/a/local/copy"), grown, numbered(grown))
    assert feature.read(grown.ids).present.all()
    assert feature.spec.model == "hub/model"


def test_two_features_whose_fingerprints_begin_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    manifest = make_manifest(3)
    with monkeypatch.context() as patch:
        patch.setattr(EncoderSpec, "folder", "text/surface-00000000")
        write_feature(tmp_path, make_spec(), manifest, numbered(manifest))
        with pytest.raises(StoreError, match="another feature whose fingerprint begins so: give it --as NAME"):
            write_feature(tmp_path, make_spec(version=2), manifest, numbered(manifest))


def test_a_taken_name_is_never_replaced(tmp_path: Path) -> None:
    """Two writers without a working lock: the second gives way to a name that is taken."""
    manifest = make_manifest(3)
    folder = tmp_path / make_spec().folder
    folder.mkdir(parents=True)
    (folder / "00000.h5").write_bytes(b"another writer's, not yet committed")
    from features.store.write import FeatureWriter

    (folder / "spec.json").write_text(make_spec().to_json())
    from features.store.ledger import LedgerRow

    rows = [LedgerRow(utterance_id, "digest") for utterance_id in manifest.ids]
    FeatureWriter(tmp_path, make_spec()).commit(0, rows, numbered(manifest))
    assert (folder / "00000.h5").read_bytes() == b"another writer's, not yet committed"
    assert Feature(tmp_path, make_spec().folder).read(manifest.ids).present.all()
