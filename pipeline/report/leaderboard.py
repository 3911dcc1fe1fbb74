"""Runs ranked by dev, one leaderboard for each corpus and label set, and leaderboard.csv.

Dev selects and dev marks what is best in a column; a score on test never moves a row, a headline or a mark.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import polars as pl

from pipeline.report.findings import Findings
from pipeline.report.snapshot import RunSet, RunSnapshot
from pipeline.runs.folder import dev_rank
from pipeline.runs.metrics_file import BaselineScores, Metrics, Score, Spread
from pipeline.runs.reads_of_test import TestRead
from pipeline.runs.splits import EVALUATION_SPLIT, ordered_splits
from pipeline.runs.suite_record import Contrast, SuiteRecord

MODALITY_ORDER = {"text": 0, "audio": 1, "visual": 2}


@dataclass(frozen=True)
class Column:
    """One column of dev scores: how to get it from the metrics of a run, and of a baseline.

    fraction: shown as percent, the higher the better; else as it stands, the lower the better
    """

    key: str
    title: str
    of: Callable[[Metrics], Score | Spread | None]
    of_baseline: Callable[[BaselineScores], float | None] = lambda scores: None
    lower_is_better: bool = False
    percent: bool = True


@dataclass(frozen=True)
class ConfigPart:
    """One part of the configurations, by its name: of each run, in the order of the leaderboard."""

    title: str
    values: tuple[str, ...]

    @property
    def shared(self) -> bool:
        return len(self.values) > 1 and len(set(self.values)) == 1


@dataclass(frozen=True)
class Headline:
    """The dev-selected run on one split. margin: weighted F1 above the baseline's, as a fraction."""

    split: str
    score: Score
    seeds: int
    baseline: str | None
    margin: float | None


@dataclass(frozen=True)
class Corpus:
    """The runs whose scores may stand in one table: same corpus, same labels in the same order, same neutral label.

    runs:     by dev weighted F1, best first; runs without dev scores last
    findings: what `evidence` worked out from predictions and the store
    """

    runs: tuple[RunSnapshot, ...]
    test_reads: tuple[TestRead, ...] = ()
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
    def synthetic(self) -> bool:
        return any(run.manifest.synthetic for run in self.runs)

    @property
    def selected(self) -> RunSnapshot | None:
        """The run with the highest mean weighted F1 on dev; None where no run has dev scores."""
        return self.runs[0] if self.runs[0].dev else None

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
        """The label that always-neutral predicts."""
        manifest = self.runs[0].manifest
        if manifest.neutral in self.labels:
            return str(manifest.neutral)
        return max(self.labels, key=lambda label: manifest.train_label_counts.get(label, 0))

    @cached_property
    def baseline(self) -> RunSnapshot | None:
        """The run that the selected run's suite names as its baseline; of several suites, the first's that has one."""
        by_folder = {run.folder: run for run in self.runs}
        for suite in self.suites:
            folder = suite.runs.get(suite.baseline or "")
            if folder in by_folder and self.runs[0].folder in suite.runs.values():
                return by_folder[folder]
        return None

    @cached_property
    def columns(self) -> list[Column]:
        """Macro F1, accuracy, the F1 of each label, and how good the probabilities are where any run says so."""
        columns = [
            Column("macro_f1", "Macro F1", lambda scores: scores.macro_f1, lambda scores: scores.macro_f1),
            Column("accuracy", "Accuracy", lambda scores: scores.accuracy, lambda scores: scores.accuracy),
            *(_class_column(label) for label in self.labels),
        ]
        return columns + [
            column for column in _PROBABILITY_COLUMNS if any(run.dev and column.of(run.dev) for run in self.runs)
        ]

    @cached_property
    def best(self) -> dict[str, set[str]]:
        """Column key -> folders of the runs with its best dev mean. Empty where fewer than two runs are scored."""
        scored = [(run.folder, run.dev) for run in self.runs if run.dev]
        if len(scored) < 2:
            return {}
        marks = {}
        for column in self.columns:
            means = {folder: value.mean for folder, dev in scored if (value := column.of(dev))}
            if column.lower_is_better:
                marks[column.key] = {folder for folder, mean in means.items() if mean == min(means.values())}
            else:
                highest = max(means.values())
                marks[column.key] = {folder for folder, mean in means.items() if mean == highest and highest > 0}
        return marks

    @cached_property
    def names(self) -> dict[str, str]:
        """Folder -> what to call the run: its experiment, or its folder where several runs have that experiment."""
        experiments = [run.experiment for run in self.runs]
        return {
            run.folder: run.experiment if experiments.count(run.experiment) == 1 else run.folder for run in self.runs
        }

    @cached_property
    def random_weights(self) -> list[str]:
        """Names of the features that come from encoders with random weights, in any run."""
        return sorted({name for run in self.runs for name in run.random_weights})

    @cached_property
    def parts(self) -> list[ConfigPart]:
        """What a configuration is made of; where all runs have the same, the leaderboard needs no column for it."""
        seeds = [_seeds_text(run) for run in self.runs]
        named = [
            (
                "Inputs",
                [
                    "; ".join(f"{modality}: {', '.join(names)}" for modality, names in features_of(run))
                    for run in self.runs
                ],
            ),
            *((key.title(), [part_name(run.config.get(key)) for run in self.runs]) for key in ("fusion", "context")),
            ("Loss", [loss_name(run.config.get("loss")) for run in self.runs]),
            ("Seeds", seeds),
        ]
        return [ConfigPart(title, tuple(values)) for title, values in named]

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
    """Group runs by corpus, labels and neutral label; corpora by name, runs by dev. Ties go by folder name."""
    groups: dict[tuple[str, tuple[str, ...], str], list[RunSnapshot]] = {}
    for run in found.runs:
        key = (run.manifest.dataset, run.manifest.labels, run.manifest.neutral or "")
        groups.setdefault(key, []).append(run)
    return [Corpus(tuple(sorted(groups[key], key=_rank)), found.test_reads, found.suites) for key in sorted(groups)]


def modalities_of(run: RunSnapshot) -> list[str]:
    """The modalities a run reads: text, audio, visual, then others by name."""
    return sorted({feature.modality for feature in run.features}, key=lambda name: (MODALITY_ORDER.get(name, 3), name))


def features_of(run: RunSnapshot) -> list[tuple[str, list[str]]]:
    """(modality, names of its features) in the order of modalities."""
    return [
        (modality, [feature.name for feature in run.features if feature.modality == modality])
        for modality in modalities_of(run)
    ]


def part_name(value: Any) -> str:
    """What a run's fusion or context is called: config has its name, or a mapping with a name."""
    name = value.get("name") if isinstance(value, dict) else value
    return str(name) if name not in (None, "") else "none"


def loss_name(value: Any) -> str:
    """The losses of a run: `dice + 0.5 triplet`; a weight of one is not written."""
    terms = []
    for term in value if isinstance(value, list) else [value]:
        weight = term.get("weight", 1) if isinstance(term, dict) else 1
        terms.append(part_name(term) if weight == 1 else f"{weight} {part_name(term)}")
    return " + ".join(terms)


def baseline_of(metrics: Metrics) -> str | None:
    """The baseline that margins are stated over: the constant one if there is one, else the first."""
    names = list(metrics.baselines)
    return next((name for name in names if name.startswith("always-")), names[0] if names else None)


def leaderboard_csv(corpora: Sequence[Corpus]) -> str:
    """One row an experiment and split, fractions throughout; every label and baseline has columns of its own.

    An experiment without scores has one row with a null split.
    """
    rows = [row for corpus in corpora for run in corpus.runs for row in _csv_rows(corpus, run)]
    names = list(dict.fromkeys(name for row in rows for name in row))
    return pl.DataFrame([{name: row.get(name) for name in names} for row in rows], infer_schema_length=None).write_csv()


def _rank(run: RunSnapshot) -> tuple[bool, float, str]:
    return dev_rank(run.dev.weighted_f1.mean if run.dev else None, run.folder)


def _seeds_text(run: RunSnapshot) -> str:
    """`3`, or `3/5` where two of five that were started are not done."""
    started = len(run.results) + len(run.unfinished)
    scored = len(run.dev.seeds) if run.dev else len(run.results)
    return f"{scored}/{started}" if run.unfinished else f"{scored}"


def _class_column(label: str) -> Column:
    return Column(
        f"f1_{label}",
        label,
        lambda scores: scores.per_class_f1[label],
        lambda scores: scores.per_class_f1.get(label),
    )


_PROBABILITY_COLUMNS = (
    Column(
        "negative_log_likelihood",
        "NLL",
        lambda scores: scores.negative_log_likelihood,
        lower_is_better=True,
        percent=False,
    ),
    Column("calibration_error", "ECE", lambda scores: scores.calibration_error, lower_is_better=True),
)


def _headline(metrics: Metrics) -> Headline:
    baseline = baseline_of(metrics)
    margin = metrics.weighted_f1.mean - metrics.baselines[baseline].weighted_f1 if baseline else None
    return Headline(metrics.split, metrics.weighted_f1, len(metrics.seeds), baseline, margin)


def _csv_rows(corpus: Corpus, run: RunSnapshot) -> list[dict[str, Any]]:
    facts: dict[str, Any] = {
        "dataset": corpus.dataset,
        "experiment": run.experiment,
        "run": run.folder,
        "selected_by_dev": run is corpus.selected,
        "modalities": "+".join(modalities_of(run)),
        "features": "+".join(feature.folder for feature in run.features),
        "fusion": part_name(run.config.get("fusion")),
        "context": part_name(run.config.get("context")),
        "loss": loss_name(run.config.get("loss")),
        "configurations_searched": run.searched,
        "parameters": run.parameters,
        "train_seconds_per_seed": run.seconds_per_seed,
        "seeds_unfinished": len(run.unfinished),
        "synthetic_corpus": run.manifest.synthetic,
        "random_weights": bool(run.random_weights),
        "reported_percent": run.reported,
    }
    if not run.metrics:
        return [facts | {"split": None}]
    return [
        facts | _csv_scores(run.metrics[split]) | (_csv_intervals(corpus, split) if run is corpus.selected else {})
        for split in ordered_splits(run.metrics)
    ]


def _csv_intervals(corpus: Corpus, split: str) -> dict[str, float]:
    interval = corpus.findings.intervals.get(split)
    return {"weighted_f1_low": interval.low, "weighted_f1_high": interval.high} if interval else {}


def _csv_scores(metrics: Metrics) -> dict[str, Any]:
    row: dict[str, Any] = {
        "split": metrics.split,
        "utterances": metrics.utterances,
        "unlabelled": metrics.unlabelled,
        "no_input": metrics.no_input,
        "seeds": len(metrics.seeds),
        "collapsed_seeds": metrics.collapsed_seeds(),
    }
    for name in ("weighted_f1", "macro_f1", "accuracy"):
        score: Score = getattr(metrics, name)
        row |= {f"{name}_mean": score.mean, f"{name}_std": score.std}
    for label in metrics.labels:
        score = metrics.per_class_f1[label]
        row |= {
            f"f1_mean_{label}": score.mean,
            f"f1_std_{label}": score.std,
            f"support_{label}": metrics.support[label],
        }
    for name in ("negative_log_likelihood", "calibration_error"):
        spread: Spread | None = getattr(metrics, name)
        if spread:
            row |= {f"{name}_mean": spread.mean, f"{name}_std": spread.std}
    return row | {f"baseline_weighted_f1_{name}": scores.weighted_f1 for name, scores in metrics.baselines.items()}
