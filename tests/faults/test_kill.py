"""A killed extraction: nothing committed is lost or changed, and the next run finishes the work."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import polars as pl
import pytest
from store_factory import make_manifest

from features.manifest import Manifest, read_manifest, write_manifest
from features.store import Feature, Store
from features.store.lock import writer_lock

TEXTS = ["Oh no!", "What are you doing here?", "I am FINE... really", "ha ha ha!!!"]


def command(manifest: Path, store: Path) -> list[str]:
    flags = ["--encoder", "surface", "--manifest", str(manifest), "--store", str(store)]
    return [sys.executable, "-c", "from pipeline.cli import main; main()", "extract", *flags]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    manifest = make_manifest(10_000, text=lambda number: f"{TEXTS[number % 4]} {number}")
    return write_manifest(manifest, tmp_path_factory.mktemp("corpus") / "manifest.parquet")


@pytest.fixture(scope="module")
def whole(corpus: Path) -> Feature:
    """The store of a run that nothing interrupted."""
    store = corpus.parent / "whole"
    subprocess.run(command(corpus, store), check=True, capture_output=True)
    return Store(store).features()[0]


def kill_after_first_commit(corpus: Path, store: Path, how: signal.Signals) -> tuple[int, dict[str, bytes]]:
    """Kill a run once it has committed a shard; its exit status and what was committed by then."""
    process = subprocess.Popen(command(corpus, store), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    deadline = time.monotonic() + 60
    while not list(store.glob("text/*/[0-9]*.json")):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.002)
    process.send_signal(how)
    process.communicate()
    committed = [path for record in store.glob("text/*/[0-9]*.json") for path in record.parent.glob(f"{record.stem}.*")]
    return process.returncode, {path.name: path.read_bytes() for path in committed}


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_a_killed_run_resumes(corpus: Path, whole: Feature, tmp_path: Path, how: signal.Signals) -> None:
    store = tmp_path / "store"
    status, committed = kill_after_first_commit(corpus, store, how)
    assert status == (130 if how is signal.SIGINT else -how)
    manifest = read_manifest(corpus)
    feature = Store(store).features()[0]
    present = feature.read(manifest.ids).present
    assert present.any(), "the kill came before the first commit"
    assert not present.all(), "the kill came too late to test anything"
    subprocess.run(command(corpus, store), check=True, capture_output=True)
    resumed = Store(store).features()[0]
    for name, content in committed.items():
        assert (resumed.path / name).read_bytes() == content, f"{name} was rewritten"
    assert_same(resumed, whole, manifest)


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


def test_a_run_gives_way_to_the_one_that_writes(corpus: Path, whole: Feature, tmp_path: Path) -> None:
    folder = tmp_path / "store" / whole.folder
    folder.mkdir(parents=True)
    with writer_lock(folder):
        second = subprocess.run(command(corpus, tmp_path / "store"), capture_output=True, text=True)
    assert second.returncode == 1
    assert "another run is writing it" in second.stderr
    assert len(second.stderr.strip().splitlines()) == 1
    assert [path.name for path in folder.iterdir()] == [".lock"]


def test_an_edited_text_is_encoded_again_and_alone(corpus: Path, whole: Feature, tmp_path: Path) -> None:
    import shutil

    store = tmp_path / "store"
    shutil.copytree(whole.root, store)
    manifest = read_manifest(corpus)
    edited = manifest.frame.with_columns(
        text=pl.when(pl.int_range(pl.len()) == 1234).then(pl.lit("WOW!!!")).otherwise(pl.col("text"))
    )
    path = write_manifest(Manifest(edited, manifest.card), tmp_path / "edited.parquet")
    assert Store(store).features()[0].stale(read_manifest(path)) == [manifest.ids[1234]]
    done = subprocess.run(command(path, store), check=True, capture_output=True, text=True)
    assert "1 of 10000 utterances left, in 1 chunks; 1 changed since they were encoded" in done.stdout
    assert Store(store).features()[0].stale(read_manifest(path)) == []
