"""Which row holds: of each utterance the newest that was made from what the manifest holds today."""

from __future__ import annotations

import os
import shutil
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from store_factory import make_manifest, make_spec

from features.errors import ManifestError, Reason, StoreBusyError, UnavailableError
from features.manifest import Manifest, build_manifest
from features.store import Feature, Store, open_writer, write_feature
from features.store.index import Sources, read_index
from features.store.ledger import LedgerRow
from features.store.plan import PlanOptions, make_plan, manifest_chunks
from features.store.write import open_planned


def with_text(manifest: Manifest, row: int, text: str) -> Manifest:
    texts = [text if number == row else old for number, old in enumerate(manifest.frame["text"])]
    return build_manifest(manifest.frame.with_columns(pl.Series("text", texts)), manifest.card, manifest.media_root)


def vectors(manifest: Manifest) -> dict[str, np.ndarray]:
    """Each embedding says what it was made from."""
    return {
        key: np.full(3, int.from_bytes(text.encode()[:6], "big") % 65521, np.float32)
        for key, text in manifest.frame.select("utterance_id", "text").iter_rows()
    }


def left(manifest: Manifest, root: Path, **options: object) -> int:
    spec = make_spec()
    return make_plan(manifest, spec, root, manifest_chunks(manifest, True), PlanOptions(**options)).left


def test_an_edit_that_is_undone_finds_its_old_row(tmp_path: Path) -> None:
    spec, manifest = make_spec(), make_manifest(70)
    edited = with_text(manifest, 5, "edited")
    write_feature(tmp_path, spec, manifest, vectors(manifest))
    assert left(edited, tmp_path) == 1
    write_feature(tmp_path, spec, edited, vectors(edited))
    assert (left(manifest, tmp_path), left(edited, tmp_path)) == (0, 0)
    for current in (manifest, edited):
        read = Store(tmp_path, current).choose("text", "surface").read(current.ids)
        np.testing.assert_array_equal(read.values, np.stack(list(vectors(current).values())))
        assert Feature(tmp_path, spec.folder).stale(current) == []
    newest = Feature(tmp_path, spec.folder).read(manifest.ids)
    np.testing.assert_array_equal(newest.values, np.stack(list(vectors(edited).values())))


def test_two_manifests_share_a_store(tmp_path: Path) -> None:
    spec = make_spec()
    one = make_manifest(70)
    two = build_manifest(one.frame.with_columns(pl.col("text") + "!"), one.card)
    for _ in range(2):
        for manifest in (one, two):
            write_feature(tmp_path, spec, manifest, vectors(manifest))
            assert left(one, tmp_path) == 0
            found = Feature(tmp_path, spec.folder).fitting(manifest)
            np.testing.assert_array_equal(found.read(one.ids).values, np.stack(list(vectors(manifest).values())))
    assert len(Feature(tmp_path, spec.folder).names) == 4  # two chunks each, and nothing twice


def test_a_row_that_fits_no_manifest_is_stale_and_still_read(tmp_path: Path) -> None:
    spec, manifest = make_spec(), make_manifest(40)
    write_feature(tmp_path, spec, manifest, vectors(manifest))
    edited = with_text(manifest, 7, "edited")
    feature = Feature(tmp_path, spec.folder).fitting(edited)
    assert feature.stale(edited) == [manifest.ids[7]]
    assert feature.index.stale == {manifest.ids[7]}
    np.testing.assert_array_equal(feature.read([manifest.ids[7]]).values[0], vectors(manifest)[manifest.ids[7]])


def test_an_utterance_twice_in_one_generation_is_read_once(tmp_path: Path) -> None:
    """Two writers without locks, or slices of other manifests: the later shard's row holds, whatever wrote it."""
    spec, manifest = make_spec(), make_manifest(40)
    digests = manifest.source_digests(spec.depends)
    with open_writer(tmp_path, spec) as writer:
        for chunk, shift in ((0, 0.0), (7, 100.0), (3, 50.0)):
            rows = [LedgerRow(key, digest) for key, digest in zip(manifest.ids, digests, strict=True)]
            writer.commit(chunk, rows, {key: value + shift for key, value in vectors(manifest).items()})
    feature = Feature(tmp_path, spec.folder)
    expected = np.stack(list(vectors(manifest).values())) + 100.0
    for seen in (feature, feature.fitting(manifest)):
        read = seen.read(manifest.ids)
        np.testing.assert_array_equal(read.values, expected)
        assert seen.ledger(["status"]).height == 40
        assert seen.ledger(["status"])["utterance_id"].n_unique() == 40
    assert left(manifest, tmp_path) == 0


ROWS = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 2)), max_size=5)  # utterance, source


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 2), st.integers(0, 3), ROWS), max_size=6),
    st.lists(st.integers(0, 2), min_size=5, max_size=5),
)
def test_the_newest_row_that_fits_holds_whatever_was_written(
    tmp_path_factory: pytest.TempPathFactory, shards: list, today: list[int]
) -> None:
    """shards: (generation, chunk, rows of (utterance, source)); the rule in plain words against the index."""
    root = tmp_path_factory.mktemp("store")
    spec = make_spec()
    written: dict[tuple[int, int], dict[int, int]] = {}
    with open_writer(root, spec) as writer:
        for generation, chunk, rows in shards:
            if (generation, chunk) in written or not dict(rows):
                continue
            written[generation, chunk] = dict(rows)
            lines = [LedgerRow(f"u{key}", f"{source:064d}") for key, source in dict(rows).items()]
            made = {f"u{key}": np.full(3, generation * 100 + chunk * 10 + source) for key, source in dict(rows).items()}
            writer.commit(chunk, lines, made, generation)
    sources = Sources([f"u{key}" for key in range(5)], [f"{source:064d}" for source in today])
    index = read_index(root / spec.folder, sources)
    feature = Feature(root, spec.folder, spec, sources)
    for key in range(5):
        ordered = [(place, rows[key]) for place, rows in sorted(written.items()) if key in rows]
        fitting = [item for item in ordered if item[1] == today[key]]
        read = feature.read([f"u{key}"])
        if not ordered:
            assert read.status == ["absent"]
            continue
        (generation, chunk), source = (fitting or ordered)[-1]
        assert read.values[0][0] == generation * 100 + chunk * 10 + source
        assert (f"u{key}" in index.stale) == (not fitting)


def clips(root: Path, count: int) -> Manifest:
    media = root / "clips"
    media.mkdir()
    for number in range(count):
        (media / f"{number}.mp4").write_bytes(f"clip {number}".encode())
    return replace(make_manifest(count, media=lambda number: f"{number}.mp4"), media_root=media)


def write_clips(root: Path, manifest: Manifest, value: float, **options: object) -> int:
    """A plan's work done, each embedding `value`. Gives how many were encoded."""
    from hashlib import sha256

    spec = make_spec(depends="media")
    done = 0
    bounds = manifest_chunks(manifest, False)
    with open_planned(root, spec, manifest, bounds, PlanOptions(**options)) as (writer, plan):
        for chunk in plan.chunks:
            rows, made = [], {}
            for position in chunk.positions:
                path = manifest.media_path(manifest.frame["media"][position])
                status = path.stat()
                made[manifest.ids[position]] = np.full(3, value, np.float32)
                rows.append(
                    LedgerRow(
                        manifest.ids[position],
                        plan.digests[position],
                        input_digest=sha256(path.read_bytes()).hexdigest(),
                        media_size=status.st_size,
                        media_mtime_ns=status.st_mtime_ns,
                        counts={"num_frames": 5},
                    )
                )
            done += len(rows)
            writer.commit(chunk.number, rows, made, chunk.generation)
    return done


def test_a_clip_that_is_put_back_finds_its_old_row(tmp_path: Path) -> None:
    manifest = clips(tmp_path, 40)
    store, folder = tmp_path / "store", make_spec(depends="media").folder
    assert write_clips(store, manifest, 1.0) == 40
    clip = manifest.media_path("3.mp4")
    before = clip.read_bytes()
    clip.write_bytes(b"another one")
    assert write_clips(store, manifest, 2.0) == 1
    assert Feature(store, folder).read([manifest.ids[3]]).values[0][0] == 2.0
    clip.write_bytes(before)  # with another time: the bytes say that it is the old one
    spec = make_spec(depends="media")
    plan = make_plan(manifest, spec, store, manifest_chunks(manifest, False))
    assert (plan.left, len(plan.found), plan.done) == (0, 1, 40)
    assert write_clips(store, manifest, 3.0) == 0
    feature = Feature(store, folder)
    assert feature.read([manifest.ids[3]]).values[0][0] == 1.0
    row = feature.ledger().filter(pl.col("utterance_id") == manifest.ids[3])
    assert (row["num_frames"][0], row["media_mtime_ns"][0]) == (5, clip.stat().st_mtime_ns)
    number = len(feature.names)
    assert write_clips(store, manifest, 4.0) == 0
    assert len(Feature(store, folder).names) == number  # once is enough


def test_each_slice_finds_its_own_old_rows(tmp_path: Path) -> None:
    manifest, spec = clips(tmp_path, 40), make_spec(depends="media")
    write_clips(tmp_path / "store", manifest, 1.0)
    both = [manifest.media_path(f"{number}.mp4") for number in (3, 33)]
    before = [clip.read_bytes() for clip in both]
    for clip in both:
        clip.write_bytes(b"another one")
    assert write_clips(tmp_path / "store", manifest, 2.0) == 2
    for clip, content in zip(both, before, strict=True):
        clip.write_bytes(content)
    found = [
        [
            item.position
            for item in make_plan(
                manifest, spec, tmp_path / "store", [(0, 20), (20, 40)], PlanOptions(shard=(part, 2))
            ).found
        ]
        for part in (1, 2)
    ]
    assert found == [[3], [33]]


def test_gone_clips_keep_their_embeddings(tmp_path: Path) -> None:
    manifest = clips(tmp_path, 40)
    store, folder = tmp_path / "store", make_spec(depends="media").folder
    write_clips(store, manifest, 1.0)
    for number in range(20):
        manifest.media_path(f"{number}.mp4").unlink()
    plan = make_plan(manifest, make_spec(depends="media"), store, manifest_chunks(manifest, False))
    assert (plan.left, plan.gone, plan.done) == (0, 20, 40)
    manifest.media_path("20.mp4").unlink()
    with pytest.raises(ManifestError, match=r"21 of the 40 clips that have embeddings are gone, first 0\.mp4: mount"):
        write_clips(store, manifest, 2.0)
    assert write_clips(store, manifest, 2.0, clips_gone=True) == 0
    rows = Feature(store, folder).read(manifest.ids)
    assert rows.present.all()
    assert (rows.values == 1.0).all()


def test_a_clip_that_cannot_be_looked_at_is_no_other_clip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    manifest = clips(tmp_path, 40)
    store = tmp_path / "store"
    write_clips(store, manifest, 1.0)
    real = os.stat

    def failing(path: object, *arguments: object, **options: object) -> os.stat_result:
        if str(path).endswith("/7.mp4"):
            raise OSError(5, "Input/output error")
        return real(path, *arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "stat", failing)
    plan = make_plan(manifest, make_spec(depends="media"), store, manifest_chunks(manifest, False))
    assert (plan.left, plan.unread, plan.gone) == (0, 1, 0)


def enter(context: AbstractContextManager[object]) -> None:
    with context:
        pass


def test_the_plan_is_made_under_the_lock(tmp_path: Path) -> None:
    """What another run committed until the lock was had is done: here it commits as soon as it has the lock."""
    spec, manifest = make_spec(), make_manifest(70)
    bounds = manifest_chunks(manifest, True)
    with open_planned(tmp_path, spec, manifest, bounds) as (_, first):
        assert first.left == 70
        with (
            pytest.raises(StoreBusyError, match="another run is writing it"),
            open_planned(tmp_path, spec, manifest, bounds),
        ):
            pass
    write_feature(tmp_path, spec, manifest, vectors(manifest))
    with open_planned(tmp_path, spec, manifest, bounds) as (_, second):
        assert second.left == 0


def test_slices_of_other_manifests_or_numbers_refuse_each_other(tmp_path: Path) -> None:
    spec, manifest = make_spec(), make_manifest(140)
    shorter = build_manifest(manifest.frame[:-1], manifest.card)
    bounds = manifest_chunks(manifest, True)

    def planned(table: Manifest, shard: tuple[int, int]) -> Any:
        return open_planned(tmp_path, spec, table, manifest_chunks(table, True), PlanOptions(shard=shard))

    with planned(manifest, (1, 2)):
        with planned(manifest, (2, 2)) as (_, plan):
            assert {chunk.number % 2 for chunk in plan.chunks} == {1}
        for table, shard in ((shorter, (2, 2)), (manifest, (2, 3)), (with_text(manifest, 3, "x"), (2, 2))):
            with (
                pytest.raises(StoreBusyError, match="slices of another manifest, or of another number"),
                planned(table, shard),
            ):
                pass
        with (
            pytest.raises(StoreBusyError, match="another run is writing it"),
            open_planned(tmp_path, spec, manifest, bounds),
        ):
            pass
    with planned(shorter, (2, 2)):  # nobody is at work any more
        pass


def test_a_long_dialogue_is_several_chunks_where_it_need_not_be_whole(tmp_path: Path) -> None:
    manifest = make_manifest(2000, turns=1900)
    whole, cut = (manifest_chunks(manifest, flag) for flag in (True, False))
    assert [stop - start for start, stop in whole] == [1900, 100]
    assert max(stop - start for start, stop in cut) < 2 * 32
    assert [start for start, _ in cut[1:]] == [stop for _, stop in cut[:-1]]
    plan = make_plan(manifest, make_spec(), tmp_path, cut)
    assert (plan.chunks[3].start, plan.chunks[3].stop) == (0, 1900)  # its past is looked up there
    assert plan.chunks[3].positions == tuple(range(*cut[3]))
    assert plan.left == 2000


def test_failed_rows_are_tried_again_as_the_next_generation(tmp_path: Path) -> None:
    spec, manifest = make_spec(), make_manifest(40)
    wrong = {manifest.ids[3]: UnavailableError(Reason.OUT_OF_MEMORY)}
    write_feature(tmp_path, spec, manifest, vectors(manifest), wrong)
    bounds = manifest_chunks(manifest, True)
    plan = make_plan(manifest, spec, tmp_path, bounds, PlanOptions(retry_failed=True))
    assert [(chunk.positions, chunk.generation) for chunk in plan.chunks] == [((3,), 1)]
    shutil.rmtree(tmp_path / spec.folder)
    assert [chunk.generation for chunk in make_plan(manifest, spec, tmp_path, bounds).chunks] == [0, 0]
