"""Train the experiments of a plan over several seeds, in parallel processes; what is finished is not trained again."""

from __future__ import annotations

import multiprocessing
import os
import signal
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing import forkserver
from pathlib import Path
from typing import Any

import yaml
from tqdm import tqdm

from features.errors import ErcError, RunError
from features.store import Feature
from heads.config import Suite
from heads.data import fit_feature
from pipeline.predictions import split_metrics
from pipeline.runs import Run, write_json, write_text
from pipeline.suite_plan import Plan, Planned, Source, describe_features
from pipeline.training import SeedTask, SharedFeature, start_worker, train_in_worker, train_seed


@dataclass(frozen=True)
class Outcome:
    """What became of a plan.

    metrics:  experiment -> its metrics-dev.json
    seconds:  experiment -> training seconds a seed, mean
    trained:  heads that were trained now
    failures: experiment -> why, in one line
    """

    metrics: dict[str, dict[str, Any]] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    trained: int = 0
    failures: dict[str, str] = field(default_factory=dict)


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
    failures = dict(plan.failures)
    opened: dict[str, Run] = {}
    trained = 0
    with tempfile.TemporaryDirectory(prefix="erc-features-") as workspace:
        tasks = []
        shared = SharedFeatures(source, Path(workspace))
        for planned in plan.planned:
            name = planned.experiment.name
            run = Run(folders[name])
            try:
                open_run(run, planned, source, command)
                opened[name] = run
                todo = [seed for seed in seeds if seed not in run.finished_seeds()]
                if todo:
                    inputs = shared.of(planned)
                    tasks += [
                        SeedTask(planned.experiment, seed, run.path, device, source.utterances, inputs) for seed in todo
                    ]
            except (ErcError, OSError) as error:
                failures[name] = one_line(error)
        with tqdm(total=len(tasks), desc="training", unit="head", disable=None) as progress:
            for task, problem in _train_all(tasks, jobs):
                progress.update()
                if problem is None:
                    trained += 1
                else:
                    failures.setdefault(task.experiment.name, f"seed {task.seed}: {one_line(problem)}")
    outcome = Outcome(trained=trained, failures=failures)
    for name, run in opened.items():
        try:
            finished = run.finished_seeds()
            if finished:
                outcome.metrics[name] = write_dev_metrics(run, finished)
                outcome.seconds[name] = sum(run.result(seed)["train_seconds"] for seed in finished) / len(finished)
        except (ErcError, OSError) as error:
            failures.setdefault(name, one_line(error))
    return outcome


def open_run(run: Run, planned: Planned, source: Source, command: str) -> None:
    """Make the run folder with config.yaml and features.json, or check that it is this very run.

    Raises RunError where the folder holds another run.
    """
    if (run.path / "features.json").is_file():
        if run.features.get("run") != planned.key:
            raise RunError(
                f"{run.path}: holds a run of another config or other features: choose another --out, or remove it"
            )
        return
    run.path.mkdir(parents=True, exist_ok=True)
    config = yaml.safe_dump(planned.experiment.to_dict(), sort_keys=False, allow_unicode=True)
    write_text(run.path / "config.yaml", config)
    write_json(run.path / "features.json", describe_features(planned, source, command))


def write_dev_metrics(run: Run, seeds: Sequence[int]) -> dict[str, Any]:
    """metrics-dev.json of all finished seeds."""
    frames = {seed: run.predictions(seed, "dev") for seed in seeds}
    coverage = {item["folder"]: item["coverage"]["dev"] for item in run.features["features"]}
    values = split_metrics(run.experiment.name, "dev", frames, run.features["manifest"], coverage)
    write_json(run.path / "metrics-dev.json", values)
    return values


def write_suite_record(suite: Suite, plan: Plan, folders: Mapping[str, Path], runs: Path) -> None:
    """RUNS/suite-NAME.json: which run folder answers for which experiment, and the suite's questions."""
    names = {planned.experiment.name: folders[planned.experiment.name].name for planned in plan.planned}
    names |= {name: names[first] for name, first in plan.duplicates.items()}
    record = {
        "suite": suite.name,
        "title": suite.title,
        "description": suite.description,
        "runs": names,
        "duplicates": plan.duplicates,
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
            rows = fit_feature(feature, self.source.utterances, normalise)
            path = self.workspace / f"{len(self._made)}.npy"
            self._made[key] = SharedFeature.write(rows, feature.fingerprint, path)
        return self._made[key]


def default_jobs() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def one_line(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return text if isinstance(error, ErcError) else f"{type(error).__name__}: {text}"


def _train_all(tasks: Sequence[SeedTask], jobs: int) -> Iterator[tuple[SeedTask, Exception | None]]:
    """Each task with its error, or None, in the order in which they end."""
    if min(jobs, len(tasks)) <= 1:
        for task in tasks:
            try:
                train_seed(task)
            except Exception as error:
                yield task, error
            else:
                yield task, None
        return
    yield from _train_in_processes(tasks, min(jobs, len(tasks)))


@contextmanager
def _ctrl_c_ignored() -> Iterator[None]:
    """Processes that are started within ignore Ctrl-C, and so do theirs: only this one answers it."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _train_in_processes(tasks: Sequence[SeedTask], jobs: int) -> Iterator[tuple[SeedTask, Exception | None]]:
    """Never by fork: torch's threads and CUDA do not survive it. A fork server imports torch once for all workers."""
    methods = multiprocessing.get_all_start_methods()
    context = multiprocessing.get_context("forkserver" if "forkserver" in methods else "spawn")
    if context.get_start_method() == "forkserver":
        context.set_forkserver_preload(["heads.trainer", "heads.checkpoint", "pipeline.training"])
        with _ctrl_c_ignored():
            forkserver.ensure_running()
    stop = context.Event()
    executor = ProcessPoolExecutor(jobs, context, start_worker, (stop,))
    try:
        futures: dict[Future[dict[str, Any]], SeedTask] = {
            executor.submit(train_in_worker, task): task for task in tasks
        }
        for future in as_completed(futures):
            error = future.exception()
            if isinstance(error, BrokenProcessPool):
                error = RunError("a worker process died, perhaps for want of memory: run again with fewer --jobs")
            if error is not None and not isinstance(error, Exception):
                raise error
            yield futures[future], error
    finally:
        stop.set()
        executor.shutdown(wait=True, cancel_futures=True)
