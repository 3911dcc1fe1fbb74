"""`erc report`: runs -> report.html, report.md, leaderboard.csv, and LaTeX tables where they are asked for."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pipeline.terminal.options import LocalPath, json_option
from pipeline.terminal.output import print_json

if TYPE_CHECKING:
    from pipeline.report.findings import Answer
    from pipeline.report.folds import FoldedResult
    from pipeline.report.other_corpora import OtherRow
    from pipeline.report.paper import PaperResult


@click.command("report")
@click.argument("runs", type=LocalPath(file_okay=False))
@click.option(
    "--out",
    type=LocalPath(file_okay=False),
    default="report",
    show_default=True,
    help="Folder to write to. It is made if it does not exist.",
)
@click.option("--latex", is_flag=True, help="Also write latex/: tables, and figures as PDF, for a paper.")
@click.option(
    "--paper",
    type=click.Choice(["table4", "table4-as-published"]),
    help="Answer the objectives of the HLM12ERC report, and show its table beside ours.",
)
@json_option
def command(runs: Path, out: Path, latex: bool, paper: str | None, as_json: bool) -> None:
    """Write report.html, report.md and leaderboard.csv of the trained heads in RUNS.

    report.html is one file that works offline. The best model is always the one with the highest score on dev. The
    score is the one that the dataset card names as `headline`, or weighted F1 if it names none. The suites' questions
    are answered on dev, with intervals. A run that cannot be read is skipped, and the output and the report name it.
    Nested cross-validations (`erc ablate --cv K --nested`) have a section of their own, and folds.csv.

    With --latex, put \\input{report/latex/preamble} before your paper's text, and \\input{report/latex/report} or
    single tables into the text. If a suite re-states a published table, that table is there, too, beside your results.

    \b
    Examples:
      erc report runs --out report
      erc report runs --latex --paper table4
    """
    from pipeline.report.other_corpora import other_rows
    from pipeline.report.paper_words import terminal_lines
    from pipeline.report.write import write_report

    written = write_report(runs, out, latex=latex, paper=paper)
    for item in written.unreadable:
        click.echo(f"erc report: skipped {item.folder}: {item.problem}", err=True)
    if not as_json:
        for line in written.headlines:
            click.echo(line)
        for result in written.papers:
            click.echo("\n".join(terminal_lines(result)))
        click.echo(f"report: {written.html}")
        if written.latex:
            click.echo(f"latex: {written.latex}")
        return
    document = {
        "report": str(written.html),
        "markdown": str(written.markdown),
        "leaderboard": str(written.csv) if written.csv else None,
        "folds": str(written.folds) if written.folds else None,
        "latex": str(written.latex) if written.latex else None,
        "runs": sum(len(corpus.runs) for corpus in written.corpora),
        "unreadable": [{"run": item.folder, "problem": item.problem} for item in written.unreadable],
        "corpora": [
            {
                "dataset": corpus.dataset,
                "tried": corpus.tried.scored,
                "failed": corpus.tried.failed,
                "selected": corpus.selected.experiment if corpus.selected else None,
                "headline": corpus.criterion.name,
                "score": {line.split: line.score.model_dump() for line in corpus.headlines},
                "weighted_f1": {
                    split: metrics.weighted_f1.model_dump()
                    for split, metrics in (corpus.selected.metrics if corpus.selected else {}).items()
                },
                "margin": {line.split: line.margin for line in corpus.headlines},
                "interval": {split: [one.low, one.high] for split, one in corpus.findings.intervals.items()},
                "elsewhere": [_elsewhere(row) for row in other_rows(corpus)],
                "answers": [_answer(answer) for answer in corpus.findings.answers],
            }
            for corpus in written.corpora
        ],
        "papers": [_paper(result) for result in written.papers],
        "cross_validations": [_folded(result) for result in written.folded],
    }
    print_json(document)


def _folded(result: FoldedResult) -> dict[str, Any]:
    """A cross-validation as `--json` prints it: the best of its experiments, as fractions."""
    best = result.best
    return {
        "dataset": result.file.dataset,
        "folder": result.folder,
        "folds": result.file.folds,
        "best": best.experiment,
        "headline": result.headline,
        "over_folds": best.headline_score.model_dump(),
        "pooled": best.pooled.headline_score.model_dump(),
        "experiments": len(result.experiments),
    }


def _paper(result: PaperResult) -> dict[str, Any]:
    """A published table as `--json` prints it: ours as fractions, what was reported in percent as it was printed."""
    from pipeline.report.paper_words import reply_sentences

    rows = []
    for row in result.rows:
        dev, bounds = row.run.dev if row.run else None, row.interval
        rows.append(
            {
                "exp": row.number,
                "experiment": row.experiment,
                "run": row.run.folder if row.run else None,
                "weighted_f1": dev.weighted_f1.model_dump() if dev else None,
                "interval": [bounds.low, bounds.high] if bounds else None,
                "reported_percent": row.reported,
            }
        )
    objectives = [
        {
            "objective": reply.objective.number,
            "question": reply.objective.question,
            "answer": reply.verdict,
            "in_words": reply_sentences(result.corpus, reply),
        }
        for reply in result.replies
    ]
    return {"suite": result.paper.suite, "dataset": result.corpus.dataset, "rows": rows, "objectives": objectives}


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
    difference = found.headline if found else None
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
