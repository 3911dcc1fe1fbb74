"""Cross-validation of experiments, and its summary.

To choose by (RUNS/cv-K-GROUP): within the train split; no other split is read. Fold I's heads are ordinary runs in
fold-I/, whose `dev` is what the fold holds out; `erc report RUNS` and `erc evaluate RUNS` do not look there. As in any
run, the epoch is the one best on `dev`: scores of folds compare configurations, and are a little too high for scores of
new dialogues.

To report (RUNS/nested-K-GROUP): what a fold holds out is `held-out`, whose labels training never has, and `dev` is a
part of the other rows. `erc report RUNS` shows its summary.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from features.manifest import Manifest, file_digest
from heads.config.experiment import Experiment
from heads.training.folds import Folding, fold_utterances
from pipeline.runs.computation import mixed_lines, result_of
from pipeline.runs.features_file import Fold
from pipeline.runs.folder import Run
from pipeline.runs.locks import folder_lock
from pipeline.runs.metrics_file import Score, ScoredOn
from pipeline.runs.reads_of_test import record_test_read
from pipeline.runs.splits import EVALUATION_SPLIT
from pipeline.suites.agreement import make_alike
from pipeline.suites.fold_scores import common_seeds, means_of, pooled_metrics, scores_over_folds
from pipeline.suites.folds_summary import withdraw, write_summary
from pipeline.suites.plan import Plan, Planned, Source, make_plan, run_key
from pipeline.suites.run import (
    TRAINED_OTHERWISE,
    Outcome,
    Part,
    members_of,
    not_made_alike,
    read_again,
    run_parts,
    shard_members,
)
from pipeline.suites.shard import Shard, ShardRequest, at_work
from pipeline.suites.shared_features import SharedFeatures
from pipeline.suites.trainers import LocalTrainers, Trainers


@dataclass
class CrossValidated:
    """What became of a cross-validation.

    plan:     on all train rows
    entries:  experiment -> its entry in summary.json, of those whose folds are all there
    trained:  heads that were trained now
    kept:     heads that were there before
    notes:    what a user should know of the seeds that were kept, mixed or set aside
    failures: experiment -> why not, in one line
    document: summary.json
    shard:    the heads that this process had to train, where not all
    """

    plan: Plan
    entries: dict[str, dict[str, Any]] = field(default_factory=dict)
    trained: int = 0
    kept: int = 0
    notes: list[str] = field(default_factory=list)
    failures: dict[str, str] = field(default_factory=dict)
    document: dict[str, Any] = field(default_factory=dict)
    shard: Shard | None = None


def open_rows(
    store: Path, manifest: Manifest, folding: Folding, allow_stale: bool = False, allow_absent: bool = False
) -> Source:
    """The store and the rows that are folded: the train rows alone, or those of every split."""
    splits = manifest.frame["split"].unique(maintain_order=True).to_list() if folding.all_splits else ("train",)
    return Source.open(store, manifest, allow_stale, splits, allow_absent)


def fold_sources(source: Source, folding: Folding) -> list[Source]:
    """The source once for each fold, whose rows are `dev`. Raises as `heads.training.folds.fold_utterances`."""
    folds = fold_utterances(source.utterances, folding, str(source.manifest.path or "the manifest"))
    return [
        replace(
            source,
            utterances=utterances,
            fold=Fold(number=number, of=len(folds), group=folding.by, nested=folding.nested),
        )
        for number, utterances in enumerate(folds, start=1)
    ]


def fold_part(plan: Plan, source: Source, runs: Path, shared: SharedFeatures | None = None) -> Part:
    """A plan made on all rows as one fold runs it. runs: RUNS/cv-K-GROUP."""
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
    mix: bool = False,
    trainers: Trainers | None = None,
    request: ShardRequest | None = None,
) -> CrossValidated:
    """Train what is not finished of every fold, or was not made as it would be today, and write summary.json in
    RUNS/cv-K-GROUP, or RUNS/nested-K-GROUP.

    source: of `open_rows`. Where test rows are among them, that they are scored is recorded first. Normalised features
    are written once a fold; of so many folds at a time as it takes to keep all processes busy.
    mix: average finished seeds and folds although they were not made as today
    trainers: instead of `jobs` processes here
    request: the shard that this process is; summary.json then gets the experiments whose folds all shards have done
    """
    folder = runs / folding.name
    sources = fold_sources(source, folding)
    plan = make_plan(experiments, source, device, trained=sources[0].utterances)
    result = CrossValidated(plan, failures=dict(plan.failures))
    if not plan.planned:
        return result
    parts = [fold_part(plan, fold, folder) for fold in sources]
    with at_work(request, folder, shard_members(parts), seeds, device) as shard:
        # Here, since folds that are trained later are averaged with the first ones, too.
        agreement = make_alike(members_of(parts), seeds, device, mix, shard)
        with folder_lock(folder):
            result.notes = [*agreement.lines(), *withdraw(folder, {planned.key for planned in plan.planned})]
        if folding.nested and EVALUATION_SPLIT in source.utterances.splits:
            _record_reads(parts, runs, folding, seeds, source.manifest, shard)
        heads = len(shard.heads) if shard else len(parts) * len(plan.planned) * len(seeds)
        at_once = (trainers or LocalTrainers(jobs)).folds_at_once(len(parts), heads)
        outcomes: list[Outcome] = []
        for start in range(0, len(parts), at_once):
            some = parts[start : start + at_once]
            outcomes += run_parts(some, seeds, jobs, device, command, mix=mix, trainers=trainers, shard=shard)
        if shard:  # others have gone on meanwhile
            for part, outcome in zip(parts, outcomes, strict=True):
                read_again(part, outcome, device)
        _add_up(result, outcomes)
        unlike = []
        with folder_lock(folder):
            for planned in plan.planned:
                name = planned.experiment.name
                if folding.nested and name in result.failures:
                    continue  # a result is of all folds and the same seeds of each
                if not mix and name not in agreement.unknown and _mixed_seeds(planned, parts):
                    if shard:
                        unlike.append(name)
                    else:
                        result.failures.setdefault(name, TRAINED_OTHERWISE)
                    continue
                scored = [outcome.metrics[name] for outcome in outcomes if name in outcome.metrics]
                if len(scored) < len(parts) or (shard and not set(seeds) <= set(common_seeds(scored))):
                    continue
                if not common_seeds(scored):
                    result.failures.setdefault(name, "the folds have no seed in common, so there is no mean over them")
                    continue
                result.entries[name] = _entry(planned, parts, outcomes, folder, source.utterances.digest(), mix)
            result.document = write_summary(folder, folding, source, sources, list(result.entries.values()))
        result.notes += [not_made_alike(unlike)] if unlike else []
        result.shard = shard
    return result


def _add_up(result: CrossValidated, outcomes: Sequence[Outcome]) -> None:
    for number, outcome in enumerate(outcomes, start=1):
        result.trained += outcome.trained
        result.kept += outcome.kept
        for name, reason in outcome.failures.items():
            result.failures.setdefault(name, f"fold {number}: {reason}")


def _record_reads(
    parts: Sequence[Part],
    runs: Path,
    folding: Folding,
    seeds: Sequence[int],
    manifest: Manifest,
    shard: Shard | None,
) -> None:
    """A line in test_reads.jsonl for each experiment with a head that is still to be trained and scored; of a shard,
    with the seeds that it trains."""
    path = str(manifest.path.resolve()) if manifest.path else None
    scored = ScoredOn(dataset=manifest.card.dataset, title=manifest.card.title, path=path, sha256=file_digest(manifest))
    for name in parts[0].folders:
        heads = [(part.folders[name], seed) for part in parts for seed in seeds]
        mine = [(path, seed) for path, seed in heads if shard is None or shard.has(path, seed)]
        if not all(Run(path).is_finished(seed) for path, seed in mine):
            read = sorted({seed for _, seed in mine})
            record_test_read(runs, name, folding.name, read if shard else seeds, scored, own=True)


def over_folds(name: str, outcomes: Sequence[Outcome]) -> Score:
    """The corpus's score on dev as mean, deviation and value of each fold, which is its mean over seeds."""
    return Score.of([outcome.metrics[name].headline_score.mean for outcome in outcomes])


def _mixed_seeds(planned: Planned, parts: Sequence[Part]) -> list[str]:
    """Of all folds together: each alone may be alike, and another than the others."""
    runs = [Run(part.folders[planned.experiment.name]) for part in parts]
    return mixed_lines([result_of(run, seed) for run in runs for seed in run.finished_seeds()])


def _entry(
    planned: Planned, parts: Sequence[Part], outcomes: Sequence[Outcome], folder: Path, rows: str, mix: bool
) -> dict[str, Any]:
    """rows: digest of the rows that are folded; mix: whether heads that were not made alike are averaged by request"""
    name = planned.experiment.name
    nested = bool(parts[0].source.fold and parts[0].source.fold.nested)
    found = [(outcome.held_out if nested else outcome.metrics)[name] for outcome in outcomes]
    scores = scores_over_folds(found)
    folds: list[dict[str, Any]] = []
    for number, (part, metrics) in enumerate(zip(parts, found, strict=True), start=1):
        run = Run(part.folders[name])
        values = dict(zip(map(str, metrics.seeds), metrics.weighted_f1.values, strict=True))
        epochs = {str(seed): run.result(seed).best_epoch for seed in metrics.seeds}
        fold: dict[str, Any] = {"fold": number, "run": run.path.relative_to(folder).as_posix(), "weighted_f1": values}
        folds.append(fold | {"scores": means_of(metrics, found), "best_epochs": epochs})
    entry: dict[str, Any] = {"experiment": name, "configuration": planned.key, "headline": found[0].headline}
    entry |= {"weighted_f1": scores["weighted_f1"], "scores": scores, "folds": folds}
    runs = [Run(part.folders[name]) for part in parts]
    mixed = mixed_lines([run.result(seed) for run in runs for seed in common_seeds(found)])
    entry |= {"mixed": mixed, "asked_to_mix": mix} if mixed else {}
    if not nested:
        return entry
    used = [feature for items in planned.features.values() for feature in items]
    return entry | {
        "rows": rows,
        "random_weights": sorted({item.name for item in used if item.spec.weights == "random"}),
        "foreign": sorted({item.name for item in used if item.spec.is_foreign}),
        "pooled": pooled_metrics(runs, found).model_dump(mode="json"),
    }
