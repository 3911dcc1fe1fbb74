"""What is imported is a feature like any other: its own bits, its ledger, its fingerprint."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from foreign_factory import cosmic, meld, vectors, write_pickle
from store_factory import HashEncoder, make_spec

from features.errors import Reason, StaleFeaturesError, UnavailableError, UsageError
from features.extract import extract_features
from features.imports.store_import import Imported, ImportRequest, Prepared, check_name, prepare_import, write_import
from features.loaded import load
from features.manifest import Manifest, build_manifest, write_manifest
from features.spec import EncoderSpec
from features.store import Feature, Store, write_feature
from features.store.export import export_feature
from features.store.plan import make_plan, manifest_chunks
from features.store.verify import verify_store

MANIFEST = meld()
VALUES = vectors(MANIFEST)
AUDIO = ImportRequest("audio", "hubert")


def folder(path: Path, values: dict[str, np.ndarray]) -> Path:
    path.mkdir(parents=True, exist_ok=True)
    for name, value in values.items():
        np.save(path / f"{name.partition('/')[2].replace('/', '_')}.npy", value)
    return path


def bring(
    source: Path, store: Path, request: ImportRequest = AUDIO, manifest: Manifest = MANIFEST
) -> tuple[Prepared, Imported]:
    prepared = prepare_import(source, request, manifest)
    return prepared, write_import(prepared, store)


def stored(feature: Feature, ids: list[str]) -> list[np.ndarray | None]:
    """The very bits."""
    if feature.spec.kind == "sequence":
        return feature.read_sequences(ids)
    rows = feature.read(ids)
    return [
        row.astype(feature.spec.stored_dtype) if there else None
        for row, there in zip(rows.values, rows.present, strict=True)
    ]


def assert_same(found: list[np.ndarray | None], expected: list[np.ndarray | None]) -> None:
    assert [value is None for value in found] == [value is None for value in expected]
    for one, other in zip(found, expected, strict=True):
        if one is not None and other is not None:
            assert (one.dtype, one.shape, one.tobytes()) == (other.dtype, other.shape, other.tobytes())


KINDS: dict[str, EncoderSpec] = {
    "vector": make_spec(shape=(6,)),
    "half": make_spec(shape=(6,), stored_dtype="float16"),
    "stack": make_spec(kind="stack", shape=(3, 6)),
    "sequence": make_spec(kind="sequence", shape=(6,), stored_dtype="float16"),
    "samples": make_spec(kind="sequence", shape=(), modality="audio"),
    "one": make_spec(kind="sequence", shape=(6,)),  # each of one element, which elsewhere would be a vector
}


def of_kind(spec: EncoderSpec, name: str) -> dict[str, np.ndarray]:
    generator = np.random.default_rng(11)
    lengths = [1 if name == "one" else 1 + place % 5 for place in range(len(MANIFEST))]
    shapes = [(length, *spec.shape) if spec.kind == "sequence" else spec.shape for length in lengths]
    return {
        key: generator.normal(size=shape).astype(spec.stored_dtype)
        for key, shape in zip(MANIFEST.ids, shapes, strict=True)
    }


@pytest.mark.parametrize("with_manifest", [False, True])
@pytest.mark.parametrize("file_format", ["parquet", "hdf5", "npy"])
@pytest.mark.parametrize("kind", list(KINDS))
def test_export_and_import_are_bit_equal(kind: str, file_format: str, with_manifest: bool, tmp_path: Path) -> None:
    spec = KINDS[kind]
    gone = {MANIFEST.ids[7]: UnavailableError(Reason.NO_TEXT), MANIFEST.ids[9]: UnavailableError(Reason.TIMED_OUT)}
    feature = write_feature(tmp_path / "store", spec, MANIFEST, of_kind(spec, kind), gone)
    out = tmp_path / f"exported.{file_format}"
    export_feature(feature, out, file_format, manifest=MANIFEST if with_manifest else None)
    prepared, done = bring(out, tmp_path / "other", ImportRequest(spec.modality, "theirs"))
    found = Feature(tmp_path / "other", prepared.spec.folder)
    assert (found.spec.kind, found.spec.shape, found.spec.stored_dtype) == (spec.kind, spec.shape, spec.stored_dtype)
    assert_same(stored(found, MANIFEST.ids), stored(feature, MANIFEST.ids))
    assert done.written == {"ok": 38, "not-in-import": 2}
    assert found.spec.settings["exported_from"] == spec.fingerprint
    detail = dict(found.ledger(["detail"]).select("utterance_id", "detail").iter_rows())[MANIFEST.ids[7]]
    if file_format == "parquet":
        assert detail == "exported.parquet says that there is none: no-text"
    assert verify_store(tmp_path / "other").is_sound
    again = tmp_path / f"again.{file_format}"
    export_feature(found, again, file_format, manifest=MANIFEST if with_manifest else None)
    prepared, _ = bring(again, tmp_path / "third", ImportRequest(spec.modality, "theirs"))
    assert_same(stored(Feature(tmp_path / "third", prepared.spec.folder), MANIFEST.ids), stored(feature, MANIFEST.ids))


def test_an_export_with_a_flipped_bit_is_refused(tmp_path: Path) -> None:
    feature = write_feature(tmp_path / "store", KINDS["vector"], MANIFEST, VALUES)
    export_feature(feature, tmp_path / "out", "npy")
    data = bytearray((tmp_path / "out" / "embedding.npy").read_bytes())
    data[-1] ^= 1
    (tmp_path / "out" / "embedding.npy").write_bytes(data)
    with pytest.raises(UsageError, match="meld/test/dia2_utt5 has other bytes than were exported"):
        bring(tmp_path / "out", tmp_path / "other")


def test_the_spec_says_where_it_came_from(tmp_path: Path) -> None:
    source = folder(tmp_path / "hubert-UTT", VALUES)
    asked = dataclasses.replace(AUDIO, model="facebook/hubert-base", note="mean of layer 9")
    prepared, done = bring(source, tmp_path / "store", asked)
    spec = Feature(tmp_path / "store", prepared.spec.folder).spec
    assert (spec.encoder, spec.weights, spec.name, spec.model) == (
        "imported",
        "foreign",
        "hubert",
        "facebook/hubert-base",
    )
    assert spec.settings == {
        "source": "hubert-UTT",
        "source_format": "npy",
        "source_sha256": prepared.spec.settings["source_sha256"],
        "source_dtype": "float32",
        "id_rule": "{split}_{key}",
        "made_with": "facebook/hubert-base",
        "note": "mean of layer 9",
    }
    assert str(tmp_path) not in spec.to_json()
    assert EncoderSpec.from_json(spec.to_json()) == spec
    assert (done.written, done.kept) == ({"ok": 40}, 0)
    assert_same(stored(Feature(tmp_path / "store", spec.folder), MANIFEST.ids), list(VALUES.values()))


def test_the_same_file_again_is_nothing_and_another_is_another(tmp_path: Path) -> None:
    source, store = folder(tmp_path / "x", VALUES), tmp_path / "store"
    first, _ = bring(source, store)
    before = {path: path.stat().st_mtime_ns for path in store.rglob("*") if path.is_file() and path.name != ".lock"}
    again, done = bring(source, store)
    assert (again.spec, done.written, done.kept) == (first.spec, {}, 40)
    assert {
        path: path.stat().st_mtime_ns for path in store.rglob("*") if path.is_file() and path.name != ".lock"
    } == before
    np.save(source / "train_dia0_utt0.npy", VALUES[MANIFEST.ids[0]] + 1)
    other, done = bring(source, store)
    assert other.spec.fingerprint != first.spec.fingerprint
    assert done.written == {"ok": 40}
    assert len(Store(store).features()) == 2
    assert_same(stored(Feature(store, first.spec.folder), MANIFEST.ids), list(VALUES.values()))


def test_what_has_no_vector_and_what_is_not_finite(tmp_path: Path) -> None:
    values = {name: value.copy() for name, value in VALUES.items()}
    del values[MANIFEST.ids[4]]
    values[MANIFEST.ids[5]][2] = np.nan
    values[MANIFEST.ids[6]][0] = -np.inf
    prepared, done = bring(folder(tmp_path / "x", values), tmp_path / "store")
    assert done.written == {"ok": 37, "not-in-import": 1, "non-finite": 2}
    assert prepared.without == [MANIFEST.ids[4]]
    ledger = Feature(tmp_path / "store", prepared.spec.folder).ledger().filter(pl.col("status") != "ok")
    assert ledger.select("utterance_id", "status", "reason", "detail").rows() == [
        (MANIFEST.ids[4], "missing", "not-in-import", "no id of x fits it by {split}_{key}"),
        (MANIFEST.ids[5], "failed", "non-finite", "the imported file has NaN or infinity"),
        (MANIFEST.ids[6], "failed", "non-finite", "the imported file has NaN or infinity"),
    ]
    assert bring(tmp_path / "x", tmp_path / "store")[1].written == {}


def test_the_conv_emotion_layers_are_features_of_their_own(tmp_path: Path) -> None:
    source = write_pickle(tmp_path / "x.pkl", cosmic(MANIFEST, VALUES))
    for times in (1, 2):
        request = ImportRequest("text", f"cosmic-roberta{times}", field=f"roberta{times}")
        prepared, _ = bring(source, tmp_path / "store", request)
        found = stored(Feature(tmp_path / "store", prepared.spec.folder), MANIFEST.ids)
        assert_same(found, [value * times for value in VALUES.values()])


@pytest.mark.parametrize(("modality", "column"), [("text", "text"), ("audio", "media")])
def test_an_edit_is_told_and_importing_again_keeps_the_rows(modality: Any, column: str, tmp_path: Path) -> None:
    source, store = folder(tmp_path / "x", VALUES), tmp_path / "store"
    request = ImportRequest(modality, "theirs")
    bring(source, store, request)
    frame = MANIFEST.frame.with_columns(
        pl.when(pl.col("turn") == 0).then(pl.lit("else.mp4")).otherwise(pl.col(column)).alias(column)
    )
    edited = build_manifest(frame, MANIFEST.card)
    with pytest.raises(StaleFeaturesError, match="run `erc store import` again, or give allow_stale"):
        load(f"{modality}/theirs", manifest=edited, store=store)
    assert load(f"{modality}/theirs", manifest=edited, store=store, allow_stale=True).present.sum() == 40
    _, done = bring(source, store, request, edited)
    assert (done.written, done.kept) == ({"ok": 10}, 30)
    for manifest in (edited, MANIFEST):  # both see their rows
        loaded = load(f"{modality}/theirs", manifest=manifest, store=store)
        assert loaded.present.all()
        assert loaded.tensor.numpy().tobytes() == np.stack(list(VALUES.values())).tobytes()


def test_clips_are_not_looked_at(tmp_path: Path) -> None:
    """They lie elsewhere, are gone, or were never had: no media root is needed, and no bad clip is masked."""
    card = dataclasses.replace(MANIFEST.card, known_bad={MANIFEST.ids[0]: "cut wrongly"})
    manifest = build_manifest(MANIFEST.frame, card)
    source = folder(tmp_path / "x", VALUES)
    prepared, done = bring(source, tmp_path / "store", AUDIO, manifest)
    assert done.written == {"ok": 40}
    assert bring(source, tmp_path / "store", AUDIO, manifest)[1].written == {}
    plan = make_plan(manifest, prepared.spec, tmp_path / "store", manifest_chunks(manifest, False))
    assert (plan.left, plan.done, plan.stale) == (0, 40, 0)


def test_extraction_leaves_it_alone(tmp_path: Path) -> None:
    store = tmp_path / "store"
    prepared, _ = bring(folder(tmp_path / "x", VALUES), store, ImportRequest("text", "surface-imported"))
    files = {path: path.read_bytes() for path in (store / prepared.spec.folder).iterdir() if path.is_file()}
    extract_features(MANIFEST, store, [HashEncoder(alias="surface-imported")])
    assert {path: path.read_bytes() for path in (store / prepared.spec.folder).iterdir() if path.is_file()} == files
    assert len(Store(store).features()) == 2
    with pytest.raises(UsageError, match="--as surface: is the name of an encoder here"):
        check_name("surface", ["surface", "glove"])


def test_a_growing_manifest_is_continued(tmp_path: Path) -> None:
    source, store = folder(tmp_path / "x", VALUES), tmp_path / "store"
    small = MANIFEST.select_splits(["train"])
    _, done = bring(source, store, dataclasses.replace(AUDIO, template="{split}_{key}"), small)
    assert done.written == {"ok": 20}
    _, done = bring(source, store, dataclasses.replace(AUDIO, template="{split}_{key}"))
    assert (done.written, done.kept) == ({"ok": 20}, 20)


def test_a_spec_of_before_reads_as_it_did() -> None:
    values = json.loads(make_spec(weights="random").to_json())
    assert values["fingerprint"] == make_spec(weights="random").fingerprint
    assert EncoderSpec.from_json(make_spec().to_json()).is_foreign is False


def test_a_manifest_is_not_needed_to_be_of_this_layout(tmp_path: Path) -> None:
    write_manifest(MANIFEST, tmp_path / "m.csv")
    np.savez(tmp_path / "x.npz", **{name.replace("/", ":"): value for name, value in VALUES.items()})
    with pytest.raises(UsageError, match=r"x\.npz: none of its 40 ids fits an utterance by a usual rule"):
        prepare_import(tmp_path / "x.npz", AUDIO, MANIFEST)
    asked = dataclasses.replace(AUDIO, template="{dataset}:{split}:{key}")
    assert len(prepare_import(tmp_path / "x.npz", asked, MANIFEST).joined.places) == 40


def test_rows_that_the_same_file_fits_later_are_filled(tmp_path: Path) -> None:
    """As by another manifest, among whose rows its ids are plain."""
    store = tmp_path / "store"
    prepared = prepare_import(folder(tmp_path / "x", VALUES), AUDIO, MANIFEST)
    some = {row: place for row, place in prepared.joined.places.items() if row % 4 == 0}
    fewer = dataclasses.replace(prepared, joined=dataclasses.replace(prepared.joined, places=some))
    assert write_import(fewer, store).written == {"ok": 10, "not-in-import": 30}
    done = write_import(prepared, store)
    assert (done.written, done.kept) == ({"ok": 30}, 10)
    assert write_import(prepared, store).written == {}
    assert write_import(fewer, store).written == {}
    assert_same(stored(Store(store).find("hubert"), MANIFEST.ids), list(VALUES.values()))
