"""Cross-validation of experiments within the train split, and its summary. No other split is read.

Fold I's heads are ordinary runs in RUNS/cv-K-GROUP/fold-I/, whose `dev` is what the fold holds out; `erc report RUNS`
and `erc evaluate RUNS` do not look there. As in any run, the epoch is the one best on `dev`: scores of folds compare
configurations, and are a little too high for scores of new dialogues.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from features.errors import RunError
from features.manifest import Manifest
from heads.config.experiment import Experiment
from heads.data.utterances import UNLABELLED
from heads.training.folds import Folding, fold_utterances
from pipeline.runs.features_file import Fold
from pipeline.runs.json_files import write_json
from pipeline.runs.metrics_file import Score
from pipeline.runs.tried import count_tried
from pipeline.suites.plan import Plan, Planned, Source, make_plan, run_key
from pipeline.suites.run import Outcome, Part, run_parts
from pipeline.suites.shared_features import SharedFeatures


@dataclass
class CrossValidated:
    """What became of a cross-validation.

    plan:     on all train rows
    entries:  experiment -> its entry in summary.json, of those whose folds are all there
    trained:  heads that were trained now, of `heads` in all
    failures: experiment -> why not, in one line
    document: summary.json
    """

    plan: Plan
    entries: dict[str, dict[str, Any]] = field(default_factory=dict)
    trained: int = 0
    heads: int = 0
    failures: dict[str, str] = field(default_factory=dict)
    document: dict[str, Any] = field(default_factory=dict)


def open_train(store: Path, manifest: Manifest, allow_stale: bool = False, allow_absent: bool = False) -> Source:
    """The store and the train rows alone."""
    return Source.open(store, manifest, allow_stale, ("train",), allow_absent)


def fold_sources(source: Source, folding: Folding) -> list[Source]:
    """The source once for each fold, whose rows are `dev`. Raises as `heads.training.folds.fold_utterances`."""
    folds = fold_utterances(source.utterances, folding, str(source.manifest.path or "the manifest"))
    return [
        replace(source, utterances=utterances, fold=Fold(number=number, of=folding.count, group=folding.by))
        for number, utterances in enumerate(folds, start=1)
    ]


def fold_part(plan: Plan, source: Source, runs: Path, shared: SharedFeatures | None = None) -> Part:
    """A plan made on all train rows as one fold runs it. runs: RUNS/cv-K-GROUP."""
    planned = [
        Planned(item.experiment, item.features, run_key(item.experiment, item.features, source.utterances))
        for item in plan.planned
    ]
    number = source.fold.number if source.fold else 0
    folders = {item.experiment.name: runs / f"fold-{number}" / item.folder_name for item in planned}
    return Part(Plan(planned), source, folders, shared)


def cross_validate(
    experiments: Sequence[Experiment],
    source: Source,
    folding: Folding,
    seeds: Sequence[int],
    runs: Path,
    jobs: int,
    device: str,
    command: str,
) -> CrossValidated:
    """Train what is not finished of every fold and write RUNS/cv-K-GROUP/summary.json.

    source: of the train split alone (`open_train`). Normalised features are written once a fold; of so many folds at a
    time as it takes to keep all processes busy.
    """
    folder = runs / folding.name
    sources = fold_sources(source, folding)
    plan = make_plan(experiments, source, device)
    result = CrossValidated(plan, failures=dict(plan.failures))
    if not plan.planned:
        return result
    parts = [fold_part(plan, fold, folder) for fold in sources]
    at_once = math.ceil(jobs / (len(plan.planned) * len(seeds)))
    outcomes: list[Outcome] = []
    for start in range(0, folding.count, at_once):
        outcomes += run_parts(parts[start : start + at_once], seeds, jobs, device, command)
    for number, outcome in enumerate(outcomes, start=1):
        result.trained += outcome.trained
        result.heads += sum(len(metrics.seeds) for metrics in outcome.metrics.values())
        for name, reason in outcome.failures.items():
            result.failures.setdefault(name, f"fold {number}: {reason}")
    for planned in plan.planned:
        name = planned.experiment.name
        if all(name in outcome.metrics for outcome in outcomes):
            result.entries[name] = _entry(planned, parts, outcomes, folder)
    result.document = _write_summary(folder, folding, sources, list(result.entries.values()))
    return result


def over_folds(name: str, outcomes: Sequence[Outcome]) -> Score:
    """Dev weighted F1 as mean, deviation and value of each fold, which is its mean over seeds."""
    return Score.of([outcome.metrics[name].weighted_f1.mean for outcome in outcomes])


def _entry(planned: Planned, parts: Sequence[Part], outcomes: Sequence[Outcome], folder: Path) -> dict[str, Any]:
    name = planned.experiment.name
    folds = []
    for number, (part, outcome) in enumerate(zip(parts, outcomes, strict=True), start=1):
        metrics = outcome.metrics[name]
        values = dict(zip(map(str, metrics.seeds), metrics.weighted_f1.values, strict=True))
        folds.append({"fold": number, "run": str(part.folders[name].relative_to(folder)), "weighted_f1": values})
    return {
        "experiment": name,
        "configuration": planned.key,
        "weighted_f1": over_folds(name, outcomes).model_dump(mode="json"),
        "folds": folds,
    }


def _write_summary(
    folder: Path, folding: Folding, sources: Sequence[Source], entries: Sequence[dict[str, Any]]
) -> dict[str, Any]:
    """summary.json of these entries and those of earlier commands: each configuration once, the newest value."""
    path = folder / "summary.json"
    ours = {entry["configuration"] for entry in entries}
    kept = [entry for entry in _earlier(path) if entry["configuration"] not in ours]
    everything = [*kept, *entries]
    document = {
        "folds": folding.count,
        "group": folding.by,
        "splitter": "StratifiedGroupKFold",
        "held_out": [_held_out(source, folding) for source in sources],
        "configurations_tried": count_tried((entry["configuration"], True) for entry in everything).scored,
        "experiments": everything,
    }
    folder.mkdir(parents=True, exist_ok=True)
    write_json(path, document)
    return document


def _earlier(path: Path) -> list[dict[str, Any]]:
    if not path.is_file():
        return []
    try:
        entries: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))["experiments"]
        return [entry for entry in entries if entry["configuration"]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RunError(f"{path}: cannot be read ({error}): remove it, and the same commands write it again") from error


def _held_out(source: Source, folding: Folding) -> dict[str, Any]:
    utterances = source.utterances
    rows = utterances.rows("dev")
    numbers = utterances.dialogues if folding.by == "dialogue" else np.array(utterances.groups, dtype=object)
    return {
        "fold": source.fold.number if source.fold else 0,
        f"{folding.by}s": len(set(numbers[rows].tolist())),
        "utterances": len(rows),
        "labelled": int((utterances.labels[rows] != UNLABELLED).sum()),
    }
