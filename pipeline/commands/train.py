"""`erc train`: one experiment, one run folder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from pipeline.terminal import completion
from pipeline.terminal.command_line import given_command
from pipeline.terminal.loudness import loudness_options
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
    from pipeline.suites.run import Outcome


def parse_seeds(context: click.Context, parameter: click.Parameter, value: str) -> list[int]:
    """`0,1,2` as numbers, each once. Raises BadParameter for anything else."""
    parts = [part.strip() for part in value.split(",")]
    if not all(part.isdecimal() and part.isascii() for part in parts):
        raise click.BadParameter(f"{value!r} is not a list of whole numbers: write 0,1,2")
    seeds = list(dict.fromkeys(int(part) for part in parts))
    if max(seeds) >= 1 << 64:
        raise click.BadParameter(f"{max(seeds)} is too large a seed: give one below 2^64")
    return seeds


@click.command()
@click.argument("config", type=SUITE_OR_PATH, shell_complete=completion.suites_or_files)
@click.argument("overrides", nargs=-1, metavar="[KEY=VALUE]...")
@read_store_option
@manifest_option
@click.option("--out", type=LocalPath(file_okay=False), required=True, help="Folder of the run.")
@click.option(
    "--seeds",
    default="0",
    callback=parse_seeds,
    help="Seeds, such as 0,1,2. Seeds that are finished are not trained again.",
)
@click.option(
    "--only",
    metavar="NAME",
    shell_complete=completion.experiments,
    help="The experiment to train, if CONFIG is a suite.",
)
@use_option
@cv_options
@click.option(
    "--search",
    "space",
    metavar="SPACE.yaml",
    type=LocalPath(dir_okay=False),
    help="Search this space of settings. OUT is then the folder of the search. Needs the extra `tuning`.",
)
@click.option(
    "--trials",
    type=click.IntRange(min=1),
    metavar="N",
    help="With --search: number of trials in all, including those of earlier runs.  [default: 20]",
)
@click.option(
    "--search-seed", type=click.IntRange(min=0), help="With --search: seed of the draw of values.  [default: 0]"
)
@click.option(
    "--jobs",
    type=click.IntRange(min=1),
    help="Number of processes, with one thread each.  [default: the number of cores; 1 on a GPU]",
)
@click.option("--device", default="cpu", help="cpu, cuda, cuda:N or mps (Apple's GPU).")
@mix_option
@allow_options("Train on")
@track_option
@json_option
@loudness_options
def command(
    config: str,
    overrides: tuple[str, ...],
    store: Path | str,
    manifest: Path,
    out: Path,
    seeds: list[int],
    only: str | None,
    use: tuple[str, ...],
    cv: int | str | None,
    group: str | None,
    nested: bool,
    all_splits: bool,
    space: Path | None,
    trials: int | None,
    search_seed: int | None,
    jobs: int | None,
    device: str,
    mix_seeds: bool,
    allow_stale: bool,
    allow_absent: bool,
    track: tuple[str, ...],
    as_json: bool,
) -> int:
    """Train one head on stored embeddings, and keep the epoch with the best score on dev. Test is not read.

    The score is the one that the dataset card names as `headline`, or weighted F1 if it names none.

    CONFIG is a YAML file of one experiment, or a suite (a path, or the name of one that ships) with --only NAME.
    KEY=VALUE changes a setting, as in optim.lr=3e-4.

    With --cv, folds of the train split are held out in turn. Dev is not read either. The runs lie in OUT/cv-K-GROUP.

    With --search, values of some settings are tried, and the best are kept. SPACE.yaml has a dotted key for each
    setting: with {low, high}, and log: true or step if you like, or with {choices: [...]}. docs/suites.md has one to
    copy. Trials are scored on dev, or over the folds of --cv. OUT gets trials.csv, search.json and best.yaml. To
    continue a search, give the same command again.

    \b
    Example:
      erc train meld-text --only one-hidden-layer --out runs/mine --seeds 0,1,2 optim.lr=3e-4
      erc train meld-text --only linear --out cv --cv 5
      erc train meld-text --only linear --out runs --cv 5 --nested
      erc train meld-text --only linear --out runs/linear --track tensorboard
      erc train meld-text --only linear --out search --search space.yaml --trials 40 --cv 5
    """
    from features.errors import UsageError
    from features.manifest import read_manifest
    from heads.config.suite import suite_text
    from pipeline.commands import printing
    from pipeline.suites.choice import read_experiment
    from pipeline.suites.cross_validation import cross_validate, open_rows
    from pipeline.suites.devices import check_device, default_jobs
    from pipeline.suites.plan import Source, make_plan
    from pipeline.suites.run import run_plan
    from pipeline.tracking.trainers import opened_tracking, tracked

    check_device(device)
    jobs = jobs or default_jobs(device)
    folding = folding_of(cv, group, nested, all_splits)
    if space is None and (trials is not None or search_seed is not None):
        raise UsageError("--trials and --search-seed work only with a search: add --search SPACE.yaml")
    if space is not None and mix_seeds:
        raise UsageError("--mix-seeds does not go with --search, which trains heads of its own: leave it out")
    if space is not None and track:
        raise UsageError(
            "--track sends heads that are kept, and a search keeps none: use it in `erc train` of best.yaml"
        )
    text = suite_text(config)  # a search goes on for long, and the file may be edited meanwhile
    experiment = read_experiment(text, overrides, only, use)
    store, manifest = read_places(store, manifest)
    tracking = opened_tracking(out, track)
    trainers = tracked(jobs, tracking)
    if space is not None:
        from pipeline.search.run import Search, check_optuna, run_search
        from pipeline.search.space import check_space, read_space

        def resolve(more: list[str]) -> Experiment:
            return read_experiment(text, [*overrides, *more], only, use, say=False)

        check_optuna()
        dimensions, content = read_space(space)
        check_space(dimensions, str(space), resolve)
        if folding and folding.nested:
            raise UsageError("--nested gives a result, and --search only chooses: search with --cv, train best.yaml")
        whole = read_manifest(manifest)
        if folding:
            source = open_rows(store, whole, folding, allow_stale, allow_absent)
        else:
            source = Source.open(store, whole, allow_stale, allow_absent=allow_absent)
        search = Search(resolve, dimensions, content, source, seeds, folding, search_seed or 0)
        record = run_search(search, trials or 20, out, jobs, device, given_command(), print_warning)
        printing.print_search(record, as_json)
        return 0 if record.ranked() else 1
    if folding:
        source = open_rows(store, read_manifest(manifest), folding, allow_stale, allow_absent)
        result = cross_validate(
            [experiment], source, folding, seeds, out, jobs, device, given_command(), mix_seeds, trainers
        )
        printing.print_cross_validated(result, out / folding.name, as_json)
        printing.print_tracked(tracking, [out / folding.name])
        return 1 if result.failures else 0
    source = Source.open(store, read_manifest(manifest), allow_stale, allow_absent=allow_absent)
    plan = make_plan([experiment], source, device)
    printing.print_warnings(plan)
    folders = {experiment.name: out}
    outcome = run_plan(plan, source, seeds, folders, jobs, device, given_command(), mix_seeds, trainers)
    printing.print_notes(outcome.notes)
    if as_json:
        print_json(printing.outcome_document([experiment], plan, outcome, folders))
    elif experiment.name in outcome.metrics:
        click.echo(_line(experiment.name, outcome, out))
    printing.print_tracked(tracking, [out])
    printing.print_failures(outcome.failures)
    return 1 if outcome.failures else 0


def _line(name: str, outcome: Outcome, out: Path) -> str:
    from features.cards import HEADLINES
    from pipeline.terminal.tables import mean_and_deviation

    metrics = outcome.metrics[name]
    seconds = f", {outcome.seconds[name]:.1f} s a seed" if name in outcome.seconds else ""
    score = f"{HEADLINES[metrics.headline]} {mean_and_deviation(metrics.headline_score)} %"
    return f"{name}: dev {score} over {len(metrics.seeds)} seed(s){seconds}: {out}"
