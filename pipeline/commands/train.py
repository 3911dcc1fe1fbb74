"""`erc train`: one experiment, one run folder."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

import click

from pipeline.options import manifest_option, store_option, use_option


def parse_seeds(context: click.Context, parameter: click.Parameter, value: str) -> list[int]:
    """`0,1,2` as numbers, each once. Raises BadParameter for anything else."""
    parts = [part.strip() for part in value.split(",")]
    if not all(part.isdecimal() and part.isascii() for part in parts):
        raise click.BadParameter(f"{value!r} is not a list of whole numbers: write 0,1,2")
    return list(dict.fromkeys(int(part) for part in parts))


def given_command() -> str:
    """The command line, as recorded in features.json."""
    return shlex.join(["erc", *sys.argv[1:]])


@click.command()
@click.argument("config")
@click.argument("overrides", nargs=-1, metavar="[KEY=VALUE]...")
@store_option
@manifest_option
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), required=True, help="The run's folder.")
@click.option("--seeds", default="0", callback=parse_seeds, help="Seeds, as in 0,1,2; finished ones are kept.")
@click.option("--only", metavar="NAME", help="Which experiment, where CONFIG is a suite.")
@use_option
@click.option("--jobs", type=click.IntRange(min=1), help="Processes, one thread each [default: the cores].")
@click.option("--device", default="cpu", help="cpu, cuda or cuda:N.")
@click.option("--allow-stale", is_flag=True, help="Train on rows that were made from other input than the manifest's.")
def command(
    config: str,
    overrides: tuple[str, ...],
    store: Path,
    manifest: Path,
    out: Path,
    seeds: list[int],
    only: str | None,
    use: tuple[str, ...],
    jobs: int | None,
    device: str,
    allow_stale: bool,
) -> int:
    """Train one head on stored embeddings, selecting by dev weighted F1. The test split is not read.

    CONFIG is a YAML file of one experiment, or a suite (a path, or the name of one that ships) with --only NAME.

    \b
    Example:
      erc train meld-text --only one-hidden-layer --out runs/mine --seeds 0,1,2 optim.lr=3e-4
    """
    from features.errors import UsageError, nearest
    from features.manifest import read_manifest
    from heads.config import read_suite
    from heads.roles import parse_roles
    from pipeline.commands.ablate import play_roles
    from pipeline.suite import run_plan
    from pipeline.suite_plan import Source, make_plan
    from pipeline.tables import mean_and_deviation
    from pipeline.training import check_device
    from pipeline.workers import default_jobs

    check_device(device)
    suite = play_roles(read_suite(config, overrides, only), parse_roles(use))
    chosen = [item for item in suite.experiments if only in (None, item.name)]
    names = [item.name for item in suite.experiments]
    if not chosen:
        raise UsageError(f"{config} has no experiment {only!r}: {nearest(str(only), names)}")
    if len(chosen) > 1:
        raise UsageError(f"{config} has {len(names)} experiments: choose one with --only NAME ({', '.join(names)})")
    name = chosen[0].name
    source = Source.open(store, read_manifest(manifest), allow_stale)
    plan = make_plan(chosen, source)
    for warning in plan.warnings:
        click.echo(f"erc: {warning}", err=True)
    outcome = run_plan(plan, source, seeds, {name: out}, jobs or default_jobs(), device, given_command())
    if name in outcome.metrics:
        values = outcome.metrics[name]
        click.echo(
            f"{name}: dev weighted F1 {mean_and_deviation(values['weighted_f1'])} over {len(values['seeds'])} seed(s),"
            f" {outcome.seconds[name]:.1f} s a seed: {out}"
        )
    for failed, reason in outcome.failures.items():
        click.echo(f"erc: {failed}: {reason}", err=True)
    return 1 if outcome.failures else 0
