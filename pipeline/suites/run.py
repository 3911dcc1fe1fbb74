"""Train the experiments of a plan over several seeds, in parallel processes; what is finished is not trained again."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl
import yaml

from features.errors import ErcError, RunError
from heads.data.utterances import HELD_OUT
from pipeline.runs import slices
from pipeline.runs.computation import Computation, mixed_lines, result_of
from pipeline.runs.features_file import ManifestFacts
from pipeline.runs.folder import Run, holds_runs
from pipeline.runs.identity import recorded_size
from pipeline.runs.json_files import update_json, write_model, write_text
from pipeline.runs.locks import folder_lock
from pipeline.runs.metrics_file import Metrics
from pipeline.runs.predictions import scored_on, split_metrics
from pipeline.runs.seed_files import SeedResult, mean_seconds
from pipeline.runs.splits import SELECTION_SPLIT
from pipeline.suites.agreement import make_alike
from pipeline.suites.computation import computation_of
from pipeline.suites.plan import Plan, Planned, Source, describe_features
from pipeline.suites.run_errors import failure_line
from pipeline.suites.shard import Members, Shard
from pipeline.suites.shared_features import SharedFeatures
from pipeline.suites.trainers import Inputs, LocalTrainers, Trainers
from pipeline.suites.training import SeedTask
from pipeline.suites.watching import watching
from pipeline.suites.workspace import workspace
from pipeline.terminal.progress import progress_bar

TRAINED_OTHERWISE = (
    "not scored, since another process trained seeds there meanwhile by other code, libraries or device: run the same"
    " command again when it is done"
)


@dataclass
class Outcome:
    """What became of a plan.

    metrics:  experiment -> its metrics-dev.json
    held_out: experiment -> its metrics-held-out.json, in a fold of a nested cross-validation
    seconds:  experiment -> training seconds a seed, mean; of those whose seeds recorded them
    trained:  heads that were trained now
    kept:     heads that were there before, as many of them as can be kept
    notes:    what a user should know of the seeds that were kept, mixed or set aside, a line each
    failures: experiment -> why, in one line
    """

    metrics: dict[str, Metrics] = field(default_factory=dict)
    held_out: dict[str, Metrics] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    trained: int = 0
    kept: int = 0
    notes: list[str] = field(default_factory=list)
    failures: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Part:
    """A plan, what it is trained from, and experiment -> run folder. shared: features that several calls use."""

    plan: Plan
    source: Source
    folders: Mapping[str, Path]
    shared: SharedFeatures | None = None


def run_plan(
    plan: Plan,
    source: Source,
    seeds: Sequence[int],
    folders: Mapping[str, Path],
    jobs: int,
    device: str,
    command: str,
    mix: bool = False,
    trainers: Trainers | None = None,
    shard: Shard | None = None,
) -> Outcome:
    """Train what is not finished, or was not made as it would be today, and write every run's metrics-dev.json.

    folders: experiment -> run folder. A failing experiment does not stop the others. Numbers do not depend on `jobs`.
    mix: average finished seeds although they were not made as today; trainers, shard: of `run_parts`
    """
    part = Part(plan, source, folders)
    return run_parts([part], seeds, jobs, device, command, mix=mix, trainers=trainers, shard=shard)[0]


def run_parts(
    parts: Sequence[Part],
    seeds: Sequence[int],
    jobs: int,
    device: str,
    command: str,
    show: bool = True,
    mix: bool = False,
    trainers: Trainers | None = None,
    shard: Shard | None = None,
    with_heads: bool = True,
) -> list[Outcome]:
    """`run_plan` of several plans at once, with the outcome of each. Those of one name are averaged, as folds are.

    show: a progress bar; mix: of `run_plan`; trainers: instead of `jobs` processes here
    shard: trains its heads alone, and writes the scores of all that are there by then, whoever trained them
    with_heads: whether a finished seed whose head is gone or damaged is trained again
    """
    trainers = trainers or LocalTrainers(jobs)
    outcomes = [Outcome(failures=dict(part.plan.failures)) for part in parts]
    opened = [_open_runs(part, outcome, command, shard) for part, outcome in zip(parts, outcomes, strict=True)]
    agreement = make_alike(members_of(parts), seeds, device, mix, shard, with_heads)
    outcomes[0].notes.extend(agreement.lines())
    for outcome, runs in zip(outcomes, opened, strict=True):
        for name in agreement.failures.keys() & runs.keys():
            outcome.failures[name] = agreement.failures[name]
            del runs[name]
        outcome.kept = sum(len(run.finished_seeds()) for run in runs.values())
    owners = {run.path: place for place, runs in enumerate(opened) for run in runs.values()}
    with _kept_when_stopped(), workspace() as folder:
        tasks: list[SeedTask] = []
        for place, part in enumerate(parts):
            shared = part.shared or trainers.share(part.source, folder / str(place))
            for planned in part.plan.planned:
                run = opened[place].get(planned.experiment.name)
                if run is not None:
                    mine = [seed for seed in seeds if shard is None or shard.has(run.path, seed)]
                    try:
                        tasks += _seed_tasks(planned, run, part.source, shared, mine, device)
                    except (ErcError, OSError) as error:
                        outcomes[place].failures[planned.experiment.name] = failure_line(error)
        with (
            progress_bar(len(tasks), "head", "training", show=show) as progress,
            watching(tasks if show else [], progress) as watch,
        ):
            for task, problem in trainers.train(tasks):
                progress.update()
                if show:
                    watch.ended(task)
                outcome = outcomes[owners[task.run]]
                if problem is None:
                    outcome.trained += 1
                else:
                    outcome.failures.setdefault(task.experiment.name, f"seed {task.seed}: {failure_line(problem)}")
    for outcome, runs, part in zip(outcomes, opened, parts, strict=True):
        _read_results(outcome, runs, part, device, shard is not None, agreement.unknown, mix)
    return outcomes


@contextmanager
def _kept_when_stopped() -> Iterator[None]:
    """What Ctrl-C within is answered with."""
    try:
        yield
    except KeyboardInterrupt as stopped:
        stopped.add_note("finished heads are kept; run the same command again to train the others")
        raise


def members_of(parts: Sequence[Part]) -> dict[str, list[tuple[Planned, Path]]]:
    """Experiment -> it as each part plans it, and its run folder there."""
    found: dict[str, list[tuple[Planned, Path]]] = {}
    for part in parts:
        for planned in part.plan.planned:
            name = planned.experiment.name
            found.setdefault(name, []).append((planned, part.folders[name]))
    return found


def shard_members(parts: Sequence[Part]) -> Members:
    return [
        (planned, part.folders[planned.experiment.name], part.source.utterances)
        for part in parts
        for planned in part.plan.planned
    ]


def _open_runs(part: Part, outcome: Outcome, command: str, shard: Shard | None) -> dict[str, Run]:
    """Experiment -> its run folder; those that cannot be opened become failures of the outcome. A shard makes those
    folders alone in which it trains."""
    opened = {}
    for planned in part.plan.planned:
        name, path = planned.experiment.name, part.folders[planned.experiment.name]
        try:
            if shard is None or any(run == path for run, _ in shard.heads):
                with folder_lock(path):
                    open_run(Run(path), planned, part.source, command)
                opened[name] = Run(path)  # with the manifest of today
            elif _is_there(planned, path):
                opened[name] = Run(path)
        except (ErcError, OSError) as error:
            outcome.failures[name] = failure_line(error)
    return opened


def _is_there(planned: Planned, path: Path) -> bool:
    return (path / "features.json").is_file() and Run(path).features.run == planned.key


def read_again(part: Part, outcome: Outcome, device: str) -> None:
    """The scores of what is there by now, whoever trained it."""
    runs = {}
    for planned in part.plan.planned:
        name, path = planned.experiment.name, part.folders[planned.experiment.name]
        try:
            if name not in outcome.failures and _is_there(planned, path):
                runs[name] = Run(path)
        except ErcError as error:
            outcome.failures[name] = failure_line(error)
    _read_results(outcome, runs, part, device, sharded=True)


def _seed_tasks(
    planned: Planned, run: Run, source: Source, shared: Inputs, seeds: Sequence[int], device: str
) -> list[SeedTask]:
    """Of the seeds that are not finished."""
    todo = [seed for seed in seeds if seed not in run.finished_seeds()]
    if not todo:
        return []
    inputs, computation = dict(shared.of(planned)), computation_of(planned, device)
    return [
        SeedTask(planned.experiment, seed, run.path, device, source.utterances, inputs, computation) for seed in todo
    ]


def _read_results(
    outcome: Outcome,
    runs: Mapping[str, Run],
    part: Part,
    device: str,
    sharded: bool,
    unknown: Collection[str] = (),
    mix: bool = False,
) -> None:
    """Write and keep the scores of all finished seeds, alone with the run's folder: of shards that end together, the
    last one finds the seeds of all.

    Other processes may have trained some of them meanwhile, or all, by other code or on another device: they are no
    seeds of this command. unknown: of `Agreement`; mix: of `run_plan`
    """
    source = part.source
    todays = {item.experiment.name: computation_of(item, device) for item in part.plan.planned}
    attributes = None if source.fold else slices.attributes(source.manifest, SELECTION_SPLIT)
    unlike = []
    for name, run in runs.items():
        try:
            with folder_lock(run.path):
                finished = run.finished_seeds()
                alike = name in unknown or run.features.mixed
                differ = not alike and _differ([result_of(run, seed) for seed in finished], todays[name])
                if differ and mix:
                    update_json(run.path / "features.json", {"mixed": True})
                if differ and not mix and sharded:
                    unlike.append(name)
                elif differ and not mix:
                    outcome.failures.setdefault(name, TRAINED_OTHERWISE)
                elif finished:
                    outcome.metrics[name] = write_metrics(run, finished, SELECTION_SPLIT, attributes)
                    if source.fold and source.fold.nested:
                        outcome.held_out[name] = write_metrics(run, finished, HELD_OUT)
                    seconds = mean_seconds(run.result(seed) for seed in finished)
                    if seconds is not None:
                        outcome.seconds[name] = seconds
        except (ErcError, OSError) as error:
            outcome.failures.setdefault(name, failure_line(error))
    if unlike:
        outcome.notes.append(not_made_alike(unlike))


def _differ(results: Sequence[SeedResult], today: Computation) -> bool:
    return bool(mixed_lines(results)) or any(Computation.of(result).contradicts(today) for result in results)


def not_made_alike(names: Sequence[str]) -> str:
    """What a shard says of experiments that it does not average."""
    return (
        f"{', '.join(names)}: not scored yet, since other shards' seeds there were not made as today: those shards"
        " train them again"
    )


def open_run(run: Run, planned: Planned, source: Source, command: str) -> None:
    """Make the run folder with config.yaml and features.json, or check that it is this very run.

    Train and dev are then the same; where the manifest's other splits are not, or an older version did not record them,
    features.json gets the manifest as it is now: its test split is the run's own from then on.
    Raises RunError where the folder holds another run, or several.
    """
    if (run.path / "features.json").is_file():
        if run.features.run != planned.key:
            raise RunError(
                f"{run.path}: holds a run of another config or other features: choose another --out, or remove it"
            )
        _renew_manifest(run, describe_features(planned, source, command).manifest)
        return
    if run.path.is_dir() and holds_runs(run.path):
        raise RunError(
            f"{run.path}: holds runs, not a run: give a folder within it, such as {run.path / planned.experiment.name}"
        )
    run.path.mkdir(parents=True, exist_ok=True)
    config = yaml.safe_dump(planned.experiment.to_dict(), sort_keys=False, allow_unicode=True)
    write_text(run.path / "config.yaml", config)
    write_model(run.path / "features.json", describe_features(planned, source, command))


def _renew_manifest(run: Run, today: ManifestFacts) -> None:
    known = run.features.manifest
    if today.splits.items() <= known.splits.items():
        return
    splits = {**known.splits, **today.splits}
    renewed = known.model_copy(update={"path": today.path, "sha256": today.sha256, "splits": splits})
    update_json(run.path / "features.json", renewed.model_dump(mode="json"), within="manifest")


def write_metrics(run: Run, seeds: Sequence[int], split: str, attributes: pl.DataFrame | None = None) -> Metrics:
    """metrics-SPLIT.json of these seeds, from the predictions beside it. attributes: of the split, for its slices; None
    in folds of a cross-validation, whose splits are not the manifest's.

    Raises RunError for predictions of another number of utterances than the split had at training: older versions of
    `erc evaluate` wrote those of any manifest there.
    """
    frames = {seed: run.predictions(seed, split) for seed in seeds}
    size = recorded_size(run.features, split)
    for seed, frame in frames.items():
        if size is not None and frame.height != size:
            raise RunError(
                f"{run.seed_folder(seed)}/predictions-{split}.parquet: is of {frame.height} utterances, but the run's"
                f" {split} split had {size}: run `erc evaluate {run.path} --split {split}`"
            )
    coverage = {item.folder: item.coverage[split] for item in run.features.features}
    facts = run.features.manifest
    scored = scored_on(facts, None if run.features.fold else facts.splits.get(split))
    metrics = split_metrics(run.experiment.name, split, frames, facts, coverage, attributes, scored)
    write_model(run.path / f"metrics-{split}.json", metrics)
    return metrics
