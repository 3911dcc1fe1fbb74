"""Who trains the heads of a plan, and how they get their features: processes of this machine, here."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from heads.config.experiment import Experiment
from pipeline.suites.plan import Planned, Source
from pipeline.suites.shared_features import SharedFeature, SharedFeatures
from pipeline.suites.training import SeedTask
from pipeline.suites.workers import train_all


class Inputs(Protocol):
    def of(self, planned: Planned) -> Mapping[str, tuple[SharedFeature, ...]]:
        """What a task carries of an experiment's features; nothing where they are read elsewhere."""
        ...


class Trainers(Protocol):
    def precise(self, experiments: Sequence[Experiment]) -> list[Experiment]:
        """With the `optim.precision` that is best where they are trained, for `auto`; as they are where that is here:
        a plan knows."""
        ...

    def folds_at_once(self, folds: int, heads: int) -> int:
        """Of a cross-validation's `folds`, which have so many heads together."""
        ...

    def share(self, source: Source, workspace: Path) -> Inputs:
        """The features of a source for all tasks that train from it. workspace: for files, until all is done"""
        ...

    def train(self, tasks: Sequence[SeedTask]) -> Iterator[tuple[SeedTask, Exception | None]]:
        """Each task with its error, or None, in the order in which they end."""
        ...


class LocalTrainers:
    """jobs: processes. They map the files into which this one writes normalised features."""

    def __init__(self, jobs: int) -> None:
        self.jobs = jobs

    def precise(self, experiments: Sequence[Experiment]) -> list[Experiment]:
        return list(experiments)

    def folds_at_once(self, folds: int, heads: int) -> int:
        """As few as keep all processes busy: each takes room for its normalised features."""
        return max(1, math.ceil(self.jobs * folds / max(1, heads)))

    def share(self, source: Source, workspace: Path) -> SharedFeatures:
        return SharedFeatures(source, workspace)

    def train(self, tasks: Sequence[SeedTask]) -> Iterator[tuple[SeedTask, Exception | None]]:
        return train_all(tasks, self.jobs)
