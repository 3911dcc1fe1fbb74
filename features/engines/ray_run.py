"""One run on a Ray cluster: its actors' chunks, and what they say of them.

Of a chunk whose actor died, what was committed before is found in the store.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from features.engines.activity import Activity, joined
from features.engines.job import Advance, Job
from features.engines.ray_actors import ActorPool, Killed, Notice
from features.engines.ray_cluster import Placement
from features.engines.ray_worker import ChunkDone, ChunkTask, ChunkWorker, JobDone, Setup, Trouble, cut_task
from features.errors import EngineError, Reason
from features.manifest import Manifest
from features.store.commit import ShardName, committed_names
from features.store.ledger import OUTSIDE, read_ledgers


class RayRun:
    """See the module. As `ActorPool` has them, its tasks are the chunks."""

    def __init__(
        self,
        manifest: Manifest,
        root: Path,
        jobs: Sequence[Job],
        numbers: Sequence[int],
        setup: Setup,
        placement: Placement,
        *,
        advance: Advance,
        notice: Notice,
        worker: type[ChunkWorker],
    ) -> None:
        self._worker = worker
        self._manifest = manifest
        self._jobs = jobs
        self._plans = [job.plan for job in jobs]
        self._folders = [root / job.key for job in jobs]
        self._before = [_names(folder) for folder in self._folders]
        self._numbers = numbers
        self._setup = setup
        self._placement = placement
        self._advance = advance
        self._notice = notice
        self._activities: list[Activity] = []

    def finish(self) -> list[Activity]:
        """Do all chunks; what it returns and raises, see `RayEngine.run`."""
        given_up: list[int] = []
        with ActorPool(
            self._worker, self._setup, self, self._placement, self._notice, "to start and load the encoders"
        ) as pool:
            for number, answer in pool.answers(self._numbers):
                if isinstance(answer, Trouble):
                    raise EngineError(answer.message)
                if number is not None and isinstance(answer, Killed):
                    given_up.append(number)
                elif number is not None:
                    self._take(answer)
        if given_up:
            left = f"chunks {', '.join(map(str, given_up))} are left: each {Killed()}, perhaps for want of memory"
            raise EngineError(f"{left}; all others are committed; run it again with --engine local to see why")
        return joined(self._activities, self._placement.actors)

    def task(self, number: int) -> ChunkTask | None:
        return cut_task(self._manifest, self._plans, number)

    def name(self, number: int) -> str:
        return f"chunk {number}"

    def died(self, number: int) -> None:
        """Count what a dead actor had committed of its chunk, and leave that out when the chunk is tried again."""
        for index, (job, plan) in enumerate(zip(self._jobs, self._plans, strict=True)):
            names = self._committed(index, number)
            if names and any(chunk.number == number for chunk in plan.chunks):
                self._add(job, _recorded(self._folders[index], names[-1]))
                self._plans[index] = replace(plan, chunks=[chunk for chunk in plan.chunks if chunk.number != number])

    def _committed(self, index: int, number: int) -> list[ShardName]:
        """The shards of a chunk that were committed since this run began: one writer at a time has the chunk."""
        return sorted(name for name in _names(self._folders[index]) - self._before[index] if name.chunk == number)

    def _take(self, done: ChunkDone) -> None:
        for job, made in zip(self._jobs, done.jobs, strict=True):
            self._add(job, made)
        self._activities += done.activities

    def _add(self, job: Job, done: JobDone) -> None:
        for reason, count in done.reasons.items():
            job.reasons[reason] = job.reasons.get(reason, 0) + count
        job.count(done.counts)
        job.outside += done.outside
        job.shards += done.shards
        prepare, decode, encode, write = done.seconds
        job.seconds_prepare += prepare
        job.seconds_decode += decode
        job.seconds_encode += encode
        job.seconds_write += write
        job.batches.size = min(job.batch_size, done.lowered_to or job.batch_size)
        self._advance(sum(done.reasons.values()))


def _names(folder: Path) -> set[ShardName]:
    return set(committed_names(folder)) if folder.is_dir() else set()


def _recorded(folder: Path, name: ShardName) -> JobDone:
    """What a ledger says of a shard whose worker could not."""
    (frame,) = read_ledgers([folder / f"{name.stem}.parquet"])
    reasons = Counter(None if reason is None else Reason(reason) for reason in frame["reason"])
    counted = [name for name in ("cut", "num_tokens", "num_unknown") if name in frame.columns]
    counts = {str(name): int(frame[name].sum()) for name in counted}
    outside = frame[OUTSIDE].count() if OUTSIDE in frame.columns else 0
    return JobDone(dict(reasons), counts, 1, outside=outside)
