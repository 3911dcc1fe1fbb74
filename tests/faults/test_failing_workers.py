"""One recipe for all that can go wrong in a worker: end it, try the clip once alone in a fresh one, blame the clip."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from bad_preparers import Behaving
from clip_factory import write_clip
from crowded_preparers import HOW, Crowded
from test_hanging_clip import LONG_S, NEEDS, reasons, tasks

from features.encoders.protocol import Input, Preparer
from features.engines import decode_pool
from features.engines.clip_task import ClipReader, ClipResult, process_clip
from features.engines.decode_pool import DecodePool
from features.errors import Reason, UnavailableError

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="signals and limits as Linux has them")

LIMIT_S = 2.0
REASONS = {
    "die": "worker-died",
    "starve": "out-of-memory",
    "refuse": "out-of-memory",
    "raise": "unprepared",
    "hang": "timed-out",
}


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_clip(tmp_path_factory.mktemp("clips") / "clip.mp4", times_ms=[0, 100])


def run(clip: Path, folder: Path, texts: Sequence[str]) -> tuple[list[ClipResult], list[str]]:
    """The results of clips whose preparer is Crowded, and its log."""
    todo = tasks(clip, texts)
    with DecodePool({"one": ClipReader(NEEDS, Crowded(folder))}, 2, LIMIT_S) as pool:
        results = list(pool.map(todo))
    assert [result.task for result in results] == todo
    return results, (folder / "log").read_text().splitlines()


def begun(log: Sequence[str], text: str) -> list[str]:
    return [line for line in log if line.removesuffix(" alone") == text]


def test_every_way_to_fail_is_tried() -> None:
    assert REASONS.keys() == HOW.keys()


@pytest.mark.parametrize("how", HOW)
def test_a_clip_that_fails_only_in_company_succeeds_alone(clip: Path, tmp_path: Path, how: str) -> None:
    results, log = run(clip, tmp_path, ["", "", how, "", "", how, ""])
    assert [result.outcomes["one"].value for result in results] == [  # type: ignore[union-attr]
        result.task.utterance.utterance_id for result in results
    ]
    assert begun(log, how).count(f"{how} alone") == 2
    assert 2 <= len(begun(log, how)) <= 4
    assert len(begun(log, "")) == 5, "another clip was decoded twice"


@pytest.mark.parametrize("how", HOW)
def test_a_clip_that_fails_alone_too_is_tried_twice_and_blamed_once(clip: Path, tmp_path: Path, how: str) -> None:
    results, log = run(clip, tmp_path, ["", "", f"{how} always", "", ""])
    assert reasons(results) == [None, None, REASONS[how], None, None]
    assert len(begun(log, f"{how} always")) == 2
    assert begun(log, f"{how} always")[1] == f"{how} always alone"
    assert len(begun(log, "")) == 4


def test_a_worker_without_memory_does_not_go_on_to_the_next_clip(clip: Path) -> None:
    """It keeps what it took: in the same process no later clip has any."""
    with DecodePool({"one": ClipReader(NEEDS, Behaving())}, 1, LONG_S) as pool:
        results = list(pool.map(tasks(clip, ["", "hoard", "large", "large", ""])))
    assert reasons(results) == [None, "out-of-memory", None, None, None]


def test_a_clip_that_is_refused_in_good_order_is_not_tried_again(clip: Path, tmp_path: Path) -> None:
    silent = clip.with_name("no-media.mp4")
    silent.write_bytes(b"no media")
    todo = tasks(silent, [""]) + tasks(clip, [""])
    with DecodePool({"one": ClipReader(NEEDS, Crowded(tmp_path))}, 1, LONG_S) as pool:
        refused, _ = pool.map(todo)
        assert reasons([refused]) == ["undecodable"]
        assert refused.fault is None
        assert pool._in_vain.total() == 0


def test_an_error_that_clips_raise_alone_too_is_believed_after_a_while(
    clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fault of the encoder: two starts of a process a clip, one after the other, would take hours of a corpus."""
    monkeypatch.setattr(decode_pool, "_IN_VAIN", 2)
    results, log = run(clip, tmp_path, ["raise always"] * 8 + ["starve always"] * 3)
    assert reasons(results) == ["unprepared"] * 8 + ["out-of-memory"] * 3
    assert len(begun(log, "raise always")) == 8 + 2
    assert len(begun(log, "starve always")) == 3 + 3, "the want of memory says nothing of a later clip"


@pytest.mark.parametrize(
    ("errors", "fault"),
    [
        ([None, None], None),
        ([UnavailableError, None], None),
        ([ZeroDivisionError, UnavailableError], "ZeroDivisionError"),
        ([ZeroDivisionError, MemoryError], "MemoryError"),
        ([UnavailableError, ValueError], "ValueError"),
    ],
)
def test_the_fault_of_a_clip_is_that_of_any_of_its_encoders(
    clip: Path, errors: list[type[Exception] | None], fault: str | None
) -> None:
    def preparer(error: type[Exception] | None) -> Preparer:
        def prepare(item: Any, /) -> Input:
            if error is not None:
                raise UnavailableError(Reason.NO_AUDIO) if error is UnavailableError else error("odd")
            return Input(0, 1, ("",), ({},))

        return prepare

    readers = {str(number): ClipReader(NEEDS, preparer(error)) for number, error in enumerate(errors)}
    (task,) = tasks(clip, [""])
    assert process_clip(replace(task, readers=tuple(readers)), readers).fault == fault
