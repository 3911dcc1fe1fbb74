"""What `erc train` and `erc ablate` say of the heads that they trained: tables, or one JSON document."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from features.cards import HEADLINES
from heads.metrics import SCORES
from pipeline.runs.metrics_file import Score
from pipeline.terminal.output import print_json, print_warning
from pipeline.terminal.tables import mean_and_deviation, percent_text, text_table

if TYPE_CHECKING:
    from heads.config.experiment import Experiment
    from pipeline.search.record import SearchRecord
    from pipeline.suites.cross_validation import CrossValidated
    from pipeline.suites.plan import Plan
    from pipeline.suites.run import Outcome
    from pipeline.suites.shard import Shard
    from pipeline.tracking.sending import Tracking

_SCORES = {"seeds", "headline", *SCORES}
_SHOWN_TRIALS = 10


def print_warnings(plan: Plan) -> None:
    for warning in plan.warnings:
        print_warning(warning)


def print_notes(notes: Sequence[str]) -> None:
    for note in notes:
        print_warning(note)


def print_failures(failures: Mapping[str, str]) -> None:
    for name, reason in failures.items():
        print_warning(f"{name}: {reason}")


def print_tracked(tracking: Tracking | None, chosen: Sequence[Path]) -> None:
    """Send what is left to send of these folders, and say so on stderr. It never fails."""
    if tracking is None:
        return
    tracking.send([path for path in chosen if path.is_dir()])
    for line in tracking.lines():
        print_warning(line)


def print_outcome(experiments: Sequence[Experiment], plan: Plan, outcome: Outcome, shard: Shard | None = None) -> None:
    """A line an experiment, in their order; then what was equal, and how many heads were trained. shard: its heads
    alone were to be trained"""
    rows = [
        [
            experiment.name,
            mean_and_deviation(outcome.metrics[experiment.name].headline_score),
            str(len(outcome.metrics[experiment.name].seeds)),
            f"{outcome.seconds[experiment.name]:.1f}" if experiment.name in outcome.seconds else "",
        ]
        for experiment in experiments
        if experiment.name in outcome.metrics
    ]
    if rows:
        score = HEADLINES[next(iter(outcome.metrics.values())).headline]
        click.echo(text_table(["experiment", f"dev {score} (%)", "seeds", "seconds a seed"], rows))
    _print_duplicates(plan)
    click.echo(_heads_line(outcome.trained, outcome.kept, shard))


def _heads_line(trained: int, kept: int, shard: Shard | None) -> str:
    """trained: now; kept: there before."""
    if shard is None:
        return f"{trained} heads trained, {kept} kept from before"
    own, everyones = shard.finished()
    left = len(shard.suite) - everyones
    return (
        f"{trained} heads trained, {own - trained} kept from before, of this shard's {len(shard.heads)};"
        f" {f'{left} of all {len(shard.suite)} are left' if left else f'all {len(shard.suite)} heads are done'}"
    )


def outcome_document(
    experiments: Sequence[Experiment],
    plan: Plan,
    outcome: Outcome,
    folders: Mapping[str, Path],
    shard: Shard | None = None,
) -> dict[str, Any]:
    """JSON-ready: dev scores of each experiment that has any, and why the others have none."""
    return {
        "experiments": [
            {"experiment": item.name, "run": str(folders[item.name])}
            | outcome.metrics[item.name].model_dump(mode="json", include=_SCORES)
            | {"seconds": outcome.seconds.get(item.name)}
            for item in experiments
            if item.name in outcome.metrics
        ],
        "duplicates": plan.duplicates,
        **_heads_counts(outcome.trained, outcome.kept, shard),
        "notes": outcome.notes,
        "failures": outcome.failures,
    }


def print_cross_validated(result: CrossValidated, where: Path, as_json: bool) -> None:
    """A line an experiment: mean and deviation over the folds, each fold's mean over its seeds, and every fold; and on
    stderr what is missing. as_json: summary.json instead, with the experiments of this command alone."""
    print_warnings(result.plan)
    print_notes(result.notes)
    if as_json:
        print_json(_cross_validated_document(result, where))
    else:
        _print_folds(result, where)
    print_failures(result.failures)


def _print_folds(result: CrossValidated, where: Path) -> None:
    count, nested = result.document.get("folds", 0), result.document.get("nested", False)
    rows = []
    for name, entry in result.entries.items():
        score = entry["scores"][entry["headline"]]
        pooled = [entry["pooled"][entry["headline"]]] if nested else []
        rows.append(
            [
                name,
                *(mean_and_deviation(Score.model_validate(value)) for value in (score, *pooled)),
                *map(percent_text, score["values"]),
                str(len(entry["folds"][0]["weighted_f1"])),
            ]
        )
    if rows:
        folds = [f"fold {number}" for number in range(1, count + 1)]
        words = HEADLINES[next(iter(result.entries.values()))["headline"]]
        together = ["all folds together"] if nested else []
        click.echo(text_table(["experiment", f"{words} over folds (%)", *together, *folds, "seeds"], rows))
    _print_duplicates(result.plan)
    click.echo(_heads_line(result.trained, result.kept, result.shard))
    if result.document:
        tried = result.document["configurations_tried"]
        click.echo(f"{tried} configurations tried on these folds: {where / 'summary.json'}")


def _cross_validated_document(result: CrossValidated, where: Path) -> dict[str, Any]:
    return result.document | {
        "summary": str(where / "summary.json"),
        "experiments": list(result.entries.values()),
        "duplicates": result.plan.duplicates,
        **_heads_counts(result.trained, result.kept, result.shard),
        "notes": result.notes,
        "failures": result.failures,
    }


def _heads_counts(trained: int, kept: int, shard: Shard | None) -> dict[str, int]:
    if shard is None:
        return {"trained": trained, "kept": kept}
    own, everyones = shard.finished()
    left = len(shard.suite) - everyones
    return {"trained": trained, "kept": own - trained, "shard_heads": len(shard.heads), "heads_left": left}


def print_search(record: SearchRecord, as_json: bool) -> None:
    """The best ten trials and how many there were. as_json: search.json instead."""
    if as_json:
        print_json(record.document())
        return
    from pipeline.search.record import parameter_text

    keys = list(record.settings["space"])
    ranked = record.ranked()
    rows = [
        [
            str(trial.number),
            "" if trial.value is None else percent_text(trial.value),
            *(parameter_text(_short(trial.parameters[key])) for key in keys),
        ]
        for trial in ranked[:_SHOWN_TRIALS]
    ]
    if rows:
        click.echo(text_table(["trial", f"{_score_of(record)} (%)", *keys], rows))
    failed = len(record.trials) - len(ranked)
    click.echo(
        f"{len(record.trials)} trials, {failed} of them failed; {record.configurations_tried} different configurations"
        f" tried by {record.settings['objective']}: {record.folder / 'trials.csv'}"
    )
    if ranked:
        click.echo(f"the best, resolved: {record.folder / 'best.yaml'}")


def _score_of(record: SearchRecord) -> str:
    """The name of the score that a search maximises: its objective begins with it."""
    objective = str(record.settings["objective"]).removeprefix("dev ")
    return max((words for words in HEADLINES.values() if objective.startswith(words)), key=len, default="score")


def _short(value: Any) -> Any:
    return float(f"{value:.4g}") if isinstance(value, float) else value


def _print_duplicates(plan: Plan) -> None:
    for name, first in plan.duplicates.items():
        click.echo(f"{name} is the same as {first} (equal config and features): run once")
