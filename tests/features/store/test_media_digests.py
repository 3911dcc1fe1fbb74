"""Clips that were copied are read once and for all; a cache that is absent, damaged or unwritable costs time alone."""

from __future__ import annotations

import errno
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from store_factory import make_manifest, make_spec

from features.digests import sha256_bytes, sha256_file
from features.errors import Reason
from features.extract import plan_extraction
from features.manifest import Manifest
from features.media.needs import ClipNeeds
from features.store import media_digests
from features.store.ledger import LedgerRow
from features.store.media_digests import CACHE_NAME, MediaDigests
from features.store.plan import Plan, PlanOptions, make_plan, manifest_chunks
from features.store.write import open_planned

NUM_CLIPS = 12


class ClipEncoder:
    """Only its spec is asked for."""

    reads = "clip"
    batch_size = 1
    needs = ClipNeeds()
    prepare: Any = None
    encode: Any = None

    def __init__(self, name: str) -> None:
        self.spec = make_spec(modality="audio", encoder=name, depends="media")


ENCODERS: list[Any] = [ClipEncoder("one"), ClipEncoder("two")]


@pytest.fixture
def corpus(tmp_path: Path) -> Manifest:
    """Twelve utterances; the last two share a clip. Two features of the store have rows of all of them."""
    root = tmp_path / "media"
    root.mkdir()
    for number in range(NUM_CLIPS - 1):
        (root / f"{number}.mp4").write_text(f"clip {number}")
    manifest = make_manifest(NUM_CLIPS, media=lambda number: f"{min(number, NUM_CLIPS - 2)}.mp4")
    manifest = replace(manifest, media_root=root)
    for encoder in ENCODERS:
        write(manifest, tmp_path / "store", encoder)
    return manifest


def store_of(manifest: Manifest) -> Path:
    assert manifest.media_root is not None
    return manifest.media_root.parent / "store"


def write(manifest: Manifest, store: Path, encoder: Any) -> None:
    """Rows as an extraction makes them."""
    with open_planned(store, encoder.spec, manifest, manifest_chunks(manifest, False)) as (writer, plan):
        rows, embeddings = [], {}
        for position in (position for chunk in plan.chunks for position in chunk.positions):
            path = manifest.media_path(manifest.frame["media"][position])
            status = path.stat()
            key = manifest.ids[position]
            rows.append(
                LedgerRow(
                    key,
                    plan.digests[position],
                    input_digest=sha256_file(path),
                    media_size=status.st_size,
                    media_mtime_ns=status.st_mtime_ns,
                )
            )
            embeddings[key] = np.full(3, position, np.float32)
        writer.commit(0, rows, embeddings)


@pytest.fixture
def hashed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the clips that were read."""
    names: list[str] = []
    real = media_digests.sha256_file

    def counting(path: Path, *arguments: Any) -> str:
        names.append(path.name)
        return real(path, *arguments)

    monkeypatch.setattr(media_digests, "sha256_file", counting)
    return names


def copy(manifest: Manifest) -> None:
    """As `cp -r` does: the same bytes with new times."""
    assert manifest.media_root is not None
    for path in sorted(manifest.media_root.iterdir()):
        later = path.stat().st_mtime_ns + 10**9
        os.utime(path, ns=(later, later))


def plan(manifest: Manifest, **options: Any) -> list[Plan]:
    return [job.plan for job in plan_extraction(manifest, store_of(manifest), ENCODERS, PlanOptions(**options))]


def left(plans: list[Plan]) -> list[list[int]]:
    return [[row for chunk in item.chunks for row in chunk.positions] for item in plans]


NOTHING: list[list[int]] = [[], []]
ALL = sorted(f"{number}.mp4" for number in range(NUM_CLIPS - 1))


def test_a_copied_corpus_is_read_once_for_all_encoders_and_later_plans(corpus: Manifest, hashed: list[str]) -> None:
    assert left(plan(corpus)) == NOTHING
    assert hashed == []
    assert not (store_of(corpus) / CACHE_NAME).exists(), "without anything learnt nothing is written"
    copy(corpus)
    assert left(plan(corpus)) == NOTHING
    assert sorted(hashed) == ALL
    hashed.clear()
    assert left(plan(corpus)) == NOTHING
    make_plan(corpus, ENCODERS[1].spec, store_of(corpus), manifest_chunks(corpus, False))
    assert hashed == []


def test_only_what_changed_since_is_read_again(corpus: Manifest, hashed: list[str]) -> None:
    copy(corpus)
    plan(corpus)
    hashed.clear()
    path = corpus.media_path("3.mp4")
    path.write_text("CLIP 3")
    assert left(plan(corpus)) == [[3], [3]]
    assert hashed == ["3.mp4"]
    corpus.media_path("4.mp4").write_text("of another size")
    assert left(plan(corpus)) == [[3, 4], [3, 4]]
    assert hashed == ["3.mp4"]
    path.write_text("clip 3")
    assert left(plan(corpus)) == [[4], [4]]
    assert hashed == ["3.mp4", "3.mp4"]
    table = pq.read_table(store_of(corpus) / CACHE_NAME)
    assert len(table) == NUM_CLIPS - 1, "states that are no more make room"


def test_rehash_reads_all_again_once_and_mends_the_cache(corpus: Manifest, hashed: list[str]) -> None:
    copy(corpus)
    plan(corpus)
    hashed.clear()
    path = corpus.media_path("0.mp4")
    status = path.stat()
    path.write_text("CLIP 0")
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert left(plan(corpus)) == NOTHING, "size and time hide the change"
    assert left(plan(corpus, rehash=True)) == [[0], [0]]
    assert sorted(hashed) == ALL
    hashed.clear()
    assert left(plan(corpus)) == [[0], [0]], "what --rehash found is remembered"
    assert hashed == []


def test_a_clip_that_cannot_be_read_costs_no_more_than_itself(
    corpus: Manifest, hashed: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    copy(corpus)
    real = Path.open

    def open_it(path: Path, *arguments: Any, **options: Any) -> Any:
        if path.name == "5.mp4":
            raise OSError(errno.EIO, "the disk is damaged")
        if path.name == "6.mp4":
            raise PermissionError(errno.EACCES, "not yours")
        return real(path, *arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", open_it)
        plans = plan(corpus)
        assert left(plans) == NOTHING
        assert [(item.unread, item.done, item.gone) for item in plans] == [(2, NUM_CLIPS, 0)] * 2
        assert sorted(hashed) == ALL, "each was tried once"
        hashed.clear()
        plan(corpus)
        assert sorted(hashed) == ["5.mp4", "6.mp4"]
    hashed.clear()
    assert [item.unread for item in plan(corpus)] == [0, 0]
    assert sorted(hashed) == ["5.mp4", "6.mp4"]


def cut_short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:100])


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[20] ^= 4
    path.write_bytes(content)


def empty(path: Path) -> None:
    path.write_bytes(b"")


def put_another_table(path: Path) -> None:
    table = pq.read_table(path)
    pq.write_table(table.drop_columns(["size"]), path)


def put_nulls(path: Path) -> None:
    import pyarrow as pa

    table = pq.read_table(path)
    pq.write_table(table.set_column(3, table.schema.field(3), pa.nulls(len(table), table.schema.field(3).type)), path)


def put_a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize("damage", [Path.unlink, cut_short, flip, empty, put_another_table, put_nulls])
def test_a_damaged_cache_is_made_anew(corpus: Manifest, hashed: list[str], damage: Callable[[Path], Any]) -> None:
    copy(corpus)
    plan(corpus)
    damage(store_of(corpus) / CACHE_NAME)
    hashed.clear()
    assert left(plan(corpus)) == NOTHING
    assert sorted(hashed) == ALL
    hashed.clear()
    assert left(plan(corpus)) == NOTHING
    assert hashed == []


def test_every_flipped_bit_of_the_cache_is_found_or_harmless(corpus: Manifest) -> None:
    copy(corpus)
    plan(corpus)
    path = store_of(corpus) / CACHE_NAME
    whole = path.read_bytes()
    for place in range(0, len(whole), 19):
        content = bytearray(whole)
        content[place] ^= 1 << place % 8
        path.write_bytes(content)
        assert left(plan(corpus)) == NOTHING, place


@pytest.mark.parametrize("number", [errno.EACCES, errno.EROFS, errno.ENOSPC, errno.EIO])
def test_a_cache_that_cannot_be_written_or_read_is_gone_without(
    corpus: Manifest, hashed: list[str], monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    copy(corpus)

    def fail(*arguments: Any) -> None:
        raise OSError(number, "no")

    with monkeypatch.context() as patch:
        patch.setattr(media_digests, "write_whole", fail)
        for _ in range(2):
            hashed.clear()
            assert left(plan(corpus)) == NOTHING
            assert sorted(hashed) == ALL
    plan(corpus)
    with monkeypatch.context() as patch:
        real = Path.read_bytes
        patch.setattr(Path, "read_bytes", lambda path: fail() if path.name == CACHE_NAME else real(path))
        hashed.clear()
        assert left(plan(corpus)) == NOTHING
        assert sorted(hashed) == ALL
    put_a_folder(store_of(corpus) / CACHE_NAME)
    assert left(plan(corpus)) == NOTHING


def test_a_store_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    (tmp_path / "clip").write_text("clip")
    status = (tmp_path / "clip").stat()
    states = [(status.st_size, status.st_mtime_ns)]
    assert MediaDigests(tmp_path / "store").of(tmp_path, ["clip"], states) == [sha256_bytes(b"clip")]
    assert not (tmp_path / "store").exists()


def test_what_others_learnt_meanwhile_is_kept(corpus: Manifest, hashed: list[str], tmp_path: Path) -> None:
    copy(corpus)
    other = tmp_path / "other"
    shutil.copytree(corpus.media_path(""), other)

    class Meanwhile(MediaDigests):
        """Another process hashes other files of its own before this one writes what it learnt."""

        def _save(self) -> None:
            if other.is_dir():
                status = (other / "1.mp4").stat()
                state = [(status.st_size, status.st_mtime_ns)]
                MediaDigests(self._store).of(other, ["1.mp4"], state)
                shutil.move(other, tmp_path / "moved")
            super()._save()

    bounds = manifest_chunks(corpus, False)
    make_plan(corpus, ENCODERS[0].spec, store_of(corpus), bounds, hashes=Meanwhile(store_of(corpus)))
    paths = pq.read_table(store_of(corpus) / CACHE_NAME)["path"].to_pylist()
    assert os.fsencode(other / "1.mp4") in paths
    assert len(paths) == NUM_CLIPS


def test_the_oldest_entries_make_room(corpus: Manifest, hashed: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(media_digests, "_MOST_ENTRIES", 4)
    copy(corpus)
    plan(corpus)
    paths = pq.read_table(store_of(corpus) / CACHE_NAME)["path"].to_pylist()
    assert [Path(os.fsdecode(path)).name for path in paths] == [f"{number}.mp4" for number in (7, 8, 9, 10)]
    hashed.clear()
    assert left(plan(corpus)) == NOTHING
    assert len(hashed) == NUM_CLIPS - 1 - 4


def test_a_clip_that_is_replaced_while_it_is_read_is_not_remembered(
    corpus: Manifest, hashed: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is put back afterwards: its state is that of before, and its digest never was that of this state."""
    copy(corpus)
    path = corpus.media_path("2.mp4")
    data, state = path.read_bytes(), path.stat()
    counting = media_digests.sha256_file

    def meanwhile(asked: Path, *arguments: Any) -> str:
        if asked == path:
            path.write_text("CLIP 2")
        return counting(asked, *arguments)

    def plan_one() -> list[list[int]]:
        return left([make_plan(corpus, ENCODERS[0].spec, store_of(corpus), manifest_chunks(corpus, False))])

    with monkeypatch.context() as patch:
        patch.setattr(media_digests, "sha256_file", meanwhile)
        assert plan_one() == [[2]]
    path.write_bytes(data)
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))
    hashed.clear()
    assert plan_one() == [[]]
    assert hashed == ["2.mp4"]


def test_what_was_learnt_before_an_interruption_is_kept(
    corpus: Manifest, hashed: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    copy(corpus)
    monkeypatch.setattr(media_digests, "_THREADS", 1)
    counting, stop = media_digests.sha256_file, threading.Event()

    def stopping(path: Path, *arguments: Any) -> str:
        if path.name == "7.mp4":
            stop.set()
            time.sleep(0.2)
        return counting(path, *arguments)

    real = MediaDigests._learn

    def learn(self: MediaDigests, *arguments: Any) -> None:
        real(self, *arguments)
        if stop.wait(0.5) and arguments[0].path.endswith("5.mp4"):
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(media_digests, "sha256_file", stopping)
        patch.setattr(MediaDigests, "_learn", learn)
        with pytest.raises(KeyboardInterrupt):
            plan(corpus)
    assert "10.mp4" not in hashed, "what waited was not read any more"
    hashed.clear()
    assert left(plan(corpus)) == NOTHING
    assert sorted(hashed) == sorted(f"{number}.mp4" for number in range(6, NUM_CLIPS - 1))


def test_the_bytes_that_are_read_are_shown(corpus: Manifest) -> None:
    copy(corpus)
    told: list[int] = []

    @contextmanager
    def show(num_bytes: int) -> Iterator[Callable[[int], object]]:
        told.append(num_bytes)
        yield told.append

    sizes = sum(path.stat().st_size for path in corpus.media_path("").iterdir())
    for expected in ([sizes, *([6] * 10), 7], []):
        told.clear()
        plan_extraction(corpus, store_of(corpus), ENCODERS, PlanOptions(), show_hashing=show)
        assert sorted(told[1:]) == expected[1:]
        assert told[:1] == expected[:1]


def test_clips_of_rows_that_are_made_anew_anyway_are_not_read(corpus: Manifest, hashed: list[str]) -> None:
    """The manifest's cut changed, and the times, too."""
    copy(corpus)
    moved = replace(corpus, frame=corpus.frame.with_columns(start=0.5))
    assert [len(rows) for rows in left(plan(moved))] == [NUM_CLIPS] * 2
    assert hashed == []


def test_reasons_that_have_no_digest_are_tried_again_by_rehash(corpus: Manifest, hashed: list[str]) -> None:
    """As before: what has no digest cannot be compared."""
    spec = make_spec(modality="audio", encoder="three", depends="media")
    bounds = manifest_chunks(corpus, False)
    with open_planned(store_of(corpus), spec, corpus, bounds) as (writer, made):
        status = corpus.media_path("0.mp4").stat()
        row = LedgerRow(corpus.ids[0], made.digests[0], Reason.TIMED_OUT)
        writer.commit(0, [replace(row, media_size=status.st_size, media_mtime_ns=status.st_mtime_ns)], {})

    def rows(**options: Any) -> list[int]:
        found = make_plan(corpus, spec, store_of(corpus), bounds, PlanOptions(**options))
        return [row for chunk in found.chunks for row in chunk.positions]

    assert rows() == list(range(1, NUM_CLIPS))
    assert rows(rehash=True) == list(range(NUM_CLIPS))
    assert hashed == []
