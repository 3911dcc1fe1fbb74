"""`erc track`: runs that are there -> trackers."""

from __future__ import annotations

from pathlib import Path

import click

from pipeline.terminal.options import LocalPath, json_option
from pipeline.terminal.output import print_json, print_warning
from pipeline.tracking.choice import TRACKERS


@click.command()
@click.argument("runs", type=LocalPath(file_okay=False))
@click.option(
    "--to",
    "names",
    multiple=True,
    required=True,
    type=click.Choice(list(TRACKERS)),
    help="The tracker to send to; repeatable.",
)
@json_option
def command(runs: Path, names: tuple[str, ...], as_json: bool) -> int:
    """Send trained heads in RUNS to trackers: curves, parameters, scores with intervals, contrasts, the report.

    RUNS is a run folder, a folder of runs, or a folder of a cross-validation, old or new. A run that was sent before,
    by --track or by this command, is sent again only if its files have changed. Local trackers write to RUNS/tracking.

    Exit status: 0; 1 if a tracker failed or a run could not be read.

    \b
    Example:
      erc track runs --to tensorboard
      erc track runs --to mlflow --to wandb
    """
    from pipeline.tracking.sending import Tracking

    tracking = Tracking(runs, names, print_warning)
    tracking.send()
    if as_json:
        print_json(tracking.document())
    else:
        for line in tracking.lines():
            click.echo(line)
    return 1 if tracking.failed or tracking.damaged else 0
