"""`erc evaluate`: score trained heads on a split; the only command that reads test."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from pipeline.options import json_option

_SHOWN = ("experiment", "split", "utterances", "weighted_f1", "macro_f1", "accuracy", "per_class_f1")


@click.command()
@click.argument("runs", nargs=-1, required=True, metavar="RUN...", type=click.Path(path_type=Path))
@click.option("--split", required=True, help="train, dev, test or another split of the manifest.")
@click.option(
    "--store", type=click.Path(path_type=Path, file_okay=False), help="Instead of the store that each run recorded."
)
@click.option("--manifest", type=click.Path(path_type=Path), help="Instead of the manifest that each run recorded.")
@click.option("--allow-stale", is_flag=True, help="Score rows that were made from other input than the manifest's.")
@json_option
def command(
    runs: tuple[Path, ...], split: str, store: Path | None, manifest: Path | None, allow_stale: bool, as_json: bool
) -> int:
    """Score trained heads on a split, each over all its seeds.

    RUN is a run folder, or a folder of them. Each scoring of test is appended to test_reads.jsonl beside the runs.

    \b
    Example:
      erc evaluate runs --split test
    """
    from features.errors import ErcError
    from pipeline.evaluation import Evaluator
    from pipeline.runs import find_runs

    evaluator = Evaluator(split, store, manifest, allow_stale)
    scored: list[dict[str, Any]] = []
    failures: list[str] = []
    for run in find_runs(runs):
        try:
            scored.append(evaluator.score(run))
        except ErcError as error:
            failures.append(f"{run.path.name}: {error}")
    if as_json:
        click.echo(json.dumps([{key: values[key] for key in _SHOWN} for values in scored], ensure_ascii=False))
    elif scored:
        click.echo(_table(scored))
    for failure in failures:
        click.echo(f"erc: {failure}", err=True)
    return 1 if failures else 0


def _table(scored: list[dict[str, Any]]) -> str:
    from pipeline.tables import mean_and_deviation, text_table

    split = scored[0]["split"]
    header = ["experiment", f"{split} weighted F1", "macro F1", "accuracy", "seeds", "utterances", "no input"]
    rows = [
        [
            values["experiment"],
            *(mean_and_deviation(values[name]) for name in ("weighted_f1", "macro_f1", "accuracy")),
            str(len(values["seeds"])),
            str(values["utterances"]),
            str(values["no_input"]),
        ]
        for values in sorted(scored, key=lambda values: -values["weighted_f1"]["mean"])
    ]
    for name in ("class-prior", "always-neutral"):
        baseline = scored[0]["baselines"][name]
        scores = [f"{baseline[key]:.4f}" for key in ("weighted_f1", "macro_f1", "accuracy")]
        rows.append([f"({name})", *scores, "", str(scored[0]["utterances"]), ""])
    return text_table(header, rows)
