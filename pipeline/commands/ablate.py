"""`erc ablate`: every experiment of a suite, over several seeds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pipeline.options import cv_options, folding_of, json_option, manifest_option, store_option, use_option

if TYPE_CHECKING:
    from heads.config import Suite
    from heads.experiment import Experiment


@click.command()
@click.argument("suite_source", metavar="SUITE")
@store_option
@manifest_option
@click.option(
    "--out", type=click.Path(path_type=Path, file_okay=False), default="runs", help="Folder of the run folders."
)
@click.option("--seeds", type=click.IntRange(min=1), default=5, help="How many seeds: 0, 1, ...")
@click.option("--only", multiple=True, metavar="NAME", help="Only this experiment (may be repeated).")
@use_option
@cv_options
@click.option("--jobs", type=click.IntRange(min=1), help="Processes, one thread each [default: the cores].")
@click.option("--device", default="cpu", help="cpu, cuda or cuda:N.")
@click.option("--allow-stale", is_flag=True, help="Train on rows that were made from other input than the manifest's.")
@click.option("--list", "only_list", is_flag=True, help="Print the experiments, one a line, and train nothing.")
@json_option
def command(
    suite_source: str,
    store: Path,
    manifest: Path,
    out: Path,
    seeds: int,
    only: tuple[str, ...],
    use: tuple[str, ...],
    cv: int | None,
    group: str | None,
    jobs: int | None,
    device: str,
    allow_stale: bool,
    only_list: bool,
    as_json: bool,
) -> int:
    """Train every experiment of a suite, selecting by dev weighted F1. The test split is not read.

    SUITE is a YAML file or the name of a suite that ships. Finished seeds are kept; equal experiments run once;
    one that fails does not stop the others, and the exit status is then 1.

    \b
    Example:
      erc ablate meld-text --out runs --seeds 5
      erc ablate modalities --use gpt2=sentence --use wav2vec2=logmel --use resnet50=hog-colour
    """
    from heads.config import read_suite
    from heads.roles import parse_roles

    folding = folding_of(cv, group)
    suite = read_suite(suite_source)
    roles = parse_roles(use)
    chosen = choose_experiments(play_roles(suite, roles), only)
    if only_list:
        _print_list(chosen, store)
        return 0

    from features.manifest import read_manifest
    from pipeline import printing
    from pipeline.commands.train import given_command
    from pipeline.cross_validation import cross_validate, open_train
    from pipeline.suite import run_plan, write_suite_record
    from pipeline.suite_plan import Source, make_plan
    from pipeline.training import check_device
    from pipeline.workers import default_jobs

    check_device(device)
    jobs = jobs or default_jobs()
    if folding:
        source = open_train(store, read_manifest(manifest), allow_stale)
        result = cross_validate(chosen, source, folding, range(seeds), out, jobs, device, given_command())
        printing.print_cross_validated(result, out / folding.name, as_json)
        return 1 if result.failures else 0
    source = Source.open(store, read_manifest(manifest), allow_stale)
    plan = make_plan(chosen, source)
    printing.print_warnings(plan)
    folders = {planned.experiment.name: out / planned.folder_name for planned in plan.planned}
    outcome = run_plan(plan, source, range(seeds), folders, jobs, device, given_command())
    if plan.planned:
        write_suite_record(suite, plan, folders, out, roles)
    if as_json:
        document = printing.outcome_document(chosen, plan, outcome, folders)
        printing.print_json({"suite": suite.name} | document)
    else:
        printing.print_outcome(chosen, plan, outcome)
    printing.print_failures(outcome.failures)
    return 1 if outcome.failures else 0


def play_roles(suite: Suite, roles: Mapping[str, str], say: bool = True) -> Suite:
    """The suite with other features in these roles. say: on stderr, which of them fell together."""
    from heads.roles import use_features

    experiments, notes = use_features(suite.experiments, roles, suite.name)
    for note in notes if say else []:
        click.echo(f"erc: {note}", err=True)
    return replace(suite, experiments=tuple(experiments))


def choose_experiments(suite: Suite, only: tuple[str, ...]) -> list[Experiment]:
    """The suite's experiments, or those of `only`, in the suite's order. Raises UsageError for an unknown name."""
    from features.errors import UsageError, nearest

    names = [experiment.name for experiment in suite.experiments]
    for name in only:
        if name not in names:
            raise UsageError(f"suite {suite.name} has no experiment {name!r}: {nearest(name, names)}")
    return [experiment for experiment in suite.experiments if not only or experiment.name in only]


def _print_list(experiments: list[Experiment], store: Path) -> None:
    from features.store import Store
    from pipeline.extract_commands import lacking_features

    opened = Store(store) if store.is_dir() else None
    width = max(len(experiment.name) for experiment in experiments)
    for experiment in experiments:
        inputs = " + ".join(
            f"{modality}: {', '.join(map(_selector_text, selectors))}"
            for modality, selectors in experiment.inputs.items()
        )
        lacking = ", ".join(f"{modality}/{name}" for modality, name in lacking_features(experiment.inputs, opened))
        there = f"{store} lacks {lacking}" if lacking else "its features are there"
        click.echo(f"{experiment.name:<{width}}  {inputs}  ({there})")


def _selector_text(selector: str | dict[str, str]) -> str:
    return selector if isinstance(selector, str) else " ".join(f"{key}={value}" for key, value in selector.items())
