"""Disks that are full or cannot be written: one clear line, nothing committed is lost, and the run goes on after."""

from __future__ import annotations

import errno
import os
import resource
import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from store_factory import make_manifest, make_spec

from features.errors import ShardError, StoreError
from features.manifest import read_manifest, write_manifest
from features.store import Feature, Store, commit, write_feature
from features.store.commit import orphans
from features.store.lock import writer_lock

RUN = "from pipeline.cli import main; main()"


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    manifest = make_manifest(600, text=lambda number: f"Well {number}, hello!")
    return write_manifest(manifest, tmp_path_factory.mktemp("corpus") / "manifest.parquet")


def extract(corpus: Path, store: Path, limit_bytes: int | None = None) -> subprocess.CompletedProcess[str]:
    """Run `erc extract`, perhaps with a limit on the size of every file that it writes."""

    def lower() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit_bytes, resource.RLIM_INFINITY))

    flags = ["extract", "--encoder", "surface", "--manifest", str(corpus), "--store", str(store)]
    return subprocess.run(
        [sys.executable, "-c", RUN, *flags],
        capture_output=True,
        text=True,
        preexec_fn=lower if limit_bytes else None,
    )


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of its own, with room for a few shards."""
    place = tmp_path / "disk"
    place.mkdir()
    try:
        subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=200k", "tmpfs", str(place)], check=True, capture_output=True
        )
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("this user may not mount a disk")
    try:
        yield place
    finally:
        subprocess.run(["umount", str(place)], check=True)


def remount(place: Path, option: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{option}", str(place)], check=True)


def assert_whole(corpus: Path, store: Path) -> None:
    manifest = read_manifest(corpus)
    feature = Store(store).features()[0]
    assert feature.read(manifest.ids).present.all()
    assert all(name.generation == 0 for name in feature.names)
    assert list(orphans(feature.path)) == []


def committed(store: Path) -> dict[str, bytes]:
    records = list(store.glob("text/*/[0-9]*.json"))
    return {path.name: path.read_bytes() for record in records for path in record.parent.glob(f"{record.stem}.*")}


def test_a_disk_that_fills_up(corpus: Path, small_disk: Path) -> None:
    store = small_disk / "store"
    done = extract(corpus, store)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1, done.stderr
    assert "cannot be written (No space left on device): make space, then run the same command again" in done.stderr
    before = committed(store)
    assert before, "the disk was full before the first commit"
    assert list(orphans(Store(store).features()[0].path)) == []
    assert 0 < Store(store).features()[0].read(read_manifest(corpus).ids).present.sum() < 600
    remount(small_disk, "size=4m")
    assert extract(corpus, store).returncode == 0
    assert before.items() <= committed(store).items()
    assert_whole(corpus, store)


def test_files_may_not_grow(corpus: Path, tmp_path: Path) -> None:
    store = tmp_path / "store"
    done = extract(corpus, store, limit_bytes=4_000)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1, done.stderr
    assert "cannot be written (File too large): raise the limit on the size of files" in done.stderr
    assert extract(corpus, store).returncode == 0
    assert_whole(corpus, store)


def test_a_store_that_cannot_be_written(corpus: Path, small_disk: Path) -> None:
    store = small_disk / "store"
    remount(small_disk, "size=4m")
    (store / "text").mkdir(parents=True)
    remount(small_disk, "ro")
    done = extract(corpus, store)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1, done.stderr
    assert "cannot be written (Read-only file system): choose another --store" in done.stderr
    remount(small_disk, "rw")
    assert extract(corpus, store).returncode == 0
    assert_whole(corpus, store)


def test_a_folder_without_rights(corpus: Path, tmp_path: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("root may write everywhere")
    (tmp_path / "store").mkdir(mode=0o555)
    done = extract(corpus, tmp_path / "store")
    assert done.returncode == 1
    assert "choose another --store, or mend its rights" in done.stderr


def test_a_store_that_is_a_file(corpus: Path, tmp_path: Path) -> None:
    (tmp_path / "store").write_text("not a folder")
    done = extract(corpus, tmp_path / "store")
    assert done.returncode != 0
    assert "Traceback" not in done.stderr
    assert "store" in done.stderr


@pytest.mark.parametrize("point", [point for point in commit.POINTS if not point.startswith("spec")])
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO])
def test_an_error_at_any_point_of_the_commit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, point: str, number: int
) -> None:
    """Before the record has its name nothing of the shard is left; from then on the shard stands."""
    manifest, spec = make_manifest(3), make_spec()
    embeddings = {key: np.ones(3, np.float32) for key in manifest.ids}

    def fail(reached: str) -> None:
        if reached == point:
            raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patch:
        patch.setattr(commit, "at_point", fail)
        with pytest.raises(StoreError, match="cannot be written"):
            write_feature(tmp_path, spec, manifest, embeddings)
    stands = point in ("record named", "record durable")
    files = {path.name for path in (tmp_path / spec.folder).iterdir()}
    assert files == {".lock", "spec.json"} | ({"00000.h5", "00000.parquet", "00000.json"} if stands else set())
    feature = write_feature(tmp_path, spec, manifest, embeddings)
    assert feature.read(manifest.ids).present.all()
    assert len(feature.names) == 1
    assert list(orphans(feature.path)) == []


def test_a_shard_whose_files_are_cleared_away_is_not_committed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two runs where locks do not work: the other one takes the tensors for an orphan and removes them."""
    manifest, spec = make_manifest(3), make_spec()
    embeddings = {key: np.ones(3, np.float32) for key in manifest.ids}

    def clear(reached: str) -> None:
        if reached == "ledger named":
            (tmp_path / spec.folder / "00000.h5").unlink()

    with monkeypatch.context() as patch:
        patch.setattr(commit, "at_point", clear)
        with pytest.raises(ShardError, match=r"00000\.h5: vanished while its shard was written"):
            write_feature(tmp_path, spec, manifest, embeddings)
    assert Feature(tmp_path, spec.folder).names == []
    assert write_feature(tmp_path, spec, manifest, embeddings).read(manifest.ids).present.all()


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EOPNOTSUPP])
def test_a_file_system_without_locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """The run goes on and says so; it leaves orphans alone, for they may be another run's work in hand."""
    manifest, spec = make_manifest(3), make_spec()

    def no_locks(descriptor: int, mode: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("fcntl.flock", no_locks)
    orphan = tmp_path / spec.folder / f".tmp-{'0' * 32}-1"
    orphan.parent.mkdir(parents=True)
    orphan.write_bytes(b"half")
    with pytest.warns(UserWarning, match="its file system has no locks"):
        feature = write_feature(tmp_path, spec, manifest, {key: np.ones(3, np.float32) for key in manifest.ids})
    assert feature.read(manifest.ids).present.all()
    assert orphan.exists()


def test_another_error_of_the_lock_is_not_taken_for_another_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(descriptor: int, mode: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr("fcntl.flock", fails)
    with warnings.catch_warnings(), pytest.raises(OSError, match="Input/output error"), writer_lock(tmp_path):
        pass
