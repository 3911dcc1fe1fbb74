"""A run that is asked to stop while its workers decode: it ends cleanly, no worker is left, the next goes on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from clip_factory import sine, write_clip
from processes import MARK, survivors, workers
from store_comparison import assert_same_feature
from store_factory import make_manifest

from features.manifest import write_manifest
from features.store import Feature, Store
from features.store.commit import orphans

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="processes are found in /proc")

SLOW_ENCODER = Path(__file__).with_name("slow_encoder.py")
NUM_UTTERANCES = 350
NUM_CHUNKS = 10
PATIENCE_S = 120


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("corpus")
    for number in range(5):
        sound = sine(1.0, 16000, 200 + 50 * number)
        write_clip(folder / f"{number}.mp4", times_ms=range(0, 1000, 40), samples=sound, rate_hz=16000)
    manifest = make_manifest(NUM_UTTERANCES, media=lambda number: f"{number % 5}.mp4")
    return write_manifest(replace(manifest, media_root=folder), folder / "manifest.parquet")


def arguments(corpus: Path, store: Path) -> list[str]:
    flags = ["--encoder", "waveform", "--workers", "2", "--manifest", str(corpus), "--store", str(store)]
    return ["extract", *flags]


@pytest.fixture(scope="module")
def whole(corpus: Path) -> Feature:
    """The store of a run that nothing interrupted."""
    return finish(corpus, corpus.parent / "whole")


def finish(corpus: Path, store: Path) -> Feature:
    main = "from pipeline.cli import main; main()"
    subprocess.run([sys.executable, "-c", main, *arguments(corpus, store)], check=True, capture_output=True)
    (feature,) = Store(store).features()
    return feature


@dataclass(frozen=True)
class Run:
    """`erc extract` in a process group of its own, whose processes can be told by their mark."""

    process: subprocess.Popen[str]
    mark: str
    store: Path

    @property
    def num_commits(self) -> int:
        return len(list(self.store.glob("audio/*/[0-9]*.json")))

    def wait_until(self, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while not condition():
            assert self.process.poll() is None, self.process.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.002)

    def assert_ended(self, status: int) -> None:
        """It says how to go on and leaves no process."""
        _, errors = self.process.communicate(timeout=PATIENCE_S)
        assert "Traceback" not in errors, errors
        assert self.process.returncode == status, errors
        assert "run the same command again to resume" in errors
        assert survivors(self.mark) == []


def start(corpus: Path, store: Path, *script: str) -> Run:
    mark = uuid.uuid4().hex
    command = [sys.executable, *(script or ("-c", "from pipeline.cli import main; main()")), *arguments(corpus, store)]
    process = subprocess.Popen(
        command,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env=os.environ | {MARK: mark},
    )
    return Run(process, mark, store)


def assert_resumes(corpus: Path, store: Path, whole: Feature) -> None:
    assert list(orphans(store / whole.folder)) == []
    assert_same_feature(finish(corpus, store), whole)


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_asked_to_stop_while_workers_decode(corpus: Path, whole: Feature, tmp_path: Path, how: signal.Signals) -> None:
    run = start(corpus, tmp_path / "store")
    run.wait_until(lambda: run.num_commits >= 1)
    assert len(workers(run.mark)) == 2
    run.process.send_signal(how)
    run.assert_ended(128 + how)
    assert 0 < run.num_commits < NUM_CHUNKS
    assert list(orphans(tmp_path / "store" / whole.folder)) == []
    if how is signal.SIGINT:
        assert_resumes(corpus, tmp_path / "store", whole)


@pytest.mark.parametrize("delay_s", [0.0, 0.2])
def test_ctrl_c_reaches_workers_that_are_starting(corpus: Path, tmp_path: Path, delay_s: float) -> None:
    """A terminal sends it to all processes of the run: only the first answers."""
    run = start(corpus, tmp_path / "store")
    run.wait_until(lambda: bool(workers(run.mark)))
    time.sleep(delay_s)
    os.killpg(run.process.pid, signal.SIGINT)
    run.assert_ended(130)


@pytest.mark.slow
def test_ctrl_c_twice_while_a_batch_is_encoded(corpus: Path, whole: Feature, tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.touch()
    run = start(corpus, tmp_path / "store", str(SLOW_ENCODER), "1", str(log))
    run.wait_until(lambda: log.read_text().count("begin") >= 2)
    os.killpg(run.process.pid, signal.SIGINT)
    time.sleep(0.3)
    os.killpg(run.process.pid, signal.SIGINT)
    run.assert_ended(130)
    said = log.read_text().split()
    assert said == ["begin", "end"] * (len(said) // 2), "a batch was left in the middle"
    assert run.num_commits < NUM_CHUNKS
    assert_resumes(corpus, tmp_path / "store", whole)


def test_a_killed_run_leaves_no_worker(corpus: Path, tmp_path: Path) -> None:
    run = start(corpus, tmp_path / "store")
    run.wait_until(lambda: run.num_commits >= 1)
    run.process.send_signal(signal.SIGKILL)
    run.process.communicate()
    assert survivors(run.mark) == []


@pytest.mark.slow
def test_a_worker_that_is_killed_from_outside_costs_nothing(corpus: Path, whole: Feature, tmp_path: Path) -> None:
    """As when memory runs out: its clip is decoded again."""
    run = start(corpus, tmp_path / "store")
    run.wait_until(lambda: run.num_commits >= 1)
    os.kill(workers(run.mark)[0], signal.SIGKILL)
    assert run.process.wait(PATIENCE_S) == 0
    assert survivors(run.mark) == []
    (feature,) = Store(tmp_path / "store").features()
    assert_same_feature(feature, whole)
