"""A killed extraction: nothing committed is lost or changed, and the next run finishes the work."""

from __future__ import annotations

import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from store_factory import make_manifest

from features.manifest import Manifest, read_manifest, write_manifest
from features.store import Feature, Store
from features.store.commit import POINTS, orphans
from features.store.lock import writer_lock

TEXTS = ["Oh no!", "What are you doing here?", "I am FINE... really", "ha ha ha!!!"]
STOP_AT_POINT = Path(__file__).with_name("stop_at_point.py")
NUM_CHUNKS = 62


def arguments(manifest: Path, store: Path) -> list[str]:
    return ["extract", "--encoder", "surface", "--manifest", str(manifest), "--store", str(store)]


def command(manifest: Path, store: Path) -> list[str]:
    return [sys.executable, "-c", "from pipeline.cli import main; main()", *arguments(manifest, store)]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    manifest = make_manifest(3_000, text=lambda number: f"{TEXTS[number % 4]} {number}")
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


def signal_after(corpus: Path, store: Path, num_commits: int, delay_s: float, how: signal.Signals) -> tuple[int, str]:
    """Send a signal to a run once it has committed so many shards; its exit status and what it printed on stderr."""
    process = subprocess.Popen(command(corpus, store), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    while len(records(store)) < num_commits:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.001)
    time.sleep(delay_s)
    process.send_signal(how)
    _, errors = process.communicate()
    return process.returncode, errors


def assert_resumes(corpus: Path, store: Path, whole: Feature) -> None:
    """The next run finishes the work, rewrites nothing, and the store is that of a run that nothing interrupted."""
    committed = committed_files(store)
    subprocess.run(command(corpus, store), check=True, capture_output=True)
    after = committed_files(store)
    for name, file in committed.items():
        assert after[name] == file, f"{name} was rewritten"
    resumed = Store(store).features()[0]
    assert list(orphans(resumed.path)) == []
    assert_same(resumed, whole, read_manifest(corpus))


def assert_same(one: Feature, other: Feature, manifest: Manifest) -> None:
    """Tensors bit for bit, shard names, and ledgers but for times."""
    assert one.names == other.names
    for name in one.names:
        stem = name.stem
        assert (one.path / f"{stem}.h5").read_bytes() == (other.path / f"{stem}.h5").read_bytes()
    drop = ["seconds_decode", "seconds_encode"]
    ledgers = [feature.ledger().drop(drop).sort("utterance_id") for feature in (one, other)]
    assert ledgers[0].equals(ledgers[1])
    assert one.rows_digest(manifest.ids) == other.rows_digest(manifest.ids)


@pytest.mark.parametrize("point", POINTS)
def test_killed_at_a_point_of_the_commit(corpus: Path, whole: Feature, tmp_path: Path, point: str) -> None:
    store = tmp_path / "store"
    count = 1 if point.startswith("spec") else 3
    script = [sys.executable, str(STOP_AT_POINT), point, str(count), *arguments(corpus, store)]
    done = subprocess.run(script, capture_output=True, text=True)
    assert done.returncode == -signal.SIGKILL, done.stderr
    is_committed = point in ("record named", "record durable")
    assert len(records(store)) == (0 if point.startswith("spec") else count - (not is_committed))
    assert_resumes(corpus, store, whole)


def test_every_point_is_passed_at_every_commit(corpus: Path, tmp_path: Path) -> None:
    """Without this, a point that is never reached would make its test fail, and one that was forgotten would not."""
    from features.store import commit, write_feature

    passed: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(commit, "at_point", passed.append)
        manifest = make_manifest(3)
        spec = Store(corpus.parent / "whole").features()[0].spec
        write_feature(tmp_path, spec, manifest, {key: np.zeros(spec.shape, np.float32) for key in manifest.ids})
    assert passed == list(POINTS)


def random_kills(corpus: Path, whole: Feature, folder: Path, number: int, seed: int) -> int:
    """Kill runs at random moments after the first commit; how many left both committed and uncommitted chunks."""
    chance = random.Random(seed)
    in_between = 0
    for kill in range(number):
        store = folder / f"store-{kill}"
        num_commits = chance.randrange(1, NUM_CHUNKS - 10)
        status, errors = signal_after(corpus, store, num_commits, chance.uniform(0, 0.02), signal.SIGKILL)
        assert status in (0, -signal.SIGKILL), errors
        in_between += 0 < len(records(store)) < NUM_CHUNKS
        assert_resumes(corpus, store, whole)
        shutil.rmtree(store)
    return in_between


def test_killed_at_25_random_moments(corpus: Path, whole: Feature, tmp_path: Path) -> None:
    assert random_kills(corpus, whole, tmp_path, 25, seed=4) >= 20


@pytest.mark.slow
def test_killed_at_250_random_moments(corpus: Path, whole: Feature, tmp_path: Path) -> None:
    assert random_kills(corpus, whole, tmp_path, 250, seed=5) >= 200


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_run_that_is_asked_to_stop_ends_cleanly(
    corpus: Path, whole: Feature, tmp_path: Path, how: signal.Signals
) -> None:
    store = tmp_path / "store"
    status, errors = signal_after(corpus, store, 3, 0.0, how)
    assert status == 128 + how
    assert "run the same command again to resume" in errors
    assert "Traceback" not in errors
    assert 0 < len(records(store)) < NUM_CHUNKS
    assert list(orphans(store / whole.folder)) == []
    assert_resumes(corpus, store, whole)


def test_a_run_gives_way_to_the_one_that_writes(corpus: Path, whole: Feature, tmp_path: Path) -> None:
    folder = tmp_path / "store" / whole.folder
    folder.mkdir(parents=True)
    with writer_lock(folder):
        second = subprocess.run(command(corpus, tmp_path / "store"), capture_output=True, text=True)
    assert second.returncode == 1
    assert "another run is writing it" in second.stderr
    assert len(second.stderr.strip().splitlines()) == 1
    assert [path.name for path in folder.iterdir()] == [".lock"]


def test_a_lock_that_a_dead_process_left_holds_nobody_up(corpus: Path, whole: Feature, tmp_path: Path) -> None:
    folder = tmp_path / "store" / whole.folder
    folder.mkdir(parents=True)
    hold = f"import fcntl, os, signal; f = open({str(folder / '.lock')!r}, 'w'); fcntl.flock(f, fcntl.LOCK_EX)"
    script = f"{hold}; f.write('host dead, pid 1'); f.flush(); os.kill(os.getpid(), signal.SIGKILL)"
    assert subprocess.run([sys.executable, "-c", script]).returncode == -signal.SIGKILL
    assert (folder / ".lock").read_text() == "host dead, pid 1"
    subprocess.run(command(corpus, tmp_path / "store"), check=True, capture_output=True)


def test_an_edited_text_is_encoded_again_and_alone(corpus: Path, whole: Feature, tmp_path: Path) -> None:
    store = tmp_path / "store"
    shutil.copytree(whole.root, store)
    manifest = read_manifest(corpus)
    edited = manifest.frame.with_columns(
        text=pl.when(pl.int_range(pl.len()) == 1234).then(pl.lit("WOW!!!")).otherwise(pl.col("text"))
    )
    path = write_manifest(Manifest(edited, manifest.card), tmp_path / "edited.parquet")
    assert Store(store).features()[0].stale(read_manifest(path)) == [manifest.ids[1234]]
    done = subprocess.run(command(path, store), check=True, capture_output=True, text=True)
    assert "1 of 3000 utterances left, in 1 chunks; 1 changed since they were encoded" in done.stdout
    assert Store(store).features()[0].stale(read_manifest(path)) == []
