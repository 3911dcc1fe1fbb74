"""`erc compare`: whether two runs differ, or all contrasts that suites declare."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pipeline.terminal.options import LocalPath, json_option
from pipeline.terminal.output import print_json

if TYPE_CHECKING:
    import polars as pl

_SHOWN = 10


@click.command()
@click.argument("runs", nargs=-1, required=True, metavar="RUN_A RUN_B | RUNS", type=LocalPath())
@click.option("--split", default="dev", show_default=True, help="Whose stored predictions to compare.")
@click.option(
    "--replicates",
    type=click.IntRange(min=100),
    default=2000,
    show_default=True,
    help="How many resamples, and how many swaps.",
)
@click.option(
    "--flipped",
    type=click.IntRange(min=0),
    metavar="N",
    help=f"Print the N flipped utterances whose probability of gold changes most.  [default: {_SHOWN}]",
)
@click.option(
    "--out",
    type=LocalPath(dir_okay=False),
    help="Write all flipped utterances to this .parquet or .csv file.",
)
@click.option("--mcnemar", is_flag=True, help="McNemar's test, too, which assumes independent utterances.")
@json_option
def command(
    runs: tuple[Path, ...],
    split: str,
    replicates: int,
    flipped: int | None,
    out: Path | None,
    mcnemar: bool,
    as_json: bool,
) -> None:
    """Compare two runs on one split, or, of a folder of runs, every contrast that its suites declare.

    It reads what `erc train`, `erc ablate` and `erc evaluate` predicted with all finished seeds, and predicts nothing.
    The difference A - B of the mean score has a 95% interval (resampling dialogues and one seed an arm) and a p-value
    (swapping whole dialogues between the arms), which is adjusted by Holm's method over a suite's contrasts. The score
    is the dataset card's `headline`, weighted F1 where it names none.
    A contrast that cannot be compared is named and left out.

    \b
    Example:
      erc compare runs/text-1a2b3c4d runs/text-audio-5e6f7a8b --split dev
      erc compare runs --split test
    """
    from features.errors import UsageError
    from pipeline.runs.folder import is_run

    if len(runs) == 1 and not is_run(runs[0]):
        given = [
            name
            for name, value in (("--flipped", flipped is not None), ("--out", out is not None), ("--mcnemar", mcnemar))
            if value
        ]
        if given:
            raise UsageError(f"{given[0]} is of two runs: give RUN_A and RUN_B")
        _contrasts(runs[0], split, replicates, as_json)
        return
    if len(runs) != 2:
        given_runs = "one run is" if len(runs) == 1 else f"{len(runs)} runs are"
        raise UsageError(f"{given_runs} given: give two, or one folder of runs with a suite's record")
    _pair(runs[0], runs[1], split, replicates, _SHOWN if flipped is None else flipped, out, mcnemar, as_json)


def _contrasts(runs: Path, split: str, replicates: int, as_json: bool) -> None:
    from pipeline.comparison.contrasts import compare_declared, contrasts_document, contrasts_text

    answers = compare_declared(runs, split, replicates=replicates)
    if as_json:
        print_json(contrasts_document(answers, split))
    else:
        click.echo(contrasts_text(answers, split))
    for answer in (answer for answer in answers if answer.problem):
        click.echo(f"erc compare: left out {answer.declared.question!r}: {answer.problem}", err=True)


def _pair(
    first: Path, second: Path, split: str, replicates: int, shown: int, out: Path | None, mcnemar: bool, as_json: bool
) -> None:
    from pipeline.comparison.pair import compare_runs, pair_document, pair_text
    from pipeline.comparison.read import read_texts
    from pipeline.runs.folder import find_runs

    write = _writer(out) if out else None
    a, b = (_only(path, find_runs([path])) for path in (first, second))
    pair = compare_runs(a, b, split, replicates, mcnemar)
    rows = pair.flipped.head(shown).to_dicts()
    texts = read_texts(a, [row["utterance_id"] for row in rows]) if rows else {}
    rows = [row | texts.get(row["utterance_id"], {}) for row in rows]
    if out and write:
        from features.files import write_whole

        out.parent.mkdir(parents=True, exist_ok=True)
        write_whole(out, lambda temporary: write(pair.flipped, temporary))
    if as_json:
        print_json(pair_document(pair, rows))
        return
    click.echo(pair_text(pair, rows))
    if out:
        click.echo(f"flipped utterances: {out}")


def _only(path: Path, found: list[Any]) -> Any:
    """The one run at a path. Raises UsageError for a folder of several."""
    from features.errors import UsageError

    if len(found) != 1 or found[0].path != path:
        names = ", ".join(run.path.name for run in found[:3])
        raise UsageError(f"{path} is a folder of runs: give one of them, such as {names}")
    return found[0]


def _writer(out: Path) -> Callable[[pl.DataFrame, Path], Any]:
    """Raises UsageError for another ending than .parquet and .csv."""
    from features.errors import UsageError

    if out.suffix == ".parquet":
        return lambda frame, path: frame.write_parquet(path)
    if out.suffix == ".csv":
        return lambda frame, path: frame.write_csv(path)
    raise UsageError(f"--out {out}: flipped utterances are written as .parquet or .csv")
