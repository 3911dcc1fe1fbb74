"""Trainers whose seeds are handed to trackers as they end, in the process that waits for them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from heads.config.experiment import Experiment
from pipeline.suites.plan import Source
from pipeline.suites.trainers import Inputs, LocalTrainers, Trainers
from pipeline.suites.training import SeedTask
from pipeline.terminal.output import print_warning
from pipeline.tracking.sending import Tracking


class TrackedTrainers:
    """`pipeline.suites.trainers.Trainers`, and what they train."""

    def __init__(self, trainers: Trainers, tracking: Tracking) -> None:
        self._trainers = trainers
        self._tracking = tracking

    def precise(self, experiments: Sequence[Experiment]) -> list[Experiment]:
        return self._trainers.precise(experiments)

    def folds_at_once(self, folds: int, heads: int) -> int:
        return self._trainers.folds_at_once(folds, heads)

    def share(self, source: Source, workspace: Path) -> Inputs:
        return self._trainers.share(source, workspace)

    def train(self, tasks: Sequence[SeedTask]) -> Iterator[tuple[SeedTask, Exception | None]]:
        for task, problem in self._trainers.train(tasks):
            if problem is None:
                self._tracking.seed_ended(task.run, task.seed)
            yield task, problem


def opened_tracking(out: Path, names: Sequence[str]) -> Tracking | None:
    """None where no tracker is named. Raises UsageError as `Tracking`, before anything is trained."""
    return Tracking(out, names, print_warning) if names else None


def tracked(jobs: int, tracking: Tracking | None) -> Trainers:
    """Processes of this machine, tracked where that is asked for."""
    trainers = LocalTrainers(jobs)
    return TrackedTrainers(trainers, tracking) if tracking else trainers
