"""`erc evaluate`: score trained heads on a split; the only command that reads test."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pipeline.terminal.options import LocalPath, allow_options, json_option
from pipeline.terminal.output import print_json, print_warning

if TYPE_CHECKING:
    from pipeline.runs.folder import Run
    from pipeline.runs.metrics_file import Metrics, SliceScores
    from pipeline.scoring.selection import Selection

PROTOCOL = "--select best-dev,baseline"


@click.command()
@click.argument("runs", nargs=-1, required=True, metavar="RUN...", type=LocalPath())
@click.option("--split", required=True, help="train, dev, test or another split of the manifest.")
@click.option(
    "--select",
    metavar="WORDS",
    help="Score only what these words name, with commas between: best-dev (of each corpus the run with the highest mean"
    " on dev of the corpus's score), baseline (the one that each suite declares).",
)
@click.option("--store", type=LocalPath(file_okay=False), help="Instead of the store that each run recorded.")
@click.option("--manifest", type=LocalPath(), help="Instead of the manifest that each run recorded.")
@allow_options("Score")
@json_option
def command(
    runs: tuple[Path, ...],
    split: str,
    select: str | None,
    store: Path | None,
    manifest: Path | None,
    allow_stale: bool,
    allow_absent: bool,
    as_json: bool,
) -> int:
    """Score trained heads on a split, each over all its seeds.

    RUN is a run folder, or a folder of them. Each scoring of test is appended to test_reads.jsonl beside the runs. The
    protocol for test is `--select best-dev,baseline`: a choice by dev, and no look at the test scores of the others.

    \b
    Example:
      erc evaluate runs --split test --select best-dev,baseline
      erc evaluate runs --split dev
    """
    from features.errors import ErcError
    from pipeline.runs.folder import find_runs
    from pipeline.scoring.evaluation import Evaluator
    from pipeline.scoring.selection import parse_words, select_runs
    from pipeline.terminal.progress import progress_bar

    words = parse_words(select) if select is not None else []
    evaluator = Evaluator(split, store, manifest, allow_stale, allow_absent)
    chosen = find_runs(runs)
    selection = select_runs(chosen, words) if words else None
    if selection:
        chosen = selection.runs
        for note in selection.notes:
            print_warning(note)
    scored: list[tuple[Run, Metrics]] = []
    failures: dict[str, list[str]] = {}
    seeds = {run: len(run.finished_seeds()) for run in chosen}
    with progress_bar(sum(seeds.values()), "head", f"scoring {split}") as progress:
        for run in chosen:
            done = progress.n
            try:
                scored.append((run, evaluator.score(run, progress.update)))
            except ErcError as error:
                failures.setdefault(str(error), []).append(run.path.name)
                progress.update(seeds[run] - (progress.n - done))
    if as_json:
        print_json([_document(run, metrics) for run, metrics in scored])
    elif scored:
        for name in dict.fromkeys(metrics.headline for _, metrics in scored):
            click.echo(score_table([metrics for _, metrics in scored if metrics.headline == name]))
        for line in _remarks(len(scored), split, selection):
            click.echo(line)
    for problem, names in failures.items():
        others = f" and {len(names) - 1} more" if len(names) > 1 else ""
        print_warning(f"{names[0]}{others}: {problem}")
    return 1 if failures else 0


def _document(run: Run, metrics: Metrics) -> dict[str, Any]:
    """metrics-SPLIT.json with the run folder's name, `experiment` first."""
    return {"experiment": metrics.experiment, "run": run.path.name} | metrics.model_dump(mode="json")


def score_table(scored: Sequence[Metrics]) -> str:
    """A line a run, and those of the baselines that need no model; the score that the corpus is judged by leads. The
    best run comes first, but on test, whose scores rank nothing: there runs stand in the order given.

    Where utterances lack a modality, how many they are and the score of the others stand in columns of their own.
    """
    from features.cards import HEADLINES
    from pipeline.runs.metrics_file import scores_shown
    from pipeline.terminal.tables import mean_and_deviation, text_table

    split, names = scored[0].split, scores_shown(scored[0].headline)
    incomplete = any(_incomplete(metrics) for metrics in scored)
    header = [
        "experiment",
        f"{split} {HEADLINES[names[0]]}",
        *(HEADLINES[name] for name in names[1:]),
        "NLL",
        "ECE",
        "seeds",
        "utterances",
        "no input",
    ]
    header += ["incomplete", "F1 of the complete" if "F1" in HEADLINES[names[0]] else "of the complete"] * incomplete
    rows = []
    ranked = scored if split == "test" else sorted(scored, key=lambda metrics: -metrics.headline_score.mean)
    for metrics in ranked:
        rows.append(
            [
                metrics.experiment,
                *(mean_and_deviation(score) if score else "" for score in map(metrics.score, names)),
                *(
                    f"{value.mean:.3f}" if value else ""
                    for value in (metrics.negative_log_likelihood, metrics.calibration_error)
                ),
                str(len(metrics.seeds)),
                str(metrics.utterances),
                str(metrics.no_input),
            ]
        )
        if incomplete:
            complete = _complete(metrics)
            score = complete.judged_by(metrics.headline) if complete else None
            rows[-1] += [str(_incomplete(metrics)), mean_and_deviation(score) if score else ""]
    for name in ("class-prior", "always-neutral"):
        baseline = scored[0].baselines[name]
        scores = ["" if value is None else f"{value:.4f}" for value in map(baseline.score, names)]
        rest = [""] * (len(header) - len(names) - 5)
        rows.append([f"({name})", *scores, "", "", "", str(scored[0].utterances), *rest])
    return text_table(header, rows)


def _complete(metrics: Metrics) -> SliceScores | None:
    """The scores on the utterances that lack no modality."""
    return next((one for one in metrics.slices if (one.group, one.name) == ("input", "all there")), None)


def _incomplete(metrics: Metrics) -> int:
    """How many labelled utterances lack a modality."""
    complete = _complete(metrics)
    return metrics.utterances - metrics.unlabelled - (complete.utterances if complete else 0)


def _remarks(scored: int, split: str, selection: Selection | None) -> list[str]:
    """What was chosen and why; of test scores of several runs that were not chosen, what the protocol is."""
    if selection:
        return [f"{run.experiment.name}: {' and '.join(reasons)}" for run, reasons in selection.reasons.items()]
    if split == "test" and scored > 1:
        return [
            f"{scored} runs were scored on test. The protocol is `{PROTOCOL}`: choose by dev, and read test for"
            " what was chosen alone."
        ]
    return []
