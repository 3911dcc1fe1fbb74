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

    from pipeline.comparison.gate import Verdict

_SHOWN = 10


@click.command()
@click.argument("runs", nargs=-1, required=True, metavar="RUN_A RUN_B | RUNS", type=LocalPath())
@click.option("--split", default="dev", show_default=True, help="The split whose stored predictions are compared.")
@click.option(
    "--replicates",
    type=click.IntRange(min=100),
    default=2000,
    show_default=True,
    help="Number of resamples for intervals, and of swaps for p-values.",
)
@click.option(
    "--flipped",
    type=click.IntRange(min=0),
    metavar="N",
    help="Print N flipped utterances (only one run is right): those whose probability of the gold label changes most."
    f"  [default: {_SHOWN}]",
)
@click.option(
    "--out",
    type=LocalPath(dir_okay=False),
    help="Write all flipped utterances to this .parquet or .csv file.",
)
@click.option("--mcnemar", is_flag=True, help="Also run McNemar's test, which assumes independent utterances.")
@click.option(
    "--gate",
    type=click.FloatRange(-100, 100),
    metavar="MIN",
    help="End with exit status 3 unless A is shown to be better than B by more than MIN points, in every contrast.",
)
@json_option
def command(
    runs: tuple[Path, ...],
    split: str,
    replicates: int,
    flipped: int | None,
    out: Path | None,
    mcnemar: bool,
    gate: float | None,
    as_json: bool,
) -> int:
    """Compare two runs on one split. Given a folder of runs, compare all contrasts that its suites declare.

    The command reads the stored predictions of all finished seeds, which `erc train`, `erc ablate` and `erc evaluate`
    wrote. It predicts nothing itself. The score is the one that the dataset card names as `headline`, or weighted F1 if
    it names none.

    For the difference A - B of the mean scores, the command gives a 95% interval (resampling dialogues, and one seed of
    each side) and a p-value (swapping whole dialogues between the sides). Over a suite's contrasts, p-values are
    adjusted by Holm's method. Beside each difference stands the smallest true difference that this split and these
    seeds would show. A contrast that cannot be compared is named and left out. A line says if other code, libraries or
    kinds of device made A than B.

    --gate is for CI. The exit status is 0 if A is shown to be better than B by more than MIN points (one-sided, at 5%).
    MIN may be negative: A may then be worse, by less than that. The exit status is 3 if this is not shown. It is 1 if
    it cannot be judged: with one seed each, with fewer seeds than the suite has, if a contrast has no answer, or if
    other code, libraries or devices made A than B.

    \b
    Example:
      erc compare runs/text-1a2b3c4d runs/text-audio-5e6f7a8b --split dev
      erc compare runs --split test
      erc compare runs/mine runs/text-1a2b3c4d --gate -0.5
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
            raise UsageError(f"{given[0]} compares two runs: give RUN_A and RUN_B")
        return _contrasts(runs[0], split, replicates, gate, as_json)
    if len(runs) != 2:
        given_runs = "one run is" if len(runs) == 1 else f"{len(runs)} runs are"
        raise UsageError(f"{given_runs} given: give two, or one folder of runs with a suite's record")
    shown = _SHOWN if flipped is None else flipped
    return _pair(runs[0], runs[1], split, replicates, shown, out, mcnemar, gate, as_json)


def _contrasts(runs: Path, split: str, replicates: int, gate: float | None, as_json: bool) -> int:
    from pipeline.comparison.contrasts import compare_declared, contrasts_document, contrasts_text
    from pipeline.comparison.gate import judge_contrasts
    from pipeline.comparison.pair import few_seeds_by_corpus, unlike_line

    margin = None if gate is None else gate / 100
    answers = compare_declared(runs, split, replicates=replicates, margin=margin)
    verdict = None if margin is None else judge_contrasts(answers, margin)
    if as_json:
        print_json(contrasts_document(answers, split) | _gated(verdict))
    else:
        click.echo(contrasts_text(answers, split))
    compared = [
        arm for answer in answers if answer.comparison for arm in zip(answer.declared.pair(), answer.seeds, strict=True)
    ]
    for line in few_seeds_by_corpus(compared):
        click.echo(f"erc compare: {line}", err=True)
    unlike: dict[str, list[str]] = {}
    for answer in answers:
        if answer.unlike:
            unlike.setdefault(answer.unlike, []).append(answer.declared.question)
    for what, questions in unlike.items():
        more = f" and {len(questions) - 1} more" if len(questions) > 1 else ""
        click.echo(f"erc compare: {questions[0]!r}{more}: {unlike_line(what)}", err=True)
    for answer in (answer for answer in answers if answer.problem):
        click.echo(f"erc compare: left out {answer.declared.question!r}: {answer.problem}", err=True)
    return _status(verdict)


def _gated(verdict: Verdict | None) -> dict[str, Any]:
    return {"gate": verdict.document()} if verdict else {}


def _status(verdict: Verdict | None) -> int:
    """The exit status, after a gate's sentence on stderr."""
    from pipeline.comparison.gate import NOT_PASSED

    if verdict is None:
        return 0
    click.echo(f"erc compare: {verdict.text()}", err=True)
    return 0 if verdict.passed else NOT_PASSED


def _pair(
    first: Path,
    second: Path,
    split: str,
    replicates: int,
    shown: int,
    out: Path | None,
    mcnemar: bool,
    gate: float | None,
    as_json: bool,
) -> int:
    from pipeline.comparison.gate import judge_pair
    from pipeline.comparison.pair import compare_runs, pair_document, pair_text
    from pipeline.comparison.read import read_texts
    from pipeline.runs.folder import find_runs

    write = _writer(out) if out else None
    a, b = (_only(path, find_runs([path])) for path in (first, second))
    margin = None if gate is None else gate / 100
    pair = compare_runs(a, b, split, replicates, mcnemar, margin)
    sizes = len(pair.seeds[0]), len(pair.seeds[1])
    verdict = None if margin is None else judge_pair(a, b, sizes, pair.comparison, margin)
    rows = pair.flipped.head(shown).to_dicts()
    texts = read_texts(a, [row["utterance_id"] for row in rows]) if rows else {}
    rows = [row | texts.get(row["utterance_id"], {}) for row in rows]
    if out and write:
        from features.files import write_whole

        out.parent.mkdir(parents=True, exist_ok=True)
        write_whole(out, lambda temporary: write(pair.flipped, temporary))
    if as_json:
        print_json(pair_document(pair, rows) | _gated(verdict))
        return _status(verdict)
    click.echo(pair_text(pair, rows))
    if out:
        click.echo(f"flipped utterances: {out}")
    return _status(verdict)


def _only(path: Path, found: list[Any]) -> Any:
    """The one run at a path. Raises UsageError for a folder of several."""
    from features.errors import UsageError

    if len(found) != 1 or found[0].path.resolve() != path.resolve():
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
