"""What a report knows of the runs in a folder, all of it read."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipeline.runs.features_file import FeaturesFile, FeatureUse, ManifestFacts
from pipeline.runs.folds_file import FoldsFile
from pipeline.runs.metrics_file import Metrics
from pipeline.runs.reads_of_test import TestRead
from pipeline.runs.seed_files import Curve, SeedResult, mean_seconds
from pipeline.runs.splits import SELECTION_SPLIT
from pipeline.runs.suite_record import SuiteRecord


@dataclass(frozen=True)
class RunSnapshot:
    """One run folder, all of it read: one experiment of one configuration.

    folder:     name of its folder, which is unique among the runs of a report
    path:       the folder itself; None where the run was not read from one
    metrics:    split of the run's own corpus -> Metrics
    elsewhere:  what was scored on other rows, each with `scored`
    results:    the seeds that are done
    unfinished: seeds that were started and are not done
    """

    folder: str
    experiment: str
    config: dict[str, Any]
    record: FeaturesFile
    metrics: dict[str, Metrics] = field(default_factory=dict)
    elsewhere: tuple[Metrics, ...] = ()
    results: tuple[SeedResult, ...] = ()
    unfinished: tuple[int, ...] = ()
    curves: tuple[Curve, ...] = ()
    path: Path | None = None

    @property
    def manifest(self) -> ManifestFacts:
        return self.record.manifest

    @property
    def features(self) -> tuple[FeatureUse, ...]:
        return self.record.features

    @property
    def dev(self) -> Metrics | None:
        """The scores that rank this run."""
        return self.metrics.get(SELECTION_SPLIT)

    @property
    def seeds(self) -> int:
        """How many its dev scores are of; 0 without any."""
        return len(self.dev.seeds) if self.dev else 0

    @property
    def configuration(self) -> str:
        """What is the same in runs of equal configuration and features, where they say so."""
        return self.record.run or self.folder

    @property
    def random_weights(self) -> list[str]:
        """Names of the features whose encoder had random weights."""
        return [feature.name for feature in self.features if feature.weights == "random"]

    @property
    def foreign(self) -> list[str]:
        """Names of the features that others made (`erc store import`)."""
        return [feature.name for feature in self.features if feature.weights == "foreign"]

    @property
    def parameters(self) -> int | None:
        known = [result.parameters for result in self.results if result.parameters is not None]
        return known[0] if known else None

    @property
    def seconds_per_seed(self) -> float | None:
        """Mean training time of a seed."""
        return mean_seconds(self.results)

    @property
    def train_seconds(self) -> float | None:
        """Training time of all finished seeds; None where one did not record its own."""
        known = [result.train_seconds for result in self.results if result.train_seconds is not None]
        return sum(known) if known and len(known) == len(self.results) else None

    @property
    def searched(self) -> int | None:
        """How many configurations a search tried before it chose this one; None where no search is recorded."""
        tuned = self.config.get("tuned")
        value = tuned.get("configurations_tried") if isinstance(tuned, dict) else None
        return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None

    @property
    def reported(self) -> float | None:
        """The published score of `paper.reported`, in percent as it was printed, or None."""
        paper = self.config.get("paper")
        value = paper.get("reported") if isinstance(paper, dict) else None
        return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


@dataclass(frozen=True)
class Unreadable:
    """A run folder that was skipped, and why."""

    folder: str
    problem: str


@dataclass(frozen=True)
class RunSet:
    """Everything that was found in a folder of runs. folded: name of its folder -> a nested cross-validation."""

    runs: tuple[RunSnapshot, ...]
    unreadable: tuple[Unreadable, ...] = ()
    test_reads: tuple[TestRead, ...] = ()
    suites: tuple[SuiteRecord, ...] = ()
    notes: tuple[str, ...] = ()
    folded: dict[str, FoldsFile] = field(default_factory=dict)
