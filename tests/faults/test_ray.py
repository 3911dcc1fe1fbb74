"""Extraction on a local Ray cluster: the local engine's bits, whatever happens to the actors."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from clip_factory import every, write_clip
from dying_workers import (
    CHUNK,
    DiesAlways,
    DiesAtTheStart,
    DiesBeforeItReports,
    DiesBetweenTwoCommits,
    NeverStarts,
)
from store_comparison import assert_same_store
from store_factory import make_manifest
from tiny_bert import WORDS, write_tiny_bert

from features.encoders.protocol import EncoderRequest
from features.engines.decode_pool import DecodeOptions
from features.engines.job import Job
from features.engines.ray import RayEngine
from features.engines.ray_cluster import Cluster, connected
from features.engines.ray_worker import ChunkWorker
from features.errors import EngineError, StoreBusyError
from features.extract import Engine, LocalEngine, begin_extraction
from features.manifest import Manifest, write_manifest
from features.store import Store
from features.store.commit import orphans
from features.store.lock import writer_lock
from features.store.plan import PlanOptions

pytest.importorskip("ray")

NUM_CHUNKS = 6
SURFACE = EncoderRequest("surface")
HOG = EncoderRequest("hog-colour")


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join(sys.path))  # actors import the tests' own workers
        patch.setenv("RAY_worker_niceness", "0")  # Ray's own 15 lets the other tests starve the actors
        with connected("local") as found:
            yield found


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    """A few clips under many ids, one of them damaged and one that is not there."""
    root = tmp_path_factory.mktemp("media")
    for number in range(4):
        write_clip(root / f"{number}.mp4", times_ms=every(100 + number, 5))
    (root / "3.mp4").write_bytes(b"no clip")
    manifest = make_manifest(
        NUM_CHUNKS * 35,
        text=lambda row: " ".join(WORDS[row % 13 : row % 13 + 1 + row % 9]),
        media=lambda row: f"{row % 5}.mp4",
    )
    return replace(manifest, media_root=root)


def run(
    engine: Engine, manifest: Manifest, store: Path, requests: Sequence[EncoderRequest], workers: int = 1
) -> tuple[list[Job], list[int]]:
    """The jobs after the run, and what progress was told."""
    told: list[int] = []
    device = engine.resolve_device("cpu", False)
    built, implied = engine.build([replace(request, device=device) for request in requests], store, "fp32")
    with begin_extraction(manifest, store, built, PlanOptions(), implied) as jobs:
        engine.run(manifest, store, jobs, decoding=DecodeOptions(workers=workers), advance=told.append)
    return jobs, told


@pytest.fixture(scope="module")
def whole(corpus: Manifest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Job]]:
    """The store that one process makes."""
    store = tmp_path_factory.mktemp("local") / "store"
    jobs, _ = run(LocalEngine(), corpus, store, [SURFACE, HOG])
    return store, jobs


def outcomes(jobs: Sequence[Job]) -> list[tuple[str, dict[object, int], int, int]]:
    return [(job.key, dict(job.reasons), job.cut, job.shards) for job in jobs]


@pytest.mark.parametrize(
    "worker",
    [
        DiesBetweenTwoCommits,
        pytest.param(ChunkWorker, marks=pytest.mark.slow),  # what the one above does, too
        pytest.param(DiesAtTheStart, marks=pytest.mark.slow),
        pytest.param(DiesBeforeItReports, marks=pytest.mark.slow),
    ],
)
def test_two_actors_make_the_store_of_one_process(
    cluster: Cluster,
    corpus: Manifest,
    whole: tuple[Path, list[Job]],
    tmp_path: Path,
    worker: type[ChunkWorker],
    capfd: pytest.CaptureFixture[str],
) -> None:
    """Also where an actor is killed: nothing is lost, done twice or counted twice."""
    notices: list[str] = []
    store = tmp_path / "store"
    jobs, told = run(RayEngine(cluster, 2, notices.append, worker), corpus, store, [SURFACE, HOG])
    assert_same_store(store, whole[0])
    assert outcomes(jobs) == outcomes(whole[1])
    assert sum(told) == 2 * len(corpus)
    assert store.with_suffix(".died").exists() is (worker is not ChunkWorker)
    died = [] if worker is ChunkWorker else [f"a worker died over chunk {CHUNK}: retry 1 of 3"]
    assert [line for line in notices if "waiting" not in line] == died
    assert capfd.readouterr().out == ""


@pytest.mark.slow
def test_a_chunk_that_kills_every_actor_is_left_and_the_rest_is_done(
    cluster: Cluster, corpus: Manifest, tmp_path: Path
) -> None:
    store = tmp_path / "store"
    with pytest.raises(EngineError, match=f"chunks {CHUNK} are left: each killed its worker 4 times"):
        run(RayEngine(cluster, 1, worker=DiesAlways), corpus, store, [SURFACE])
    (feature,) = Store(store).features()
    assert {name.chunk for name in feature.names} == set(range(NUM_CHUNKS)) - {CHUNK}
    jobs, _ = run(LocalEngine(), corpus, store, [SURFACE])
    assert jobs[0].plan.left == 35
    assert Store(store).features()[0].read(corpus.ids).present.all()


def test_actors_that_do_not_start_are_one_line(cluster: Cluster, corpus: Manifest, tmp_path: Path) -> None:
    with pytest.raises(EngineError, match=r"workers of Ray do not start: .*no module of that name") as caught:
        run(RayEngine(cluster, 1, worker=NeverStarts), corpus, tmp_path / "store", [SURFACE])
    assert "\n" not in str(caught.value)


def test_the_driver_holds_the_lock_for_its_actors(cluster: Cluster, corpus: Manifest, tmp_path: Path) -> None:
    folder = tmp_path / "store" / LocalEngine().build([SURFACE], tmp_path, "fp32")[0][0].spec.folder
    folder.mkdir(parents=True)
    with writer_lock(folder), pytest.raises(StoreBusyError, match="another run is writing it"):
        run(RayEngine(cluster, 1), corpus, tmp_path / "store", [SURFACE])


def children(process: int) -> list[int]:
    """The processes below one, whatever their depth."""
    found: list[int] = []
    for entry in Path("/proc").iterdir():
        try:
            parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
        except (OSError, ValueError, IndexError):
            continue
        if parent == process:
            found += [int(entry.name), *children(int(entry.name))]
    return found


@pytest.mark.slow
def test_ctrl_c_ends_the_actors_and_keeps_what_is_committed(corpus: Manifest, tmp_path: Path) -> None:
    store = tmp_path / "store"
    path = write_manifest(corpus, tmp_path / "manifest.parquet")
    flags = ["extract", "--encoder", "hog-colour", "--manifest", str(path), "--store", str(store)]
    script = [sys.executable, "-c", "from pipeline.cli import main; main()", *flags]
    process = subprocess.Popen(
        [*script, "--engine", "ray", "--ray-actors", "1", "--workers", "1"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env=os.environ | {"RAY_ADDRESS": "local"},
    )
    deadline = time.monotonic() + 100
    while not list(store.glob("visual/*/[0-9]*.json")):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.01)
    below = children(process.pid)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to every process of the group
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGINT
    said = [line for line in errors.splitlines() if line and "waiting" not in line]
    assert said == ["erc: stopped: committed shards are kept; run the same command again to resume"]
    while any(Path(f"/proc/{number}/cmdline").exists() for number in below):
        assert time.monotonic() < deadline, "a process of the cluster is left"
        time.sleep(0.05)
    assert 0 < len(list(store.glob("visual/*/[0-9]*.json"))) < NUM_CHUNKS
    assert subprocess.run(script, capture_output=True).returncode == 3  # the damaged clips
    (feature,) = Store(store).features()
    assert [name.stem for name in feature.names] == [f"{number:05d}" for number in range(NUM_CHUNKS)]
    assert list(orphans(feature.path)) == []


@pytest.mark.slow
def test_networks_give_the_same_bits_in_actors(cluster: Cluster, corpus: Manifest, tmp_path: Path) -> None:
    """Threads are the driver's, batches the chunk's; what is derived finds its source in the actor and in the store."""
    bert = EncoderRequest("sentence", model=str(write_tiny_bert(tmp_path / "bert")))
    faces = EncoderRequest(
        "retinaface-resnet50", {"frames": 1, "size": 48, "confidence": 0.02}, weights="random", alias="of-faces"
    )
    small = replace(corpus, frame=corpus.frame[:70])
    for engine, name in ((LocalEngine(), "local"), (RayEngine(cluster, 2), "ray")):
        run(engine, small, tmp_path / name, [bert, faces])
    assert_same_store(tmp_path / "local", tmp_path / "ray")
    features = {item.name: item for item in Store(tmp_path / "ray").features()}
    assert set(features) == {"sentence", "faces", "of-faces"}
    assert features["sentence"].read(small.ids).present.all()
    assert np.ptp(features["sentence"].read(small.ids).values, axis=0).max() > 0.1
    cropped = replace(faces, settings={**faces.settings, "mode": "crop"}, alias="cropped")
    for engine, name in ((LocalEngine(), "local"), (RayEngine(cluster, 2), "ray")):
        run(engine, small, tmp_path / name, [cropped])
    assert_same_store(tmp_path / "local", tmp_path / "ray")
