"""Heads trained by the actors of a Ray cluster: the same code on the same rows, one head at a time each.

Ray only schedules: an actor takes the next head as soon as it has done one. One that dies costs the head in its hands,
which is tried again with another.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from features.engines.ray_actors import ActorPool, Killed, Notice
from features.engines.ray_cluster import Cluster, connected, place_actors
from features.errors import EngineError, TrainingError
from heads.config.experiment import Experiment
from pipeline.suites.plan import Planned, Source
from pipeline.suites.ray_worker import Answer, HeadTask, HeadTrainer, Rows
from pipeline.suites.shared_features import SharedFeature
from pipeline.suites.training import SeedTask

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
        notice: Notice = lambda line: None,
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
        with ActorPool(self._worker, rows, _Heads(heads), placement, self._notice) as pool:
            for number, answer in pool.answers(range(len(heads))):
                if isinstance(answer, Answer) and answer.unfit:
                    raise EngineError(answer.unfit)
                if number is None:
                    continue
                failed = f"it {answer}, perhaps for want of memory" if isinstance(answer, Killed) else answer.failed
                yield tasks[number], TrainingError(failed) if failed else None


class _Heads:
    """The tasks of an `ActorPool`."""

    def __init__(self, heads: Sequence[HeadTask]) -> None:
        self._heads = heads

    def task(self, number: int) -> HeadTask:
        return self._heads[number]

    def name(self, number: int) -> str:
        head = self._heads[number]
        return f"{head.experiment.name}, seed {head.seed}"

    def died(self, number: int) -> None:
        """Nothing is kept of it: a seed's folder is written at its end."""


@contextmanager
def open_trainers(address: str | None, device: str, actors: int | None, notice: Notice) -> Iterator[RayTrainers]:
    """Connect to a cluster, or start one on this machine. Raises what `ray_cluster.connected` and
    `Cluster.resolve_device` raise."""
    with connected(address) as cluster:
        yield RayTrainers(cluster, cluster.resolve_device(device), actors, notice)
