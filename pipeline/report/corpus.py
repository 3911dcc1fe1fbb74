"""Runs ranked by dev, one leaderboard for each corpus and label set.

Dev selects and dev marks what is best in a column; a score on test never moves a row, a headline or a mark.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from features.cards import WEIGHTED_F1
from heads.criterion import Criterion
from heads.metrics import ALWAYS_NEUTRAL, MAJORITY
from pipeline.pages.words import NOTHING
from pipeline.report.columns import Column, best_of, columns_of
from pipeline.report.configuration import SETTINGS, ConfigPart, parts_of
from pipeline.report.differences import differences_of
from pipeline.report.findings import Findings
from pipeline.report.names import names_of
from pipeline.report.snapshot import RunSet, RunSnapshot
from pipeline.runs.metrics_file import Metrics, Score
from pipeline.runs.ranking import Candidate, rank, seeds_asked
from pipeline.runs.reads_of_test import TestRead
from pipeline.runs.splits import EVALUATION_SPLIT, ordered_splits
from pipeline.runs.suite_record import Contrast, SuiteRecord
from pipeline.runs.tried import Tried, count_tried


@dataclass(frozen=True)
class Headline:
    """The dev-selected run on one split, by the score that the corpus is judged by. margin: above the baseline's, as a
    fraction."""

    split: str
    score: Score
    seeds: int
    baseline: str | None
    margin: float | None


@dataclass(frozen=True)
class Corpus:
    """The runs whose scores may stand in one table: same corpus, same labels in the same order, same neutral label, and
    judged by the same score.

    runs:     as `pipeline.runs.ranking` ranks them: by that score on dev, best first; then those of fewer seeds than
              `asked`, which are not ranked; runs without dev scores last
    asked:    how many seeds a ranked run has
    test_reads: of the runs' own test split; other_reads: of those of other corpora
    findings: what `evidence` worked out from predictions and the store
    """

    runs: tuple[RunSnapshot, ...]
    asked: int = 1
    test_reads: tuple[TestRead, ...] = ()
    other_reads: tuple[TestRead, ...] = ()
    suites: tuple[SuiteRecord, ...] = ()
    findings: Findings = field(default_factory=Findings)

    @property
    def dataset(self) -> str:
        return self.runs[0].manifest.dataset

    @property
    def title(self) -> str:
        return self.runs[0].manifest.title or self.dataset

    @property
    def labels(self) -> tuple[str, ...]:
        return self.runs[0].manifest.labels

    @property
    def criterion(self) -> Criterion:
        """The score that the runs were selected and are judged by."""
        return self.runs[0].manifest.criterion

    @property
    def synthetic(self) -> bool:
        return any(run.manifest.synthetic for run in self.runs)

    @property
    def selected(self) -> RunSnapshot | None:
        """The ranked run with the highest mean score on dev; None where no run has dev scores."""
        return self.runs[0] if self.runs[0].dev else None

    @cached_property
    def ranked(self) -> tuple[RunSnapshot, ...]:
        return tuple(run for run in self.runs if run.dev and run.seeds >= self.asked)

    @cached_property
    def fewer(self) -> tuple[RunSnapshot, ...]:
        """Runs of fewer seeds than asked for, by score: shown, not ranked."""
        return tuple(run for run in self.runs if run.dev and run.seeds < self.asked)

    @cached_property
    def tried(self) -> Tried:
        """How many configurations have dev scores, and how many more were started."""
        return count_tried((run.configuration, run.dev is not None) for run in self.runs)

    @property
    def dev(self) -> Metrics | None:
        """Dev scores of the selected run: its support and baselines stand for the corpus."""
        return self.runs[0].dev

    @cached_property
    def splits(self) -> list[str]:
        """Every split that some run was scored on."""
        return ordered_splits(split for run in self.runs for split in run.metrics)

    @cached_property
    def headlines(self) -> list[Headline]:
        """The selected run on each split it was scored on."""
        if self.selected is None:
            return []
        return [_headline(self.selected.metrics[split]) for split in ordered_splits(self.selected.metrics)]

    @property
    def main(self) -> Headline | None:
        """The headline that comes first: on test, where the selected run was scored there, else on dev."""
        found = {line.split: line for line in self.headlines}
        return found.get(EVALUATION_SPLIT) or next(iter(self.headlines), None)

    @property
    def constant(self) -> str:
        """The label that the constant baseline predicts: the neutral one, else the most frequent of train."""
        manifest = self.runs[0].manifest
        if manifest.neutral in self.labels:
            return str(manifest.neutral)
        return max(self.labels, key=lambda label: manifest.train_label_counts.get(label, 0))

    @cached_property
    def baseline(self) -> RunSnapshot | None:
        """The run that the selected run's suite names as its baseline; of several suites, the first's that has one.
        Where the selected run is in no suite, the baseline of the only suite that has one here."""
        by_folder = {run.folder: run for run in self.runs}
        own = [suite for suite in self.suites if self.runs[0].folder in suite.runs.values()]
        named = [suite.runs.get(suite.baseline or "", "") for suite in own or self.suites]
        found = list(dict.fromkeys(folder for folder in named if folder in by_folder))
        return by_folder[found[0]] if len(found) == 1 or (found and own) else None

    @cached_property
    def columns(self) -> list[Column]:
        """Of `columns_of`."""
        return columns_of(self.criterion.name, self.labels, [run.dev for run in self.runs if run.dev])

    @cached_property
    def best(self) -> dict[str, set[str]]:
        """Column key -> folders of the runs with its best dev mean. Empty where fewer than two runs are ranked."""
        return best_of(self.columns, {run.folder: run.dev for run in self.ranked if run.dev})

    @cached_property
    def names(self) -> dict[str, str]:
        """Of `names_of`."""
        return names_of(self.runs, self.suites)

    @cached_property
    def random_weights(self) -> list[str]:
        """Names of the features that come from encoders with random weights, in any run."""
        return sorted({name for run in self.runs for name in run.random_weights})

    @cached_property
    def foreign(self) -> list[str]:
        """Names of the features that others made, in any run."""
        return sorted({name for run in self.runs for name in run.foreign})

    @cached_property
    def parts(self) -> list[ConfigPart]:
        """What a configuration is made of, and what else tells a run from the others; where all runs have the same, the
        leaderboard needs no column for it."""
        differences = differences_of(self.runs, self.suites)
        told = [ConfigPart(SETTINGS, tuple(one or NOTHING for one in differences))] if any(differences) else []
        return parts_of(self.runs) + told

    @property
    def shared_parts(self) -> list[ConfigPart]:
        """Those that are the same in all of several runs."""
        return [part for part in self.parts if part.shared]

    @property
    def train_seconds(self) -> float | None:
        """Training time of all heads; None where one is not known."""
        known = [run.train_seconds for run in self.runs if run.results]
        return sum(value for value in known if value is not None) if known and None not in known else None

    @property
    def shows_reported(self) -> bool:
        """Whether any run has a published score to stand beside its own."""
        return any(run.reported is not None for run in self.runs)

    def contrasts_of(self, suite: SuiteRecord) -> list[tuple[Contrast, RunSnapshot | None, RunSnapshot | None]]:
        """A suite's contrasts that name a run of this corpus, with both runs (None: not among the runs)."""
        by_folder = {run.folder: run for run in self.runs}
        found = []
        for contrast in suite.contrasts:
            a, b = (by_folder.get(suite.runs.get(name, "")) for name in (contrast.a, contrast.b))
            if a or b:
                found.append((contrast, a, b))
        return found

    def duplicates(self) -> list[tuple[str, str]]:
        """(experiment, the equal one of this corpus that was trained in its place)."""
        folders = {run.folder for run in self.runs}
        return [
            (name, first)
            for suite in self.suites
            for name, first in sorted(suite.duplicates.items())
            if suite.runs.get(name) in folders
        ]


def corpora_of(found: RunSet) -> list[Corpus]:
    """Group runs by corpus, labels, neutral label and the score that judges; corpora by name, runs by dev. Ties go by
    folder name."""
    groups: dict[tuple[str, tuple[str, ...], str, str], list[RunSnapshot]] = {}
    for run in found.runs:
        judged = "" if run.manifest.criterion.name == WEIGHTED_F1 else str(run.manifest.criterion.key())
        key = (run.manifest.dataset, run.manifest.labels, run.manifest.neutral or "", judged)
        groups.setdefault(key, []).append(run)
    return [_corpus(groups[key], found) for key in sorted(groups)]


def _corpus(runs: list[RunSnapshot], found: RunSet) -> Corpus:
    """With the reads of its runs' test splits. A read of a run that is not there any more counts for every corpus."""
    others = {run.folder for run in found.runs} - {run.folder for run in runs}
    reads = [read for read in found.test_reads if Path(read.run).name not in others]
    own, foreign = (tuple(read for read in reads if read.own is wanted) for wanted in (True, False))
    asked = seeds_asked({run.folder: run.seeds for run in runs}, found.suites)
    candidates = [
        Candidate(run, run.folder, run.dev.headline_score.mean if run.dev else None, run.seeds) for run in runs
    ]
    return Corpus(rank(candidates, asked).all, asked, own, foreign, found.suites)


def baseline_of(metrics: Metrics) -> str | None:
    """The baseline that margins are stated over: the constant one if there is one, else the first."""
    names = list(metrics.baselines)
    return next((name for name in names if name in (ALWAYS_NEUTRAL, MAJORITY)), names[0] if names else None)


def _headline(metrics: Metrics) -> Headline:
    baseline = baseline_of(metrics)
    rule = metrics.baselines[baseline].score(metrics.headline) if baseline else None
    margin = None if rule is None else metrics.headline_score.mean - rule
    return Headline(metrics.split, metrics.headline_score, len(metrics.seeds), baseline, margin)
