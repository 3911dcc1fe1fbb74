"""The engine of one machine: how it hands clips to the pool that decodes them."""

from __future__ import annotations

import weakref
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from store_factory import make_manifest, make_spec

from features.encoders.protocol import Input
from features.engines import local
from features.engines.clip_task import ClipResult, ClipTask
from features.engines.decode_pool import DecodeOptions, DecodePool
from features.extract import plan_extraction
from features.media.needs import ClipNeeds
from features.store import Feature, open_writer
from features.store.plan import PlanOptions

AHEAD = 20
CHUNKS = 58
CHUNK = 35


class Recited:
    """A clip encoder that is given the utterance's text."""

    reads = "clip"
    batch_size = 4
    needs = ClipNeeds()
    prepare: Any = None

    def __init__(self) -> None:
        self.spec = make_spec(modality="audio", encoder="recited", depends="media", shape=(1,))

    def encode(self, inputs: Sequence[Input]) -> list[np.ndarray]:
        return [np.array([item.value], np.float32) for item in inputs]


class EagerPool(DecodePool):
    """Decodes nothing, and takes AHEAD tasks before it gives the first result."""

    def map(self, tasks: Iterable[ClipTask]) -> Iterator[ClipResult]:
        pending: deque[ClipTask] = deque()
        for task in tasks:
            pending.append(task)
            if len(pending) > AHEAD:
                yield result_of(pending.popleft())
        while pending:
            yield result_of(pending.popleft())


def result_of(task: ClipTask) -> ClipResult:
    number = int(task.utterance.text.removeprefix("text "))
    return ClipResult(task, dict.fromkeys(task.readers, Input(number, 1, ("",), ({},))), 1, 1, "0")


@pytest.mark.parametrize("every", [1, CHUNK, 2 * CHUNK])
def test_the_tasks_of_a_chunk_are_made_once_and_let_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, every: int
) -> None:
    """every: how many utterances there are to each one with a clip; most or all of the others have none"""
    made: list[int] = []
    alive: weakref.WeakSet[ClipTask] = weakref.WeakSet()
    most = 0
    make = local._clip_tasks

    def counted(*arguments: Any) -> dict[int, ClipTask]:
        found = make(*arguments)
        made.append(len(found))
        alive.update(found.values())
        return found

    def advance(count: int) -> None:
        nonlocal most
        most = max(most, len(alive))

    monkeypatch.setattr(local, "_clip_tasks", counted)
    manifest = make_manifest(CHUNKS * CHUNK, media=lambda number: "clip" if number % every == 0 else None)
    (tmp_path / "clip").write_bytes(b"clip")
    manifest = replace(manifest, media_root=tmp_path)
    encoder = Recited()
    jobs = plan_extraction(manifest, tmp_path / "store", [encoder], PlanOptions())
    assert len(jobs[0].plan.chunks) == CHUNKS
    with open_writer(tmp_path / "store", encoder.spec) as writer:
        jobs[0].writer = writer
        pool = EagerPool({}, workers=0)
        local.run_local(manifest, tmp_path / "store", jobs, decoding=DecodeOptions(), advance=advance, pool=pool)
    per_chunk = {1: [CHUNK] * CHUNKS, CHUNK: [1] * CHUNKS, 2 * CHUNK: [1, 0] * (CHUNKS // 2)}[every]
    assert made == per_chunk
    in_a_chunk = max(per_chunk)
    assert most <= AHEAD + 6 * in_a_chunk  # of the chunk read last, the one in hand, and those being written
    rows = Feature(tmp_path / "store", encoder.spec.folder).read(manifest.ids)
    assert rows.present.tolist() == [number % every == 0 for number in range(len(manifest))]
    assert rows.values[rows.present, 0].tolist() == list(range(0, len(manifest), every))
