"""A killed extraction: nothing committed is lost or changed, and the next run finishes the work."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from erc_process import run_erc, start_erc
from store_comparison import assert_same_feature
from store_factory import make_manifest

from features.manifest import Manifest, read_manifest, write_manifest
from features.store import Feature, Store
from features.store.commit import POINTS, orphans
from features.store.lock import writer_lock

TEXTS = ["Oh no!", "What are you doing here?", "I am FINE... really", "ha ha ha!!!"]
NUM_CHUNKS = 38


def arguments(manifest: Path, store: Path) -> list[str]:
    return ["extract", "--encoder", "surface", "--manifest", str(manifest), "--store", str(store)]


def command(manifest: Path, store: Path) -> list[str]:
    return [sys.executable, "-c", "from pipeline.cli import main; main()", *arguments(manifest, store)]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    manifest = make_manifest(NUM_CHUNKS * 35, text=lambda number: f"{TEXTS[number % 4]} {number}")
    return write_manifest(manifest, tmp_path_factory.mktemp("corpus") / "manifest.parquet")


@pytest.fixture(scope="module")
def whole(corpus: Path) -> Feature:
    """The store of a run that nothing interrupted."""
    store = corpus.parent / "whole"
    subprocess.run(command(corpus, store), check=True, capture_output=True)
    feature = Store(store).features()[0]
    assert len(feature.names) == NUM_CHUNKS
    return feature


def records(store: Path) -> list[Path]:
    return list(store.glob("text/*/[0-9]*.json"))


def committed_files(store: Path) -> dict[str, tuple[bytes, int, int]]:
    """Content, mtime and inode of every committed file."""
    found = {}
    for record in records(store):
        for path in record.parent.glob(f"{record.stem}.*"):
            status = path.stat()
            found[path.name] = (path.read_bytes(), status.st_mtime_ns, status.st_ino)
    return found


def wait_for_commits(store: Path, count: int, is_running: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while len(records(store)) < count:
        assert is_running() or len(records(store)) >= count
        assert time.monotonic() < deadline
        time.sleep(0.001)


def stop(process: int) -> None:
    """Stop a process where it is, and wait until it is stopped."""
    os.kill(process, signal.SIGSTOP)
    while Path(f"/proc/{process}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0] not in "TZ":
        time.sleep(0.001)


def assert_resumes(corpus: Path, store: Path, whole: Feature) -> None:
    """The next run finishes the work, rewrites nothing, and the store is that of a run that nothing interrupted."""
    committed = committed_files(store)
    status, errors = run_erc(arguments(corpus, store), store.with_suffix(".stderr"))
    assert status == 0, errors
    after = committed_files(store)
    for name, file in committed.items():
        assert after[name] == file, f"{name} was rewritten"
    resumed = Store(store).features()[0]
    assert list(orphans(resumed.path)) == []
    assert_same_feature(resumed, whole)
    ids = read_manifest(corpus).ids
    assert resumed.rows_digest(ids) == whole.rows_digest(ids)


@pytest.mark.parametrize("point", POINTS)
def test_killed_at_a_point_of_the_commit(corpus: Path, whole: Feature, tmp_path: Path, point: str) -> None:
    store = tmp_path / "store"
    count = 1 if point.startswith("spec") else 3
    status, errors = run_erc(arguments(corpus, store), tmp_path / "stderr", point, count)
    assert status == -signal.SIGKILL, errors
    is_committed = point in ("record named", "record durable")
    assert len(records(store)) == (0 if point.startswith("spec") else count - (not is_committed))
    assert_resumes(corpus, store, whole)


def test_every_point_is_passed_at_every_commit(whole: Feature, tmp_path: Path) -> None:
    """Without this, a point that is never reached would make its test fail, and one that was forgotten would not."""
    from features.store import commit, write_feature

    passed: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(commit, "at_point", passed.append)
        manifest, spec = make_manifest(3), whole.spec
        embeddings = {key: np.zeros(spec.shape, np.float32) for key in manifest.ids}
        write_feature(tmp_path, spec, manifest, embeddings)
    assert passed == list(POINTS)


def random_kills(corpus: Path, whole: Feature, folder: Path, number: int, seed: int) -> int:
    """Kill runs at random moments after the first commit; how many left both committed and uncommitted chunks."""
    chance = random.Random(seed)
    in_between = 0
    for kill in range(number):
        store = folder / f"store-{kill}"
        process = start_erc(arguments(corpus, store), folder / "stderr")
        wait_for_commits(store, chance.randrange(1, NUM_CHUNKS - 6), process.is_alive)
        time.sleep(chance.uniform(0, 0.02))
        process.kill()
        process.join()
        assert process.exitcode in (0, -signal.SIGKILL), (folder / "stderr").read_text()
        in_between += 0 < len(records(store)) < NUM_CHUNKS
        assert_resumes(corpus, store, whole)
        shutil.rmtree(store)
    return in_between


def test_killed_at_8_random_moments(corpus: Path, whole: Feature, tmp_path: Path) -> None:
    assert random_kills(corpus, whole, tmp_path, 8, seed=4) >= 6


@pytest.mark.slow
def test_killed_at_250_random_moments(corpus: Path, whole: Feature, tmp_path: Path) -> None:
    assert random_kills(corpus, whole, tmp_path, 250, seed=5) >= 200


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_run_that_is_asked_to_stop_ends_cleanly(
    corpus: Path, whole: Feature, tmp_path: Path, how: signal.Signals
) -> None:
    store = tmp_path / "store"
    process = subprocess.Popen(command(corpus, store), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    wait_for_commits(store, 3, lambda: process.poll() is None)
    process.send_signal(how)
    _, errors = process.communicate()
    assert process.returncode == 128 + how
    assert "run the same command again to resume" in errors
    assert "Traceback" not in errors
    assert 0 < len(records(store)) < NUM_CHUNKS
    assert list(orphans(store / whole.folder)) == []
    assert_resumes(corpus, store, whole)


def test_a_second_run_gives_way_and_the_first_is_unharmed(corpus: Path, whole: Feature, tmp_path: Path) -> None:
    store = tmp_path / "store"
    first = start_erc(arguments(corpus, store), tmp_path / "first")
    wait_for_commits(store, 2, first.is_alive)
    stop(first.pid)  # so that it is at it for as long as the second takes
    try:
        temporary = list(orphans(store / whole.folder))
        status, errors = run_erc(arguments(corpus, store), tmp_path / "second")
        assert list(orphans(store / whole.folder)) == temporary
    finally:
        os.kill(first.pid, signal.SIGCONT)
    assert status == 1
    assert "another run is writing it (host " in errors
    assert f"pid {first.pid})" in errors
    assert len(errors.strip().splitlines()) == 1
    first.join()
    assert first.exitcode == 0, (tmp_path / "first").read_text()
    assert_same_feature(Store(store).features()[0], whole)


def test_a_run_leaves_a_locked_folder_as_it_is(corpus: Path, whole: Feature, tmp_path: Path) -> None:
    folder = tmp_path / "store" / whole.folder
    folder.mkdir(parents=True)
    with writer_lock(folder):
        status, errors = run_erc(arguments(corpus, tmp_path / "store"), tmp_path / "stderr")
    assert status == 1
    assert "another run is writing it" in errors
    assert [path.name for path in folder.iterdir()] == [".lock"]


def test_a_lock_that_a_dead_process_left_holds_nobody_up(corpus: Path, whole: Feature, tmp_path: Path) -> None:
    folder = tmp_path / "store" / whole.folder
    folder.mkdir(parents=True)
    hold = f"import fcntl, os, signal; f = open({str(folder / '.lock')!r}, 'w'); fcntl.flock(f, fcntl.LOCK_EX)"
    script = f"{hold}; f.write('host dead, pid 1'); f.flush(); os.kill(os.getpid(), signal.SIGKILL)"
    assert subprocess.run([sys.executable, "-c", script]).returncode == -signal.SIGKILL
    assert (folder / ".lock").read_text() == "host dead, pid 1"
    status, errors = run_erc(arguments(corpus, tmp_path / "store"), tmp_path / "stderr")
    assert status == 0, errors


def test_a_lock_of_a_killed_run_holds_nobody_up(corpus: Path, whole: Feature, tmp_path: Path) -> None:
    """While it lives, even stopped, nobody else writes; once it is killed the next run does."""
    store = tmp_path / "store"
    first = start_erc(arguments(corpus, store), tmp_path / "first")
    wait_for_commits(store, 1, first.is_alive)
    stop(first.pid)
    assert run_erc(arguments(corpus, store), tmp_path / "second")[0] == 1
    first.kill()
    first.join()
    assert_resumes(corpus, store, whole)


def test_an_edited_text_is_encoded_again_and_alone(corpus: Path, whole: Feature, tmp_path: Path) -> None:
    store = tmp_path / "store"
    shutil.copytree(whole.root, store)
    manifest = read_manifest(corpus)
    edited = manifest.frame.with_columns(
        text=pl.when(pl.int_range(pl.len()) == 834).then(pl.lit("WOW!!!")).otherwise(pl.col("text"))
    )
    path = write_manifest(Manifest(edited, manifest.card), tmp_path / "edited.parquet")
    assert Store(store).features()[0].stale(read_manifest(path)) == [manifest.ids[834]]
    done = subprocess.run(command(path, store), check=True, capture_output=True, text=True)
    assert f"1 of {NUM_CHUNKS * 35} utterances left, in 1 chunks; 1 changed since they were encoded" in done.stdout
    assert Store(store).features()[0].stale(read_manifest(path)) == []
