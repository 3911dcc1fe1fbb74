"""Train the experiments of a plan over several seeds, in parallel processes; what is finished is not trained again."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl
import yaml

from features.errors import ErcError, RunError
from features.store import Feature
from heads.config.suite import Suite
from pipeline.runs import slices
from pipeline.runs.folder import Run
from pipeline.runs.json_files import write_json, write_model, write_text
from pipeline.runs.metrics_file import Metrics
from pipeline.runs.predictions import split_metrics
from pipeline.runs.seed_files import mean_seconds
from pipeline.suites.plan import Plan, Planned, Source, describe_features
from pipeline.suites.training import SeedTask, SharedFeature
from pipeline.suites.workers import train_all
from pipeline.terminal.progress import progress_bar


@dataclass
class Outcome:
    """What became of a plan.

    metrics:  experiment -> its metrics-dev.json
    seconds:  experiment -> training seconds a seed, mean; of those whose seeds recorded them
    trained:  heads that were trained now
    failures: experiment -> why, in one line
    """

    metrics: dict[str, Metrics] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    trained: int = 0
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
) -> Outcome:
    """Train what is not finished and write every run's metrics-dev.json.

    folders: experiment -> run folder. A failing experiment does not stop the others. Numbers do not depend on `jobs`.
    """
    return run_parts([Part(plan, source, folders)], seeds, jobs, device, command)[0]


def run_parts(
    parts: Sequence[Part], seeds: Sequence[int], jobs: int, device: str, command: str, show: bool = True
) -> list[Outcome]:
    """`run_plan` of several plans at once, with the outcome of each. show: a progress bar."""
    outcomes = [Outcome(failures=dict(part.plan.failures)) for part in parts]
    opened: list[dict[str, Run]] = [{} for _ in parts]
    owners: dict[Path, int] = {}
    with tempfile.TemporaryDirectory(prefix="erc-features-") as workspace:
        tasks = []
        for place, part in enumerate(parts):
            shared = part.shared or SharedFeatures(part.source, Path(workspace) / str(place))
            for planned in part.plan.planned:
                name = planned.experiment.name
                run = Run(part.folders[name])
                try:
                    open_run(run, planned, part.source, command)
                    opened[place][name] = run
                    owners[run.path] = place
                    todo = [seed for seed in seeds if seed not in run.finished_seeds()]
                    if todo:
                        inputs = shared.of(planned)
                        tasks += [
                            SeedTask(planned.experiment, seed, run.path, device, part.source.utterances, inputs)
                            for seed in todo
                        ]
                except (ErcError, OSError) as error:
                    outcomes[place].failures[name] = failure_line(error)
        with progress_bar(len(tasks), "head", "training", show=show) as progress:
            for task, problem in train_all(tasks, jobs):
                progress.update()
                outcome = outcomes[owners[task.run]]
                if problem is None:
                    outcome.trained += 1
                else:
                    outcome.failures.setdefault(task.experiment.name, f"seed {task.seed}: {failure_line(problem)}")
    for outcome, runs, part in zip(outcomes, opened, parts, strict=True):
        _read_results(outcome, runs, part.source)
    return outcomes


def _read_results(outcome: Outcome, runs: Mapping[str, Run], source: Source) -> None:
    attributes = None if source.fold else slices.attributes(source.manifest, "dev")
    for name, run in runs.items():
        try:
            finished = run.finished_seeds()
            if finished:
                outcome.metrics[name] = write_dev_metrics(run, finished, attributes)
                seconds = mean_seconds(run.result(seed) for seed in finished)
                if seconds is not None:
                    outcome.seconds[name] = seconds
        except (ErcError, OSError) as error:
            outcome.failures.setdefault(name, failure_line(error))


def open_run(run: Run, planned: Planned, source: Source, command: str) -> None:
    """Make the run folder with config.yaml and features.json, or check that it is this very run.

    Raises RunError where the folder holds another run.
    """
    if (run.path / "features.json").is_file():
        if run.features.run != planned.key:
            raise RunError(
                f"{run.path}: holds a run of another config or other features: choose another --out, or remove it"
            )
        return
    run.path.mkdir(parents=True, exist_ok=True)
    config = yaml.safe_dump(planned.experiment.to_dict(), sort_keys=False, allow_unicode=True)
    write_text(run.path / "config.yaml", config)
    write_model(run.path / "features.json", describe_features(planned, source, command))


def write_dev_metrics(run: Run, seeds: Sequence[int], attributes: pl.DataFrame | None) -> Metrics:
    """metrics-dev.json of all finished seeds. attributes: of dev, for its slices; None in folds of a cross-validation,
    whose `dev` is a part of train."""
    frames = {seed: run.predictions(seed, "dev") for seed in seeds}
    coverage = {item.folder: item.coverage["dev"] for item in run.features.features}
    metrics = split_metrics(run.experiment.name, "dev", frames, run.features.manifest, coverage, attributes)
    write_model(run.path / "metrics-dev.json", metrics)
    return metrics


def write_suite_record(suite: Suite, plan: Plan, runs: Path, roles: Mapping[str, str] | None = None) -> None:
    """RUNS/suite-NAME.json: which run folder answers for which experiment, the suite's questions and its baseline.

    plan:  of the whole suite; an experiment that has no folder in RUNS is left out. Of equal experiments, the folder of
           any answers for all
    roles: feature of the suite -> the one that played its role
    """
    names: dict[str, str] = {}
    for planned in plan.planned:
        first = planned.experiment.name
        equal = [first, *(name for name, of in plan.duplicates.items() if of == first)]
        there = [folder for name in equal if (runs / (folder := planned.folder_of(name))).is_dir()]
        names |= dict.fromkeys(equal, there[0]) if there else {}
    duplicates = {name: first for name, first in plan.duplicates.items() if name in names}
    record = {
        "suite": suite.name,
        "title": suite.title,
        "description": suite.description,
        "roles": dict(roles or {}),
        "runs": names,
        "duplicates": duplicates,
        "baseline": suite.baseline,
        "contrasts": [contrast.model_dump() for contrast in suite.contrasts],
    }
    write_json(runs / f"suite-{suite.name}.json", record)


class SharedFeatures:
    """Normalised features as files, each made once for all the experiments that read it."""

    def __init__(self, source: Source, workspace: Path) -> None:
        self.source = source
        self.workspace = workspace
        self._made: dict[tuple[str, str], SharedFeature] = {}

    def of(self, planned: Planned) -> dict[str, tuple[SharedFeature, ...]]:
        return {
            modality: tuple(self._one(feature, planned.experiment.normalise) for feature in items)
            for modality, items in planned.features.items()
        }

    def _one(self, feature: Feature, normalise: str) -> SharedFeature:
        key = (feature.folder, normalise)
        if key not in self._made:
            self.workspace.mkdir(parents=True, exist_ok=True)
            path = self.workspace / f"{len(self._made)}.npy"
            self._made[key] = SharedFeature.make(feature, self.source.utterances, normalise, path)
        return self._made[key]


def failure_line(error: BaseException) -> str:
    """The message of an error of ours; of any other, which may say little by itself, its type before it."""
    text = " ".join(str(error).split())
    return text if isinstance(error, ErcError) else f"{type(error).__name__}: {text}"
