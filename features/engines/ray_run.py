"""One run on a Ray cluster: its actors, and which chunk each of them has.

An actor that dies costs the chunk it had in hand, which is tried again; what it committed before is found in the store.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from features.engines.activity import Activity, joined
from features.engines.job import Advance, Job
from features.engines.ray_cluster import Placement
from features.engines.ray_worker import ChunkDone, ChunkWorker, JobDone, Setup, Trouble, cut_task
from features.errors import EngineError, Reason
from features.manifest import Manifest
from features.store.commit import ShardName, committed_names
from features.store.ledger import OUTSIDE, read_ledgers

RETRIES = 3
_PATIENCE_S = 30.0
_CLOSING_S = 10.0

Notice = Callable[[str], object]


class RayRun:
    """See the module. `stop` is to be called however `finish` ends."""

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
        import ray

        self._worker = worker
        self._manifest = manifest
        self._jobs = jobs
        self._plans = [job.plan for job in jobs]
        self._folders = [root / job.key for job in jobs]
        self._before = [_names(folder) for folder in self._folders]
        self._waiting = deque(numbers)
        self._deaths: Counter[int] = Counter()
        self._false_starts = 0
        self._given_up: list[int] = []
        self._setup = ray.put(setup)
        self._placement = placement
        self._advance = advance
        self._notice = notice
        self._alive: list[Any] = []
        self._idle: list[Any] = []
        self._in_hand: dict[Any, tuple[Any, int | None]] = {}  # answer to come -> actor, its chunk (None: being set up)
        self._activities: list[Activity] = []

    def finish(self) -> list[Activity]:
        """Start the actors and do all chunks; what it returns and raises, see `RayEngine.run`."""
        import ray

        for _ in range(self._placement.actors):
            self._start()
        while self._in_hand:
            ready, _ = ray.wait(list(self._in_hand), num_returns=1, timeout=_PATIENCE_S)
            if not ready:
                self._say_what_is_waited_for()
                continue
            actor, number = self._in_hand.pop(ready[0])
            try:
                answer = ray.get(ready[0])
            except ray.exceptions.RayTaskError as error:
                raise (error.cause or error) from None
            except ray.exceptions.RayError as error:
                self._bury(actor, number, error)
                continue
            if isinstance(answer, Trouble):
                raise EngineError(answer.message)
            if number is not None:
                self._take(number, answer)
            self._hand_on(actor)
        if self._given_up:
            raise EngineError(
                f"chunks {', '.join(map(str, self._given_up))} are left: each killed its worker {RETRIES + 1} times,"
                " perhaps for want of memory; all others are committed; run it again with --engine local to see why"
            )
        return joined(self._activities, self._placement.actors)

    def stop(self) -> None:
        """End the actors: those in hand at once, idle ones with their decoding processes."""
        import ray

        closing = [actor.close.remote() for actor in self._idle]
        if closing:
            ray.wait(closing, num_returns=len(closing), timeout=_CLOSING_S)
        for actor in self._alive:
            ray.kill(actor)

    def _start(self) -> None:
        import ray

        place = {"num_cpus": self._placement.cpus, "num_gpus": self._placement.gpus, "scheduling_strategy": "SPREAD"}
        actor = ray.remote(self._worker).options(max_restarts=0, max_task_retries=0, **place).remote()
        self._alive.append(actor)
        self._in_hand[actor.set_up.remote(self._setup)] = (actor, None)

    def _hand_on(self, actor: Any) -> None:
        """Give the actor the next chunk, or let it rest."""
        while self._waiting:
            number = self._waiting.popleft()
            task = cut_task(self._manifest, self._plans, number)
            if task is not None:
                self._in_hand[actor.run.remote(task)] = (actor, number)
                return
        self._idle.append(actor)

    def _committed(self, index: int, number: int) -> list[ShardName]:
        """The shards of a chunk that were committed since this run began: one writer at a time has the chunk."""
        return sorted(name for name in _names(self._folders[index]) - self._before[index] if name.chunk == number)

    def _take(self, number: int, done: ChunkDone) -> None:
        for job, made in zip(self._jobs, done.jobs, strict=True):
            self._add(job, made)
        self._activities += done.activities

    def _bury(self, actor: Any, number: int | None, error: Exception) -> None:
        """An actor is gone: try its chunk again, with another actor."""
        import ray

        ray.kill(actor)  # it may only be out of reach
        self._alive.remove(actor)
        if number is None:
            self._false_starts += 1
            if self._false_starts > RETRIES:
                lines = [line for line in str(error).splitlines() if line.strip()]
                reason = lines[-1].strip() if lines else type(error).__name__
                raise EngineError(f"workers of Ray do not start: {reason} (is this package installed on every node?)")
        else:
            self._salvage(number)
            self._deaths[number] += 1
            if self._deaths[number] > RETRIES:
                self._given_up.append(number)
            else:
                self._waiting.appendleft(number)
                self._notice(f"a worker died over chunk {number}: retry {self._deaths[number]} of {RETRIES}")
        if self._idle and self._waiting:
            self._hand_on(self._idle.pop())
        elif self._waiting:
            self._start()

    def _salvage(self, number: int) -> None:
        """Count what a dead actor had committed of its chunk, and leave that out when the chunk is tried again."""
        for index, (job, plan) in enumerate(zip(self._jobs, self._plans, strict=True)):
            names = self._committed(index, number)
            if names and any(chunk.number == number for chunk in plan.chunks):
                self._add(job, _recorded(self._folders[index], names[-1]))
                self._plans[index] = replace(plan, chunks=[chunk for chunk in plan.chunks if chunk.number != number])

    def _add(self, job: Job, done: JobDone) -> None:
        for reason, count in done.reasons.items():
            job.reasons[reason] = job.reasons.get(reason, 0) + count
        job.cut += done.cut
        job.outside += done.outside
        job.shards += done.shards
        prepare, decode, encode, write = done.seconds
        job.seconds_prepare += prepare
        job.seconds_decode += decode
        job.seconds_encode += encode
        job.seconds_write += write
        job.batches.size = min(job.batch_size, done.lowered_to or job.batch_size)
        self._advance(sum(done.reasons.values()))

    def _say_what_is_waited_for(self) -> None:
        starting = sum(number is None for _, number in self._in_hand.values())
        if starting == len(self._in_hand):
            reserved = f"{self._placement.gpus:g} GPU" if self._placement.gpus else f"{self._placement.cpus:g} CPU"
            self._notice(f"waiting for {starting} Ray workers, each with {reserved}, to start and load the encoders")


def _names(folder: Path) -> set[ShardName]:
    return set(committed_names(folder)) if folder.is_dir() else set()


def _recorded(folder: Path, name: ShardName) -> JobDone:
    """What a ledger says of a shard whose worker could not."""
    (frame,) = read_ledgers([folder / f"{name.stem}.parquet"])
    reasons = Counter(None if reason is None else Reason(reason) for reason in frame["reason"])
    cut = int(frame["cut"].sum()) if "cut" in frame.columns else 0
    outside = frame[OUTSIDE].count() if OUTSIDE in frame.columns else 0
    return JobDone(dict(reasons), cut, 1, outside=outside)
