"""Clips that hang their worker, stop it or kill it: each costs one row, in the middle of sending its result as well."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from bad_preparers import HANGING, Behaving
from clip_factory import write_clip
from processes import MARK, is_running, survivors, workers
from store_factory import make_manifest, make_spec

from features.encoders.protocol import Input
from features.engines import worker as worker_module
from features.engines.clip_task import ClipReader, ClipResult, ClipTask
from features.engines.decode_pool import DecodeOptions, DecodePool
from features.engines.worker import TaskTimedOutError, Worker
from features.errors import StoreError, UnavailableError, WorkerError
from features.extract import extract_features
from features.manifest import Manifest
from features.media import limits
from features.media.needs import ClipNeeds, FramesNeed
from features.store import Feature
from features.store.plan import PlanOptions

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="signals and /proc as Linux has them")

NEEDS = ClipNeeds(frames=FramesNeed(1, 30.0))
LIMIT_S = 2.0  # enough for a behaving clip on a busy core
HANGS_S = 1.0  # where clips do nothing or hang: one that is late all the same has its second try
LONG_S = 600.0


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_clip(tmp_path_factory.mktemp("clips") / "clip.mp4", times_ms=[0, 100])


def tasks(clip: Path, texts: Sequence[str]) -> list[ClipTask]:
    manifest = make_manifest(len(texts), text=lambda number: texts[number])
    return [ClipTask(utterance, clip, ("one",)) for utterance in manifest.utterances()]


def reasons(results: Sequence[ClipResult]) -> list[str | None]:
    outcomes = [result.outcomes["one"] for result in results]
    return [str(outcome.reason) if isinstance(outcome, UnavailableError) else None for outcome in outcomes]


def decode(clip: Path, texts: Sequence[str], limit_s: float = LONG_S, count: int = 2) -> list[ClipResult]:
    """The results of clips whose preparer does what `texts` say; they are those of the tasks, in order."""
    todo = tasks(clip, texts)
    with DecodePool({"one": ClipReader(NEEDS, Behaving())}, count, limit_s) as pool:
        results = list(pool.map(todo))
    assert [result.task for result in results] == todo
    assert multiprocessing.active_children() == []
    return results


class ClipEncoder:
    reads = "clip"
    batch_size = 4
    needs = NEEDS
    prepare: Any = Behaving()

    def __init__(self) -> None:
        self.spec = make_spec(modality="visual", encoder="fake", depends="media")

    def encode(self, inputs: Sequence[Input]) -> list[np.ndarray]:
        return [np.ones(3, np.float32) for _ in inputs]


def test_a_clip_that_hangs_is_a_failed_row_and_the_others_go_on(clip: Path, tmp_path: Path) -> None:
    texts = ["", "", *HANGING, "", ""] + [""] * 11
    mended = replace(make_manifest(20, media=clip.name, text=""), media_root=clip.parent)
    manifest = replace(mended, frame=mended.frame.with_columns(text=pl.Series(texts)))

    def run(manifest: Manifest, **options: Any) -> Feature:
        jobs = extract_features(
            manifest, tmp_path, [ClipEncoder()], PlanOptions(**options), decoding=DecodeOptions(2, HANGS_S)
        )
        return Feature(tmp_path, jobs[0].key)

    feature = run(manifest)
    expected = ["timed-out" if text in HANGING else None for text in texts]
    rows = feature.read(manifest.ids)
    assert rows.reason == expected
    assert expected.count("timed-out") == 5
    ledger = feature.ledger()
    assert set(ledger["status"].filter(ledger["reason"] == "timed-out")) == {"failed"}
    assert ledger["detail"][2] == "not decoded within 1 s: raise --clip-timeout if it only takes long"
    assert ledger["seconds_decode"][2] == HANGS_S
    assert (ledger["media_size"][2], ledger["media_mtime_ns"][2]) == (clip.stat().st_size, clip.stat().st_mtime_ns)
    assert multiprocessing.active_children() == []
    assert run(manifest).names == feature.names  # not tried again
    assert run(mended, retry_failed=True).read(manifest.ids).reason == [None] * 20


@pytest.mark.parametrize("how", ["die", "die-while-sending"])
def test_a_clip_that_kills_its_worker_twice_costs_one_row(clip: Path, tmp_path: Path, how: str) -> None:
    log = tmp_path / "log"
    log.touch()
    todo = tasks(clip, ["", how, "large", "", "", "large", ""])
    with DecodePool({"one": ClipReader(NEEDS, Behaving(log))}, 2, LONG_S) as pool:
        results = list(pool.map(todo))
    assert reasons(results) == [None, "worker-died"] + [None] * 5
    started = [line.split(" ", 1)[1] for line in log.read_text().splitlines()]
    assert started.count(how) == 2
    assert len(started) == 8, "another clip was decoded twice"
    assert started.index(how, started.index(how) + 1) == 7, "the second time was not alone"


def test_a_result_that_cannot_be_sent_costs_one_row(clip: Path) -> None:
    results = decode(clip, ["", "unsendable", ""], count=1)
    assert reasons(results) == [None, "unprepared", None]
    error = results[1].outcomes["one"]
    assert isinstance(error, UnavailableError)
    assert "pickle" in error.detail
    assert results[0].outcomes["one"].value != results[2].outcomes["one"].value  # type: ignore[union-attr]


def test_waiting_for_a_worker_does_not_count(clip: Path) -> None:
    assert reasons(decode(clip, ["half-a-second"] * 8, LIMIT_S, count=1)) == [None] * 8


def test_few_tasks_are_ahead_while_a_clip_hangs(clip: Path) -> None:
    taken = 0

    def counted() -> Iterator[ClipTask]:
        nonlocal taken
        for task in tasks(clip, ["sleep"] + [""] * 80):
            taken += 1
            yield task

    with DecodePool({"one": ClipReader(NEEDS, Behaving())}, 2, HANGS_S) as pool:
        for number, result in enumerate(pool.map(counted())):
            assert taken - number <= 2 * 8 + 1
            assert result.task.utterance.turn == number % 7
    assert taken == 81


def test_workers_are_limited_in_memory(clip: Path) -> None:
    (result,) = decode(clip, ["limit"], count=1)
    assert isinstance(result.outcomes["one"], Input)
    assert 0 < result.outcomes["one"].value - limits.MAX_WORKER_BYTES < 1 << 36


def test_workers_decode_even_a_few_clips() -> None:
    assert DecodeOptions().workers_for(1) == 1
    assert 1 <= DecodeOptions().workers_for(3) <= 3
    assert DecodeOptions(clip_timeout_s=5.0).workers_for(1) == 1
    assert DecodeOptions(0).workers_for(100) == 0
    assert DecodeOptions(0, 5.0).workers_for(100) == 0
    assert 1 <= DecodeOptions().workers_for(9) <= 9


def test_an_error_elsewhere_ends_the_workers_at_once(
    clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A shard that cannot be written, while a clip hangs: whoever holds the error holds no process."""
    texts = [""] * 70 + ["sleep"] * 35  # two chunks, and a third
    manifest = make_manifest(105, media=clip.name, text=lambda number: texts[number])
    manifest = replace(manifest, media_root=clip.parent)

    def fail(*arguments: object) -> None:
        raise StoreError("the disk is full")

    monkeypatch.setattr("features.engines.local._commit", fail)
    monkeypatch.setattr("features.engines.local._SHARDS_WAITING", 1)
    with pytest.raises(StoreError, match="the disk is full") as caught:
        extract_features(manifest, tmp_path, [ClipEncoder()], decoding=DecodeOptions(2))
    assert multiprocessing.active_children() == []
    assert caught.value is not None


# What a worker itself promises.


def wait_before_start(seconds: float) -> None:
    time.sleep(seconds)


def die_at_start() -> None:
    os._exit(3)


def work(task: str) -> str:
    return "done" if task == "quick" else time.sleep(1000) or ""


def test_the_start_of_a_worker_does_not_count() -> None:
    worker = Worker(work, wait_before_start, (4.0,))
    try:
        assert worker.do("quick", LIMIT_S) == "done"
    finally:
        worker.close()


def test_a_worker_that_cannot_start_ends_the_run_and_blames_no_clip() -> None:
    worker = Worker(work, die_at_start, ())
    with pytest.raises(WorkerError, match="ended 3 times before its first clip: --workers 0 shows why"):
        worker.do("quick", LONG_S)


def test_a_process_that_cannot_be_killed_at_once_is_left_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    """As one that waits for a disk that does not answer: the signal has no effect before it does."""
    monkeypatch.setattr(worker_module, "_END_LIMIT_S", 0.1)
    worker = Worker(work, wait_before_start, (0.0,))
    with monkeypatch.context() as patch:
        patch.setattr(multiprocessing.process.BaseProcess, "kill", lambda process: None)
        with pytest.raises(TaskTimedOutError):
            worker.do("hang", 1.0)
        left = multiprocessing.active_children()
        assert len(left) == 1
        assert worker.do("quick", LONG_S) == "done"
    for process in left:
        process.kill()
    worker.close()


def test_an_ended_worker_starts_no_other_process() -> None:
    worker = Worker(work, wait_before_start, (0.0,))
    threading.Timer(1.0, worker.end).start()
    with pytest.raises(worker_module.TaskDiedError):
        worker.do("hang", LONG_S)
    with pytest.raises(worker_module.TaskDiedError):
        worker.do("quick", LONG_S)
    worker.close()
    assert multiprocessing.active_children() == []


POOL = """
import sys
from pathlib import Path
from bad_preparers import Behaving
from test_hanging_clip import NEEDS, tasks
from features.engines.clip_task import ClipReader
from features.engines.decode_pool import DecodePool
if __name__ == "__main__":
    clip, log, *texts = sys.argv[1:]
    with DecodePool({"one": ClipReader(NEEDS, Behaving(Path(log)))}, len(texts), 600.0) as pool:
        list(pool.map(tasks(Path(clip), texts)))
"""


def test_workers_end_when_their_parent_is_killed(clip: Path, tmp_path: Path) -> None:
    """Idle, busy, stopped, or holding the interpreter for themselves."""
    texts = ["sleep", "regex", "stop", ""]
    script, log, mark = tmp_path / "pool.py", tmp_path / "log", uuid.uuid4().hex
    script.write_text(POOL)
    log.touch()
    paths = os.pathsep.join(
        [str(Path.cwd()), *(str(Path(__file__).parents[1] / name) for name in ("features", "faults"))]
    )
    environment = os.environ | {MARK: mark, "PYTHONPATH": paths}
    parent = subprocess.Popen([sys.executable, str(script), str(clip), str(log), *texts], env=environment)
    deadline = time.monotonic() + 120
    while len(log.read_text().splitlines()) < len(texts):
        assert parent.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert len(workers(mark)) == len(texts)
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    assert [process for process in survivors(mark) if is_running(process)] == []
