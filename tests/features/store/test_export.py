"""Exports: other tools read the very numbers, by id; what is missing is null or left out, never zeros."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import duckdb
import h5py
import numpy as np
import polars as pl
import pyarrow.parquet as pq
import pytest
from store_factory import make_manifest, make_spec

from features.errors import Reason, StaleFeaturesError, StoreError, UnavailableError, UsageError
from features.manifest import Manifest, build_manifest
from features.spec import EncoderSpec
from features.store import Feature, write_feature
from features.store.export import export_feature
from features.store.export_verify import verify_export
from features.store.stream import RowStream

SPECS = {
    "vector": make_spec(shape=(4,)),
    "stack": make_spec(encoder="layers", kind="stack", shape=(2, 3)),
    "half": make_spec(encoder="half", shape=(4,), stored_dtype="float16"),
    "sequence": make_spec(encoder="tokens", kind="sequence", shape=(5,)),
    "waveform": make_spec(encoder="waveform", kind="sequence", shape=(), stored_dtype="float16"),
}
LABELS = {"label": lambda number: "joy" if number % 2 else None}


def embeddings(manifest: Manifest, spec: EncoderSpec) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    shapes = {
        key: (number % 4, *spec.shape) if spec.kind == "sequence" else spec.shape
        for number, key in enumerate(manifest.ids)
    }
    return {key: rng.standard_normal(shape).astype(spec.stored_dtype) for key, shape in shapes.items()}


def make_feature(root: Path, spec: EncoderSpec) -> tuple[Feature, dict[str, np.ndarray]]:
    """70 utterances in two shards, without the second and the 51st; and the embeddings of the others."""
    manifest = make_manifest(70, **LABELS)
    gone = {
        manifest.ids[1]: UnavailableError(Reason.NO_TEXT),
        manifest.ids[50]: UnavailableError(Reason.NON_FINITE),
    }
    made = embeddings(manifest, spec)
    feature = write_feature(root, spec, manifest, made, gone)
    return feature, {key: value for key, value in made.items() if key not in gone}


@pytest.fixture(params=list(SPECS))
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def assert_same(found: dict[str, Any], expected: dict[str, np.ndarray], spec: EncoderSpec) -> None:
    assert found.keys() == expected.keys()
    for key, value in expected.items():
        got = np.array(found[key], dtype=spec.stored_dtype).reshape(-1, *spec.shape)
        np.testing.assert_array_equal(got, value.reshape(-1, *spec.shape))


class TestParquet:
    def export(self, tmp_path: Path, kind: str) -> tuple[Path, dict[str, np.ndarray], EncoderSpec]:
        feature, expected = make_feature(tmp_path / "store", SPECS[kind])
        path = tmp_path / "out.parquet"
        done = export_feature(feature, path, "parquet")
        assert (done.utterances, done.ok, done.num_bytes) == (70, 68, path.stat().st_size)
        return path, expected, SPECS[kind]

    def test_polars(self, tmp_path: Path, kind: str) -> None:
        path, expected, spec = self.export(tmp_path, kind)
        frame = pl.read_parquet(path)
        assert frame.columns == ["utterance_id", "status", "reason", "crc32", "embedding"]
        assert frame.schema["crc32"] == pl.UInt32()
        inner = pl.Float16() if spec.stored_dtype == "float16" else pl.Float32()
        array = pl.Array(inner, spec.shape) if spec.shape else inner
        assert frame.schema["embedding"] == (pl.List(array) if spec.kind == "sequence" else array)
        ok = frame.filter(pl.col("status") == "ok")
        found = dict(zip(ok["utterance_id"], ok["embedding"].to_list(), strict=True))
        assert_same(found, expected, spec)
        without = frame.filter(pl.col("embedding").is_null())
        assert sorted(without.select("status", "reason").iter_rows()) == [
            ("failed", "non-finite"),
            ("missing", "no-text"),
        ]

    def test_duckdb(self, tmp_path: Path, kind: str) -> None:
        path, expected, spec = self.export(tmp_path, kind)
        query = "SELECT utterance_id, embedding FROM read_parquet(?) WHERE embedding IS NOT NULL"
        assert_same(dict(duckdb.execute(query, [str(path)]).fetchall()), expected, spec)
        count = "SELECT count(*) FROM read_parquet(?) WHERE embedding IS NULL AND status <> 'ok'"
        assert duckdb.execute(count, [str(path)]).fetchone() == (2,)

    def test_the_spec_goes_with_it(self, tmp_path: Path, kind: str) -> None:
        path, _, spec = self.export(tmp_path, kind)
        metadata = pq.read_schema(path).metadata
        assert EncoderSpec.from_json(metadata[b"erc.spec"].decode()) == spec


def test_hugging_face_datasets(tmp_path: Path) -> None:
    import datasets

    for kind, spec in SPECS.items():
        feature, expected = make_feature(tmp_path / "store", spec)
        export_feature(feature, tmp_path / f"{kind}.parquet", "parquet")
        loaded = datasets.Dataset.from_parquet(str(tmp_path / f"{kind}.parquet"), cache_dir=str(tmp_path / "cache"))
        found = {row["utterance_id"]: row["embedding"] for row in loaded if row["status"] == "ok"}
        assert_same(found, expected, spec)
        assert [row["embedding"] for row in loaded if row["status"] != "ok"] == [None, None]
        if kind == "vector":
            assert loaded.features["embedding"].length == 4


def test_one_hdf5_file(tmp_path: Path, kind: str) -> None:
    spec = SPECS[kind]
    feature, expected = make_feature(tmp_path / "store", spec)
    done = export_feature(feature, tmp_path / "out.h5", "hdf5")
    assert (done.utterances, done.ok) == (70, 68)
    with h5py.File(tmp_path / "out.h5") as file:
        ids = file["utterance_id"].asstr()[:].tolist()
        if spec.kind == "sequence":
            assert file["values"].dtype == spec.stored_dtype
            values, offsets = file["values"][:], file["offsets"][:]
            rows = [values[start:stop] for start, stop in pairwise(offsets)]
        else:
            assert file["embedding"].dtype == spec.stored_dtype
            rows = list(file["embedding"][:])
        assert_same(dict(zip(ids, rows, strict=True)), expected, spec)
        assert sorted(file["left_out/reason"].asstr()[:].tolist()) == ["no-text", "non-finite"]
        assert EncoderSpec.from_json(file.attrs["spec"]) == spec
        assert file.attrs["fingerprint"] == spec.fingerprint


def test_npy(tmp_path: Path, kind: str) -> None:
    spec = SPECS[kind]
    feature, expected = make_feature(tmp_path / "store", spec)
    out = tmp_path / "out"
    done = export_feature(feature, out, "npy")
    assert done.num_bytes == sum(path.stat().st_size for path in out.iterdir())
    ids = json.loads((out / "ids.json").read_text())
    if spec.kind == "sequence":
        values, offsets = np.load(out / "values.npy", mmap_mode="r"), np.load(out / "offsets.npy")
        rows = [values[start:stop] for start, stop in pairwise(offsets)]
    else:
        rows = list(np.load(out / "embedding.npy", mmap_mode="r"))
    assert rows[0].dtype == spec.stored_dtype
    assert_same(dict(zip(ids, rows, strict=True)), expected, spec)
    table = pl.read_parquet(out / "utterances.parquet")
    assert table.height == 70
    assert table.filter(pl.col("row").is_not_null()).sort("row")["utterance_id"].to_list() == ids
    assert table.filter(pl.col("row").is_null())["reason"].to_list() == ["no-text", "non-finite"]
    assert EncoderSpec.from_json((out / "spec.json").read_text()) == spec


@pytest.mark.parametrize("file_format", ["parquet", "hdf5", "npy"])
def test_a_manifest_gives_the_order_and_its_columns(tmp_path: Path, file_format: str) -> None:
    """Another order than the store's, fewer utterances, and some that were never extracted."""
    feature, made = make_feature(tmp_path / "store", SPECS["vector"])
    larger = make_manifest(84, **LABELS)
    frame = larger.frame.with_columns(pl.col("dialogue_id").str.extract(r"(\d+)$").cast(pl.Int64).alias("key"))
    manifest = build_manifest(frame.sort("key", "turn", descending=[True, False]).drop("key")[:-7], larger.card)
    out = tmp_path / "out"
    done = export_feature(feature, out, file_format, manifest=manifest)
    expected = [key for key in manifest.ids if key in made]
    assert (done.utterances, done.ok) == (77, len(expected))
    speakers = dict(manifest.frame.select("utterance_id", "speaker").iter_rows())
    if file_format == "parquet":
        table = pl.read_parquet(out)
        assert table["utterance_id"].to_list() == manifest.ids
        of_manifest = ["split", "dialogue_id", "turn", "speaker", "label", "text", "sentiment", "duration", "group"]
        assert table.columns == ["utterance_id", "status", "reason", *of_manifest, "crc32", "embedding"]
        for name in of_manifest:
            assert table[name].to_list() == manifest.frame[name].to_list()
        assert table.filter(pl.col("status") == "absent").height == 14
        ok = table.filter(pl.col("status") == "ok")
        found = dict(zip(ok["utterance_id"], ok["embedding"].to_list(), strict=True))
    elif file_format == "hdf5":
        with h5py.File(out) as file:
            ids = file["utterance_id"].asstr()[:].tolist()
            found = dict(zip(ids, file["embedding"][:], strict=True))
            assert file["manifest/speaker"].asstr()[:].tolist() == [speakers[key] for key in ids]
            assert file["manifest/turn"].dtype == np.int64
            assert file["left_out/status"].asstr()[:].tolist().count("absent") == 14
    else:
        ids = json.loads((out / "ids.json").read_text())
        found = dict(zip(ids, np.load(out / "embedding.npy"), strict=True))
        assert pl.read_parquet(out / "utterances.parquet")["speaker"].to_list() == manifest.frame["speaker"].to_list()
    assert list(found) == expected
    assert_same(found, {key: made[key] for key in expected}, SPECS["vector"])


@pytest.mark.parametrize("file_format", ["parquet", "hdf5", "npy"])
def test_texts_sentiments_seconds_and_groups_of_the_manifest(tmp_path: Path, file_format: str) -> None:
    columns: dict[str, Any] = {
        "sentiment": lambda number: "positive" if number % 3 else None,
        "duration": lambda number: number / 8 if number % 4 else None,
        "group": lambda number: f"film {number}" if number % 5 else None,
    }
    manifest = make_manifest(70, **LABELS, **columns)
    feature = write_feature(tmp_path / "store", SPECS["vector"], manifest, embeddings(manifest, SPECS["vector"]))
    out = tmp_path / "out"
    export_feature(feature, out, file_format, manifest=manifest)
    expected = {name: manifest.frame[name].to_list() for name in ("text", "sentiment", "duration", "group")}
    if file_format == "hdf5":
        with h5py.File(out) as file:
            seconds = file["manifest/duration"][:]
            assert seconds.dtype == np.float64
            found = {"duration": [None if np.isnan(value) else value for value in seconds]}
            for name in ("text", "sentiment", "group"):
                found[name] = [value or None for value in file[f"manifest/{name}"].asstr()[:].tolist()]
    else:
        table = pl.read_parquet(out if file_format == "parquet" else out / "utterances.parquet")
        found = {name: table[name].to_list() for name in expected}
    assert found == expected
    assert verify_export(out).faults == []


def test_an_export_of_before_still_verifies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its columns of the manifest were five."""
    feature, _ = make_feature(tmp_path / "store", SPECS["vector"])
    before = ("split", "dialogue_id", "turn", "speaker", "label")
    for file_format in ("parquet", "hdf5", "npy"):
        with monkeypatch.context() as patch:
            patch.setattr("features.store.stream.MANIFEST_COLUMNS", before)
            export_feature(feature, tmp_path / file_format, file_format, manifest=make_manifest(70, **LABELS))
        report = verify_export(tmp_path / file_format)
        assert (report.faults, report.ok) == ([], 68)
    assert "text" not in pl.read_parquet(tmp_path / "parquet").columns


@pytest.mark.parametrize("kind", ["vector", "sequence"])
def test_blocks_are_small_and_hold_every_row_once(tmp_path: Path, kind: str) -> None:
    feature, made = make_feature(tmp_path / "store", SPECS[kind])
    stream = RowStream(feature)
    blocks = list(stream.blocks(block_bytes=100))
    assert len(blocks) > 10
    ids = [key for block in blocks for key in block.table["utterance_id"]]
    assert ids == make_manifest(70).ids
    values = [value for block in blocks for value in block.values]
    assert_same({key: value for key, value in zip(ids, values, strict=True) if value is not None}, made, SPECS[kind])
    for block in blocks:
        size = sum(value.nbytes for value in block.values if value is not None)
        assert size <= 100 or len(block.values) == 1


def test_the_generation_that_holds_is_exported(tmp_path: Path) -> None:
    _, made = make_feature(tmp_path, SPECS["vector"])
    edited = make_manifest(70, text=lambda number: "new" if number == 5 else f"text {number}")
    new = {edited.ids[5]: np.full(4, 9, np.float32)}
    feature = write_feature(tmp_path, SPECS["vector"], edited, new)
    export_feature(feature, tmp_path / "out", "npy")
    ids = json.loads((tmp_path / "out" / "ids.json").read_text())
    assert len(ids) == len(set(ids)) == 68
    assert_same(dict(zip(ids, np.load(tmp_path / "out" / "embedding.npy"), strict=True)), made | new, SPECS["vector"])


def test_stale_rows_are_refused(tmp_path: Path) -> None:
    feature, _ = make_feature(tmp_path / "store", SPECS["vector"])
    edited = make_manifest(70, text=lambda number: "new" if number == 5 else f"text {number}")
    with pytest.raises(StaleFeaturesError, match=r"1 rows were made from other input .*first toy/train/dia0_utt5"):
        export_feature(feature, tmp_path / "out", "npy", manifest=edited)
    assert not (tmp_path / "out").exists()
    assert export_feature(feature, tmp_path / "out", "npy", manifest=edited, allow_stale=True).ok == 68


def test_a_feature_without_any_row(tmp_path: Path, kind: str) -> None:
    manifest, spec = make_manifest(3), SPECS[kind]
    gone = {key: UnavailableError(Reason.NO_TEXT) for key in manifest.ids}
    feature = write_feature(tmp_path / "store", spec, manifest, {}, gone)
    for file_format in ("parquet", "hdf5", "npy"):
        assert export_feature(feature, tmp_path / file_format, file_format).ok == 0
    assert pl.read_parquet(tmp_path / "parquet")["embedding"].null_count() == 3
    with h5py.File(tmp_path / "hdf5") as file:
        assert file["left_out/utterance_id"].shape == (3,)


class TestTargets:
    @pytest.fixture
    def feature(self, tmp_path: Path) -> Feature:
        return make_feature(tmp_path / "store", SPECS["vector"])[0]

    @pytest.mark.parametrize("file_format", ["parquet", "hdf5", "npy"])
    def test_nothing_is_replaced_unasked(self, tmp_path: Path, feature: Feature, file_format: str) -> None:
        out = tmp_path / "out"
        export_feature(feature, out, file_format)
        before = {path: path.stat().st_ino for path in [out, *tmp_path.glob("out/*"), *tmp_path.glob("out.*")]}
        assert len(before) == (7 if file_format == "npy" else 2)
        with pytest.raises(UsageError, match="out exists: give --overwrite, or another --to"):
            export_feature(feature, out, file_format)
        assert {path: path.stat().st_ino for path in before} == before
        export_feature(feature, out, file_format, overwrite=True)
        assert out.stat().st_ino != before[out]
        beside = [] if file_format == "npy" else ["out.sha256"]
        assert sorted(path.name for path in tmp_path.iterdir()) == ["out", *beside, "store"]

    def test_what_is_no_export_is_not_replaced(self, tmp_path: Path, feature: Feature) -> None:
        out = tmp_path / "out"
        out.mkdir()
        (out / "thesis.tex").write_text("years of work")
        with pytest.raises(UsageError, match=r"holds 'thesis.tex', which is not of an export"):
            export_feature(feature, out, "npy", overwrite=True)
        with pytest.raises(UsageError, match="out is a folder, and parquet writes a file"):
            export_feature(feature, out, "parquet", overwrite=True)
        with pytest.raises(UsageError, match="no format 'csv': choose one of parquet, hdf5, npy"):
            export_feature(feature, out, "csv")
        assert (out / "thesis.tex").exists()

    @pytest.mark.parametrize("file_format", ["parquet", "hdf5", "npy"])
    def test_an_export_that_fails_leaves_nothing_and_keeps_the_older_one(
        self, tmp_path: Path, feature: Feature, file_format: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        out = tmp_path / "out"
        original = RowStream.blocks

        def full(self: RowStream, *given: Any) -> Any:
            yield next(original(self, 400))
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        for older in (False, True):
            if older:
                export_feature(feature, out, file_format)
            before = {path: path.stat().st_ino for path in tmp_path.rglob("*")}
            with monkeypatch.context() as patch:
                patch.setattr(RowStream, "blocks", full)
                with pytest.raises(StoreError, match=r"cannot be written \(No space left on device\): make space"):
                    export_feature(feature, out, file_format, overwrite=older)
            assert {path: path.stat().st_ino for path in tmp_path.rglob("*")} == before


_MEMORY = """
import sys
from itertools import pairwise
from pathlib import Path
from features.store import Store
from features.store.export import export_feature
from features.store.export_verify import verify_export
def peak():
    return int(next(line for line in open("/proc/self/status") if line.startswith("VmHWM")).split()[1]) * 1024
import pyarrow.parquet, features.store.export_arrays, features.store.export_parquet
feature = Store(sys.argv[1]).features()[0]
feature.ledger()
before = peak()
export_feature(feature, Path(sys.argv[2]), sys.argv[3])
print(peak() - before)
"""


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """250 MB in 29 shards."""
    root = tmp_path_factory.mktemp("large")
    manifest, spec = make_manifest(1000), make_spec(shape=(62_500,))
    vector = np.random.default_rng(0).standard_normal(62_500, dtype=np.float32)
    write_feature(root, spec, manifest, dict.fromkeys(manifest.ids, vector))
    return root


@pytest.mark.parametrize("file_format", ["parquet", "hdf5", "npy"])
def test_memory_is_bounded(large: Path, tmp_path: Path, file_format: str) -> None:
    given = [str(large), str(tmp_path / "out"), file_format]
    done = subprocess.run([sys.executable, "-c", _MEMORY, *given], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) < 1000 * 250_000 * 0.7
