"""`erc report`: runs -> report.html, report.md and leaderboard.csv."""

from __future__ import annotations

import json
from pathlib import Path

import click

from pipeline.options import json_option


@click.command("report")
@click.argument("runs", type=click.Path(path_type=Path, file_okay=False))
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    default="report",
    show_default=True,
    help="Folder to write to; it is made if need be.",
)
@json_option
def command(runs: Path, out: Path, as_json: bool) -> None:
    """Write report.html, report.md and leaderboard.csv of the trained heads in RUNS.

    The page is one file that works offline. The best model is the one with the highest weighted F1 on dev, always. A
    run that cannot be read is named, skipped and listed in the report.

    \b
    Example:
      erc report runs --out report
    """
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
                "selected": corpus.selected.experiment if corpus.selected else None,
                "weighted_f1": {line.split: line.score.model_dump() for line in corpus.headlines},
                "margin": {line.split: line.margin for line in corpus.headlines},
            }
            for corpus in written.corpora
        ],
    }
    click.echo(json.dumps(document, ensure_ascii=False))
