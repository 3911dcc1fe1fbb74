"""`erc report`: runs -> report.html, report.md and leaderboard.csv."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pipeline.terminal.options import LocalPath, json_option
from pipeline.terminal.output import print_json

if TYPE_CHECKING:
    from pipeline.report.findings import Answer
    from pipeline.report.other_corpora import OtherRow


@click.command("report")
@click.argument("runs", type=LocalPath(file_okay=False))
@click.option(
    "--out",
    type=LocalPath(file_okay=False),
    default="report",
    show_default=True,
    help="Folder to write to; it is made if need be.",
)
@json_option
def command(runs: Path, out: Path, as_json: bool) -> None:
    """Write report.html, report.md and leaderboard.csv of the trained heads in RUNS.

    The page is one file that works offline. The best model is the one with the highest weighted F1 on dev, always. The
    suites' questions are answered on dev, with intervals. A run that cannot be read is named, skipped and listed in the
    report.

    \b
    Example:
      erc report runs --out report
    """
    from pipeline.report.other_corpora import other_rows
    from pipeline.report.write import write_report

    written = write_report(runs, out)
    for item in written.unreadable:
        click.echo(f"erc report: skipped {item.folder}: {item.problem}", err=True)
    if not as_json:
        for line in written.headlines:
            click.echo(line)
        click.echo(f"report: {written.html}")
        return
    document = {
        "report": str(written.html),
        "markdown": str(written.markdown),
        "leaderboard": str(written.csv),
        "runs": sum(len(corpus.runs) for corpus in written.corpora),
        "unreadable": [{"run": item.folder, "problem": item.problem} for item in written.unreadable],
        "corpora": [
            {
                "dataset": corpus.dataset,
                "tried": corpus.tried.scored,
                "failed": corpus.tried.failed,
                "selected": corpus.selected.experiment if corpus.selected else None,
                "weighted_f1": {line.split: line.score.model_dump() for line in corpus.headlines},
                "margin": {line.split: line.margin for line in corpus.headlines},
                "interval": {split: [one.low, one.high] for split, one in corpus.findings.intervals.items()},
                "elsewhere": [_elsewhere(row) for row in other_rows(corpus)],
                "answers": [_answer(answer) for answer in corpus.findings.answers],
            }
            for corpus in written.corpora
        ],
    }
    print_json(document)


def _elsewhere(row: OtherRow) -> dict[str, Any]:
    """The scores of a run on another corpus, fractions."""
    scores = row.scores
    return {
        "experiment": row.run.experiment,
        "run": row.run.folder,
        "split": scores.split,
        "scored": row.scored.model_dump(mode="json"),
        "utterances": row.num_scored,
    } | scores.model_dump(mode="json", include={"seeds", "weighted_f1", "macro_f1", "accuracy"})


def _answer(answer: Answer) -> dict[str, Any]:
    """A contrast as `--json` prints it; differences are fractions."""
    found = answer.comparison
    difference = found.weighted_f1 if found else None
    return {
        "suite": answer.suite,
        "question": answer.contrast.question,
        "A": answer.contrast.a,
        "B": answer.contrast.b,
        "answer": answer.verdict,
        "difference": difference.value if difference else None,
        "interval": [difference.interval.low, difference.interval.high] if difference else None,
        "p_value": found.p_value if found else None,
        "adjusted_p": answer.adjusted,
    }
