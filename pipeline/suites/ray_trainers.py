"""Heads trained by the actors of a Ray cluster: the same code on the same rows, one head at a time each.

Ray only schedules: an actor takes the next head as soon as it has done one. One that dies costs the head in its hands,
which is tried again with another.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from features.engines.ray_cluster import Cluster, Placement, connected, place_actors
from features.errors import EngineError, TrainingError
from heads.config.experiment import Experiment
from pipeline.suites.plan import Planned, Source
from pipeline.suites.ray_worker import Answer, HeadTask, HeadTrainer, Rows
from pipeline.suites.shared_features import SharedFeature
from pipeline.suites.training import SeedTask

RETRIES = 3
_PATIENCE_S = 30.0
_CLOSING_S = 10.0

Ended = tuple[SeedTask, Exception | None]


class NoInputs:
    """Actors read features themselves."""

    def of(self, planned: Planned) -> Mapping[str, tuple[SharedFeature, ...]]:
        return {}


class RayTrainers:
    """`pipeline.suites.trainers.Trainers` on a cluster. device: cpu or cuda; actors: how many, None for as many as it
    has CPUs, or GPUs; notice: is told of actors that died or do not start; worker: what runs in an actor"""

    def __init__(
        self,
        cluster: Cluster,
        device: str,
        actors: int | None = None,
        notice: Callable[[str], object] = lambda line: None,
        worker: type[HeadTrainer] = HeadTrainer,
    ) -> None:
        self.cluster = cluster
        self.device = device
        self.placement = place_actors(cluster.nodes, device, 1, actors)
        self._notice = notice
        self._worker = worker
        self._sources: dict[int, Source] = {}  # by the identity of its utterances, which tasks carry

    def precise(self, experiments: Sequence[Experiment]) -> list[Experiment]:
        """`optim.precision: auto` as what the cluster's device has units for."""
        if not any(experiment.optim.precision == "auto" for experiment in experiments):
            return list(experiments)
        precision = self.cluster.preferred_dtype(self.device)
        return [
            replace(item, optim=item.optim.model_copy(update={"precision": precision}))
            if item.optim.precision == "auto"
            else item
            for item in experiments
        ]

    def folds_at_once(self, folds: int, heads: int) -> int:
        """All, so that actors start once."""
        return folds

    def share(self, source: Source, workspace: Path) -> NoInputs:
        self._sources[id(source.utterances)] = source
        return NoInputs()

    def train(self, tasks: Sequence[SeedTask]) -> Iterator[Ended]:
        """Raises EngineError where actors do not start, or one does not see or compute what this process does."""
        if not tasks:
            return
        placement = replace(self.placement, actors=min(self.placement.actors, len(tasks)))
        used = [key for key in self._sources if any(id(task.utterances) == key for task in tasks)]
        rows = tuple(Rows.of(self._sources[key]) for key in used)
        heads = [
            HeadTask(
                task.experiment,
                task.seed,
                task.run.absolute(),
                task.device,
                task.computation,
                used.index(id(task.utterances)),
            )
            for task in tasks
        ]
        round_ = _Round(heads, rows, placement, self._notice, self._worker)
        try:
            for number, problem in round_.finish():
                yield tasks[number], TrainingError(problem) if problem else None
        finally:
            round_.stop()


class _Round:
    """The actors of one call, and which head each of them has."""

    def __init__(
        self,
        heads: Sequence[HeadTask],
        rows: tuple[Rows, ...],
        placement: Placement,
        notice: Callable[[str], object],
        worker: type[HeadTrainer],
    ) -> None:
        import ray

        self._heads = heads
        self._waiting = deque(range(len(heads)))
        self._rows = ray.put(rows)
        self._placement = placement
        self._notice = notice
        self._worker = worker
        self._deaths: Counter[int] = Counter()
        self._false_starts = 0
        self._alive: list[Any] = []
        self._idle: list[Any] = []
        self._in_hand: dict[Any, tuple[Any, int | None]] = {}  # answer to come -> actor, its head (None: being set up)

    def finish(self) -> Iterator[tuple[int, str | None]]:
        """The number of each head and why it failed, as they end."""
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
                answer: Answer = ray.get(ready[0])
            except ray.exceptions.RayTaskError as error:
                raise (error.cause or error) from None
            except ray.exceptions.RayError as error:
                self._bury(actor, number, error)
                if number is not None and self._deaths[number] > RETRIES:
                    yield number, f"it killed its worker {RETRIES + 1} times, perhaps for want of memory"
                continue
            if answer.unfit:
                raise EngineError(answer.unfit)
            if number is not None:
                yield number, answer.failed
            self._hand_on(actor)

    def stop(self) -> None:
        """End the actors: those in hand at once, idle ones with their files."""
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
        self._in_hand[actor.set_up.remote(self._rows)] = (actor, None)

    def _hand_on(self, actor: Any) -> None:
        """Give the actor the next head, or let it rest."""
        if not self._waiting:
            self._idle.append(actor)
            return
        number = self._waiting.popleft()
        self._in_hand[actor.train.remote(self._heads[number])] = (actor, number)

    def _bury(self, actor: Any, number: int | None, error: Exception) -> None:
        """An actor is gone: its head waits for another one."""
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
            self._deaths[number] += 1
            if self._deaths[number] <= RETRIES:
                self._waiting.appendleft(number)
                head = self._heads[number]
                self._notice(
                    f"a worker died over {head.experiment.name}, seed {head.seed}: retry {self._deaths[number]} of"
                    f" {RETRIES}"
                )
        if self._waiting and self._idle:
            self._hand_on(self._idle.pop())
        elif self._waiting:
            self._start()

    def _say_what_is_waited_for(self) -> None:
        starting = sum(number is None for _, number in self._in_hand.values())
        if starting == len(self._in_hand):
            reserved = f"{self._placement.gpus:g} GPU" if self._placement.gpus else f"{self._placement.cpus:g} CPU"
            self._notice(f"waiting for {starting} Ray workers, each with {reserved}, to start")


@contextmanager
def open_trainers(
    address: str | None, device: str, actors: int | None, notice: Callable[[str], object]
) -> Iterator[RayTrainers]:
    """Connect to a cluster, or start one on this machine. Raises what `ray_cluster.connected` and
    `Cluster.resolve_device` raise."""
    with connected(address) as cluster:
        yield RayTrainers(cluster, cluster.resolve_device(device), actors, notice)
