"""`erc ablate`: every experiment of a suite, over several seeds."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pipeline.terminal import completion
from pipeline.terminal.command_line import given_command
from pipeline.terminal.loudness import loudness_options
from pipeline.terminal.machines import check_engine, engine_options, parse_shard, shard_option
from pipeline.terminal.options import (
    SUITE_OR_PATH,
    LocalPath,
    allow_options,
    cv_options,
    folding_of,
    json_option,
    manifest_option,
    mix_option,
    read_places,
    read_store_option,
    use_option,
)
from pipeline.terminal.output import print_json, print_warning
from pipeline.tracking.choice import track_option

if TYPE_CHECKING:
    from heads.config.experiment import Experiment
    from pipeline.suites.trainers import Trainers


@click.command()
@click.argument(
    "suite_source", metavar="SUITE", type=SUITE_OR_PATH, required=False, shell_complete=completion.suites_or_files
)
@read_store_option
@manifest_option
@click.option("--out", type=LocalPath(file_okay=False), default="runs", help="Folder that holds the run folders.")
@click.option("--seeds", type=click.IntRange(min=1), default=5, help="Number of seeds; they are 0, 1, ...")
@click.option(
    "--only",
    multiple=True,
    metavar="NAME",
    shell_complete=completion.experiments,
    help="Train only this experiment; repeatable.",
)
@use_option
@cv_options
@click.option(
    "--jobs",
    type=click.IntRange(min=1),
    help="Number of processes, with one thread each.  [default: the number of cores; 1 on a GPU]",
)
@click.option("--device", default="cpu", help="cpu, cuda, cuda:N or mps (Apple's GPU).")
@shard_option("the heads (experiments x seeds), for several machines on one --out")
@engine_options(
    "the actors of a Ray cluster",
    "Number of actors. Each trains one head at a time.  [default: one per GPU; without GPUs, one per CPU]",
)
@mix_option
@allow_options("Train on")
@track_option
@click.option(
    "--list",
    "only_list",
    is_flag=True,
    help="Print the experiments, one per line, and train nothing. Without SUITE: print the suites that ship.",
)
@click.option("--show", is_flag=True, help="Print the text of SUITE, for you to copy and change. Train nothing.")
@click.option(
    "--estimate/--no-estimate",
    default=True,
    help="With --list: train a few steps to estimate how long the suite takes.",
)
@json_option
@loudness_options
def command(
    suite_source: str | None,
    store: Path | str,
    manifest: Path,
    out: Path,
    seeds: int,
    only: tuple[str, ...],
    use: tuple[str, ...],
    cv: int | str | None,
    group: str | None,
    nested: bool,
    all_splits: bool,
    jobs: int | None,
    device: str,
    shard: str | None,
    engine_name: str,
    ray_address: str | None,
    ray_actors: int | None,
    mix_seeds: bool,
    allow_stale: bool,
    allow_absent: bool,
    track: tuple[str, ...],
    only_list: bool,
    show: bool,
    estimate: bool,
    as_json: bool,
) -> int:
    """Train every experiment of a suite, and keep the epoch of each head with the best score on dev. Test is not read.

    The score is the one that the dataset card names as `headline`, or weighted F1 if it names none.

    SUITE is a YAML file or the name of a suite that ships. Finished seeds are kept if their code, torch, numpy and the
    kind of device are still the same (with an encoder's top, also transformers), and their heads can be read. Other
    seeds are set aside and trained again. Equal experiments are trained once. If one fails, the others go on, and the
    exit status is 1.

    For a corpus without splits, use nested cross-validation: `--cv 5 --nested`, or `--cv groups --nested`, which leaves
    one group out at a time. `erc report` shows the result.

    With --shard, several machines each train a slice of the heads. The slices may run at the same time or one after the
    other, and you may run a slice again. Give all of them the same options. When the last slice ends, OUT holds the
    same as after a run on one machine. Without --shard, the command trains all heads that are left.

    \b
    Example:
      erc ablate meld-text --list
      erc ablate meld-text --show > mine.yaml
      erc ablate meld-text --out runs --seeds 5
      erc ablate meld-text --out runs --seeds 3 --cv 5
      erc ablate meld-text --out runs --seeds 3 --cv groups --nested
      erc ablate systems --manifest /shared/meld.parquet --store /shared/store --out /shared/runs --shard 1/3
      erc ablate systems --engine ray --ray-address auto
      erc ablate meld-text --out runs --track mlflow
      erc ablate modalities --use gpt2=sentence --use wav2vec2=logmel --use resnet50=mobilenet
    """
    from features.errors import UsageError
    from heads.config.roles import parse_roles
    from heads.config.suite import read_suite, shipped_suites, suite_text
    from pipeline.suites.choice import choose_experiments, play_roles

    if suite_source is None:
        if not only_list:
            raise UsageError(f"no SUITE is named: give a YAML file, or one that ships: {', '.join(shipped_suites())}")
        _print_suites(as_json)
        return 0
    if show:
        click.echo(suite_text(suite_source).text, nl=False)
        return 0
    folding = folding_of(cv, group, nested, all_splits)
    part = parse_shard(shard)
    check_engine(engine_name, ray_address, ray_actors)
    if engine_name == "ray" and jobs:
        raise UsageError("--jobs sets processes on this machine: with --engine ray, use --ray-actors")
    suite = read_suite(suite_source)
    roles = parse_roles(use)
    played = play_roles(suite, roles)
    chosen = choose_experiments(played, only)
    store, manifest = read_places(store, manifest)
    if only_list:
        from pipeline.suites.devices import check_device, default_jobs

        if part or engine_name == "ray":
            raise UsageError("--list shows the whole suite, trained on this machine: leave --shard and --engine out")
        if track:
            raise UsageError("--list trains nothing that could be tracked: leave --track out")
        check_device(device)
        folds = folding and (folding.count or _groups_of(manifest, folding.all_splits))
        heads_each = seeds * (max(folds - 1, 1) if folds else 1)  # K folds, each of (K - 1) / K of the rows
        names = {one.name for one in chosen}
        asked = None if folding else (out, seeds, sum({one.A, one.B} <= names for one in played.contrasts))
        jobs = jobs or default_jobs(device)
        _print_list(suite.name, chosen, store, manifest, heads_each, jobs, device, estimate, as_json, asked)
        return 0

    from features.manifest import read_manifest
    from pipeline.commands import printing
    from pipeline.suites.cross_validation import cross_validate, open_rows
    from pipeline.suites.plan import Source, make_plan
    from pipeline.suites.record import write_suite_record
    from pipeline.suites.run import Part, run_plan, shard_members
    from pipeline.suites.shard import ShardRequest, at_work
    from pipeline.tracking.trainers import TrackedTrainers, opened_tracking

    request = ShardRequest(*part, suite.name) if part else None
    whole = read_manifest(manifest)
    tracking = opened_tracking(out, track)
    with _trainers(engine_name, jobs, device, ray_address, ray_actors) as (trainers, at_once, device):
        trainers = TrackedTrainers(trainers, tracking) if tracking else trainers
        chosen = trainers.precise(chosen)
        how = (range(seeds), out, at_once, device, given_command(), mix_seeds, trainers, request)
        if folding:
            source = open_rows(store, whole, folding, allow_stale, allow_absent)
            result = cross_validate(chosen, source, folding, *how)
            printing.print_cross_validated(result, out / folding.name, as_json)
            printing.print_tracked(tracking, [out / folding.name])
            return 1 if result.failures else 0
        source = Source.open(store, whole, allow_stale, allow_absent=allow_absent)
        plan = make_plan(chosen, source, device)
        printing.print_warnings(plan)
        folders = {planned.experiment.name: out / planned.folder_name for planned in plan.planned}
        members = shard_members([Part(plan, source, folders)])
        with at_work(request, out, members, range(seeds), device) as mine:
            outcome = run_plan(
                plan, source, range(seeds), folders, at_once, device, given_command(), mix_seeds, trainers, mine
            )
            if plan.planned:  # the record is of the whole suite: what --only leaves out may have been trained before
                all_of_it = make_plan(trainers.precise(played.experiments), source, device) if only else plan
                write_suite_record(suite, all_of_it, out, roles, seeds=seeds, in_part=bool(only))
    printing.print_notes(outcome.notes)
    if as_json:
        document = printing.outcome_document(chosen, plan, outcome, folders, mine)
        print_json({"suite": suite.name} | document)
    else:
        printing.print_outcome(chosen, plan, outcome, mine)
    printing.print_tracked(tracking, list(folders.values()))
    printing.print_failures(outcome.failures)
    return 1 if outcome.failures else 0


@contextmanager
def _trainers(
    engine: str, jobs: int | None, device: str, ray_address: str | None, ray_actors: int | None
) -> Iterator[tuple[Trainers, int, str]]:
    """Who trains, how many heads at once, and on which device."""
    if engine == "ray":
        from pipeline.suites.ray_trainers import open_trainers

        with open_trainers(ray_address, device, ray_actors, print_warning) as actors:
            yield actors, actors.placement.actors, actors.device
        return
    from pipeline.suites.devices import check_device, default_jobs
    from pipeline.suites.trainers import LocalTrainers

    check_device(device)
    jobs = jobs or default_jobs(device)
    yield LocalTrainers(jobs), jobs, device


def _groups_of(manifest: Path, all_splits: bool) -> int:
    """How many groups the folded rows have; 0 where the manifest cannot be read, which the listing says."""
    from features.errors import ErcError
    from features.manifest import read_manifest

    try:
        frame = read_manifest(manifest).frame
    except ErcError:
        return 0
    return int((frame if all_splits else frame.filter(frame["split"] == "train"))["group"].drop_nulls().n_unique())


def _print_suites(as_json: bool) -> None:
    """The suites that ship, one a line, each with its title."""
    from heads.config.suite import read_suite, shipped_suites

    suites = [read_suite(name) for name in shipped_suites()]
    if as_json:
        print_json([{"suite": item.name, "title": item.title, "experiments": len(item.experiments)} for item in suites])
        return
    width = max(len(suite.name) for suite in suites)
    for suite in suites:
        click.echo(f"{suite.name:<{width}}  {suite.title} ({len(suite.experiments)} experiments)")


def _print_list(
    name: str,
    experiments: list[Experiment],
    store: Path,
    manifest: Path,
    heads_each: float,
    jobs: int,
    device: str,
    timed: bool,
    as_json: bool,
    asked: tuple[Path, int, int] | None,
) -> None:
    """One line an experiment on stdout, its name first; what else there is to say, on stderr. asked: folder of runs,
    seeds and number of contrasts, where dev's power is to be told"""
    from dataclasses import asdict

    from features.errors import ErcError
    from features.manifest import read_manifest
    from pipeline.comparison.forecast import forecast
    from pipeline.suites.listing import duration, list_suite, listing_lines
    from pipeline.suites.plan import Source

    source, problem = None, None
    try:
        source = Source.open(store, read_manifest(manifest))
    except ErcError as error:
        problem = str(error)
    listing = list_suite(experiments, store, manifest, source, device, timed)
    seconds = listing.seconds(heads_each, jobs)
    runs, seeds, contrasts = asked or (None, 0, 0)
    shows = forecast(runs, source.manifest, seeds, contrasts) if source and runs else None
    if as_json:
        lines = [asdict(line) for line in listing.lines]
        head = {"suite": name, "jobs": jobs, "heads_an_experiment": heads_each, "seconds": seconds}
        told = asdict(shows) if shows else None
        print_json(head | {"experiments": lines, "commands": listing.commands, "shows": told})
        return
    for line in listing_lines(listing, source.store.place if source else str(store)):
        click.echo(line)
    if problem:
        print_warning(f"no sizes and times: {problem}")
    for made in listing.commands:
        print_warning(f"what is lacking is made by `{made}`")
    if seconds is not None:
        known = sum(line.seconds_a_seed is not None for line in listing.lines)
        print_warning(
            f"about {duration(seconds)} for {known} of {len(experiments)} experiments, {heads_each:g} heads each,"
            f" {jobs} at a time: all epochs, at the pace of a few steps taken now; early stopping makes it less"
        )
    if shows:
        print_warning(shows.text())
