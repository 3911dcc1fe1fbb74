"""Slices of the work, one after the other and at once, in processes of their own: the store of one run."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from clip_factory import every, write_clip
from erc_process import run_erc, start_erc
from store_comparison import assert_same_store
from store_factory import make_manifest

from features.manifest import write_manifest
from features.store import Store
from features.store.commit import orphans

SLICES = ("1/3", "2/3", "3/3")


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("media")
    for number in range(3):
        write_clip(root / f"{number}.mp4", times_ms=every(100 + number, 4))
    manifest = make_manifest(250, text=lambda row: f"Well {row}!", media=lambda row: f"{row % 4}.mp4")
    return write_manifest(replace(manifest, media_root=root), root.parent / "manifest.parquet")


def arguments(corpus: Path, store: Path, *more: str) -> list[str]:
    encoders = ["--encoder", "surface", "--encoder", "hog-colour", "--workers", "0"]
    return ["extract", *encoders, "--manifest", str(corpus), "--store", str(store), *more]


@pytest.fixture(scope="module")
def whole(corpus: Path) -> Path:
    store = corpus.parent / "whole"
    status, errors = run_erc(arguments(corpus, store), corpus.parent / "stderr")
    assert status == 0, errors
    assert [len(feature.names) for feature in Store(store).features()] == [8, 8]
    return store


def chunks_of(store: Path) -> list[list[int]]:
    return [sorted(name.chunk for name in feature.names) for feature in Store(store).features()]


def test_three_slices_one_after_the_other_are_one_run(corpus: Path, whole: Path, tmp_path: Path) -> None:
    store = tmp_path / "store"
    expected: list[int] = []
    for index in (2, 0, 1):
        status, errors = run_erc(arguments(corpus, store, "--shard", SLICES[index]), tmp_path / "stderr")
        assert status == 0, errors
        expected += range(index, 8, 3)
        assert chunks_of(store) == [sorted(expected)] * 2
    assert_same_store(store, whole)


def test_three_slices_at_once_are_one_run(corpus: Path, whole: Path, tmp_path: Path) -> None:
    store = tmp_path / "store"
    processes = [
        start_erc(arguments(corpus, store, "--shard", part), tmp_path / f"stderr-{index}")
        for index, part in enumerate(SLICES)
    ]
    for index, process in enumerate(processes):
        process.join()
        assert process.exitcode == 0, (tmp_path / f"stderr-{index}").read_text()
    assert_same_store(store, whole)
    for feature in Store(store).features():
        assert list(orphans(feature.path)) == []


def test_a_slice_twice_at_once_and_a_plain_run_beside_a_slice_are_refused(corpus: Path, tmp_path: Path) -> None:
    from features.store.lock import writer_lock

    store = tmp_path / "store"
    assert run_erc(arguments(corpus, store, "--shard", "1/3"), tmp_path / "stderr")[0] == 0
    folder = Store(store).features()[0].path
    with writer_lock(folder, (2, 3)):
        for more in (["--shard", "2/3"], []):
            status, errors = run_erc(arguments(corpus, store, *more), tmp_path / "stderr")
            assert status == 1
            assert "another run is writing it" in errors
            assert len(errors.strip().splitlines()) == 1
        assert run_erc(arguments(corpus, store, "--shard", "3/3"), tmp_path / "stderr")[0] == 0
    assert chunks_of(store) == [[0, 2, 3, 5, 6]] * 2
