"""`erc evaluate`: score trained heads on a split; the only command that reads test."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pipeline.terminal.options import LocalPath, json_option

if TYPE_CHECKING:
    from pipeline.scoring.selection import Selection

PROTOCOL = "--select best-dev,baseline"


@click.command()
@click.argument("runs", nargs=-1, required=True, metavar="RUN...", type=LocalPath())
@click.option("--split", required=True, help="train, dev, test or another split of the manifest.")
@click.option(
    "--select",
    metavar="WORDS",
    help="Score only what these words name, with commas between: best-dev (of each corpus the run with the highest mean"
    " dev weighted F1), baseline (the one that each suite declares).",
)
@click.option("--store", type=LocalPath(file_okay=False), help="Instead of the store that each run recorded.")
@click.option("--manifest", type=LocalPath(), help="Instead of the manifest that each run recorded.")
@click.option("--allow-stale", is_flag=True, help="Score rows that were made from other input than the manifest's.")
@json_option
def command(
    runs: tuple[Path, ...],
    split: str,
    select: str | None,
    store: Path | None,
    manifest: Path | None,
    allow_stale: bool,
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
    from pipeline.commands.printing import print_json, print_warning
    from pipeline.runs.folder import find_runs
    from pipeline.scoring.evaluation import Evaluator
    from pipeline.scoring.selection import parse_words, select_runs
    from pipeline.terminal.progress import progress_bar

    words = parse_words(select) if select is not None else []
    evaluator = Evaluator(split, store, manifest, allow_stale)
    chosen = find_runs(runs)
    selection = select_runs(chosen, words) if words else None
    if selection:
        chosen = selection.runs
        for note in selection.notes:
            print_warning(note)
    scored: list[dict[str, Any]] = []
    failures: dict[str, list[str]] = {}
    seeds = {run: len(run.finished_seeds()) for run in chosen}
    with progress_bar(sum(seeds.values()), "head", f"scoring {split}") as progress:
        for run in chosen:
            done = progress.n
            try:
                scored.append({"run": run.path.name} | evaluator.score(run, progress.update))
            except ErcError as error:
                failures.setdefault(str(error), []).append(run.path.name)
                progress.update(seeds[run] - (progress.n - done))
    if as_json:
        print_json([_document(values) for values in scored])
    elif scored:
        click.echo(score_table(scored))
        for line in _remarks(scored, split, selection):
            click.echo(line)
    for problem, names in failures.items():
        others = f" and {len(names) - 1} more" if len(names) > 1 else ""
        print_warning(f"{names[0]}{others}: {problem}")
    return 1 if failures else 0


def _document(values: dict[str, Any]) -> dict[str, Any]:
    """metrics-SPLIT.json with the run folder's name, `experiment` first."""
    return {"experiment": values["experiment"]} | values


def score_table(scored: Sequence[dict[str, Any]]) -> str:
    """A line a run, and those of the baselines that need no model. The best run comes first, but on test, whose scores
    rank nothing: there runs stand in the order given.

    Where utterances lack a modality, how many they are and the weighted F1 of the others stand in columns of their own.
    """
    from pipeline.terminal.tables import mean_and_deviation, text_table

    split = scored[0]["split"]
    whole = {values["run"]: _slice(values, "input", "all there") for values in scored}
    lacking = {
        values["run"]: _labelled(values) - (item["utterances"] if (item := whole[values["run"]]) else 0)
        for values in scored
    }
    incomplete = any(lacking.values())
    header = [
        "experiment",
        f"{split} weighted F1",
        "macro F1",
        "accuracy",
        "NLL",
        "ECE",
        "seeds",
        "utterances",
        "no input",
    ]
    header += ["incomplete", "F1 of the complete"] if incomplete else []
    rows = []
    ranked = scored if split == "test" else sorted(scored, key=lambda values: -values["weighted_f1"]["mean"])
    for values in ranked:
        complete = whole[values["run"]]
        rows.append(
            [
                values["experiment"],
                *(mean_and_deviation(values[name]) for name in ("weighted_f1", "macro_f1", "accuracy")),
                f"{values['negative_log_likelihood']['mean']:.3f}",
                f"{values['calibration_error']['mean']:.3f}",
                str(len(values["seeds"])),
                str(values["utterances"]),
                str(values["no_input"]),
            ]
        )
        if incomplete:
            rows[-1] += [
                str(lacking[values["run"]]),
                mean_and_deviation(complete["weighted_f1"]) if complete else "",
            ]
    for name in ("class-prior", "always-neutral"):
        baseline = scored[0]["baselines"][name]
        scores = [f"{baseline[key]:.4f}" for key in ("weighted_f1", "macro_f1", "accuracy")]
        rows.append([f"({name})", *scores, "", "", "", str(scored[0]["utterances"]), *[""] * (len(header) - 8)])
    return text_table(header, rows)


def _slice(values: dict[str, Any], group: str, name: str) -> dict[str, Any] | None:
    found = [item for item in values["slices"] if (item["group"], item["name"]) == (group, name)]
    return found[0] if found else None


def _labelled(values: dict[str, Any]) -> int:
    return int(values["utterances"] - values["unlabelled"])


def _remarks(scored: Sequence[dict[str, Any]], split: str, selection: Selection | None) -> list[str]:
    """What was chosen and why; of test scores of several runs that were not chosen, what the protocol is."""
    if selection:
        return [f"{run.experiment.name}: {' and '.join(reasons)}" for run, reasons in selection.reasons.items()]
    if split == "test" and len(scored) > 1:
        return [
            f"{len(scored)} runs were scored on test. The protocol is `{PROTOCOL}`: choose by dev, and read test for"
            " what was chosen alone."
        ]
    return []
