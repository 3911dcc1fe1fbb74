"""A search for settings with Optuna's TPE sampler, by the corpus's score on dev or over folds. Test is never read.

Nothing of Optuna's is stored: each trial is drawn from the trials before it, as search.json has them, and a seed that
belongs to its number. So a search that was stopped goes on as if it had not been. There is no pickle, and one process
alone searches in a folder: the system releases its lock when it dies.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from features.digests import digest_of
from features.errors import ErcError, RunError, StoreError, TrainingError, UsageError
from features.extras import install_extra
from heads.config.experiment import Experiment
from heads.training.folds import Folding
from pipeline.runs.computation import Computation
from pipeline.runs.locks import search_lock
from pipeline.runs.metrics_file import Score
from pipeline.search.record import SearchRecord, Trial, open_record, write_record
from pipeline.search.space import Dimension, override_of
from pipeline.suites.computation import any_computation, has_top
from pipeline.suites.cross_validation import fold_part, fold_sources, over_folds
from pipeline.suites.plan import Plan, Source, make_plan
from pipeline.suites.run import Outcome, Part, run_parts
from pipeline.suites.run_errors import failure_line
from pipeline.suites.shared_features import SharedFeatures
from pipeline.suites.workspace import workspace
from pipeline.terminal.progress import progress_bar

Resolve = Callable[[list[str]], Experiment]


@dataclass(frozen=True)
class Search:
    """What is searched, and how a trial is scored.

    resolve:  the experiment with `KEY=VALUE` overrides; raises ConfigError where they do not fit
    space:    the dimensions, and their YAML
    source:   of train and dev; of train alone where `folding` is given
    sampler_seed: other seeds draw other trials
    """

    resolve: Resolve
    space: Sequence[Dimension]
    content: dict[str, Any]
    source: Source
    seeds: Sequence[int]
    folding: Folding | None = None
    sampler_seed: int = 0

    @property
    def objective(self) -> str:
        numbers = ", ".join(map(str, self.seeds))
        seeds = f"mean over seeds {numbers}" if len(self.seeds) > 1 else f"seed {numbers}"
        score = self.source.utterances.criterion.words
        if self.folding:
            return f"{score} over {self.folding.words} of train, by {self.folding.by}, {seeds}"
        return f"dev {score}, {seeds}"


def check_optuna() -> None:
    """Raises UsageError where Optuna is not installed."""
    if find_spec("optuna") is None:
        raise UsageError(f"--search needs Optuna: {install_extra('tuning')}")


def run_search(
    search: Search, trials: int, folder: Path, jobs: int, device: str, command: str, warn: Callable[[str], object]
) -> SearchRecord:
    """Go on until there are so many trials in all. A trial that fails is recorded, and the next one follows.

    folder: of search.json, trials.csv, best.yaml and, in trials/, the run of each configuration, without its head
    warn:   told, in one line, what a user should know
    Raises StoreError where even the experiment as it stands cannot run, and RunError where the folder holds another, or
    another process searches there.
    """
    described = _described(search, device, warn)
    with search_lock(folder) as held, workspace() as shared:
        if not held:
            raise RunError(f"{folder}: a search is at work there: wait for it, or choose another --out")
        record = open_record(folder, *described, trials)
        if len(record.trials) < trials:
            _check_features(search, record, device)
        scorer = _Scorer(search, folder / "trials", shared, jobs, device, command, warn)
        left = range(len(record.trials), trials)
        study = _study(search, record) if left else None
        with progress_bar(len(left), "trial", "searching") as progress:
            for number in left:
                trial = _next_trial(study, search, number, scorer)
                record.trials.append(trial)
                write_record(record, _best(search, record))
                if trial.problem:
                    warn(f"trial {number}: {trial.problem}")
                progress.update()
    return record


def _described(search: Search, device: str, warn: Callable[[str], object]) -> tuple[str, dict[str, Any], Computation]:
    """Identity, settings and computation of its `SearchRecord`. Raises StoreError where it cannot run."""
    base = search.resolve([])
    plan = make_plan([base], search.source, device, with_parts=False)
    for warning in plan.warnings:
        warn(warning)
    if plan.failures:
        raise StoreError(f"{base.name}: {plan.failures[base.name]}")
    folds = {"count": search.folding.count, "group": search.folding.by} if search.folding else None
    settings = {
        "experiment": base.name,
        "objective": search.objective,
        "space": search.content,
        "seeds": list(search.seeds),
        "folds": folds,
        "sampler": "TPE",
        "sampler_seed": search.sampler_seed,
        "optuna": version("optuna"),
    }
    computation = any_computation(device, has_top(plan.planned) or _tries_tops(search))
    return digest_of("search", plan.planned[0].key, settings), settings, computation


def _check_features(search: Search, record: SearchRecord, device: str) -> None:
    """Raises RunError where a trial that is ranked read features that are not what the store has now: new ones would be
    ranked with it. One trial tells for all of the same inputs."""
    told: dict[str, Trial] = {}
    for trial in record.ranked():
        chosen = {key: value for key, value in trial.parameters.items() if key.partition(".")[0] == "inputs"}
        if trial.run is not None:
            told.setdefault(json.dumps(chosen, sort_keys=True), trial)
    for trial in told.values():
        plan = make_plan([search.resolve(_overrides(trial.parameters))], search.source, device, with_parts=False)
        if plan.failures:
            raise StoreError(f"{record.folder}: trial {trial.number}: {next(iter(plan.failures.values()))}")
        if [item.key for item in plan.planned] != [trial.run]:
            raise RunError(
                f"{record.folder}: trial {trial.number} read other features than the store has now, and a search ranks"
                " trials of one kind: choose another --out, or remove it"
            )


def _tries_tops(search: Search) -> bool:
    """Whether trials choose their features, from a store that has an encoder's top."""
    tries_inputs = any(dimension.key.partition(".")[0] == "inputs" for dimension in search.space)
    return tries_inputs and any(feature.spec.from_top for feature in search.source.store.features())


def _best(search: Search, record: SearchRecord) -> Experiment | None:
    ranked = record.ranked()
    return search.resolve(_overrides(ranked[0].parameters)) if ranked else None


def _overrides(parameters: dict[str, Any]) -> list[str]:
    return [override_of(key, value) for key, value in parameters.items()]


def _study(search: Search, record: SearchRecord) -> Any:
    """An Optuna study in memory that knows the trials so far."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(direction="maximize")
    distributions = {dimension.key: dimension.distribution() for dimension in search.space}
    for trial in record.trials:
        drawn = {dimension.key: dimension.drawn(trial.parameters[dimension.key]) for dimension in search.space}
        state = optuna.trial.TrialState.FAIL if trial.value is None else optuna.trial.TrialState.COMPLETE
        study.add_trial(
            optuna.trial.create_trial(state=state, value=trial.value, params=drawn, distributions=distributions)
        )
    return study


def _next_trial(study: Any, search: Search, number: int, scorer: _Scorer) -> Trial:
    import optuna

    seed = int(np.random.SeedSequence([search.sampler_seed, number]).generate_state(1)[0])
    study.sampler = optuna.samplers.TPESampler(seed=seed)
    asked = study.ask(fixed_distributions={dimension.key: dimension.distribution() for dimension in search.space})
    parameters = {dimension.key: dimension.value(asked.params[dimension.key]) for dimension in search.space}
    trial = scorer.trial(number, parameters)
    if trial.value is None:
        study.tell(asked, state=optuna.trial.TrialState.FAIL)
    else:
        study.tell(asked, trial.value)
    return trial


class _Scorer:
    """Trains a configuration and gives its value. Features are normalised once for all trials that share them."""

    def __init__(
        self,
        search: Search,
        runs: Path,
        files: Path,
        jobs: int,
        device: str,
        command: str,
        warn: Callable[[str], object],
    ) -> None:
        self.search = search
        self.runs = runs
        self.jobs, self.device, self.command, self.warn = jobs, device, command, warn
        sources = fold_sources(search.source, search.folding) if search.folding else [search.source]
        self.shared = [SharedFeatures(source, files / str(place)) for place, source in enumerate(sources)]

    def trial(self, number: int, parameters: dict[str, Any]) -> Trial:
        run, scored = None, False
        try:
            experiment = self.search.resolve(_overrides(parameters))
            plan = make_plan([experiment], self.search.source, self.device)
            if plan.failures:
                raise TrainingError(plan.failures[experiment.name])
            run = plan.planned[0].key
            parts = self._parts(plan)
            outcomes = self._train(parts, experiment.name)
            scored = not self.search.folding and experiment.name in outcomes[0].metrics
            score = self._score(parts, outcomes, experiment.name)
        except ErcError as error:
            return Trial(number, parameters, "failed", run=run, problem=failure_line(error), scored=scored)
        return Trial(number, parameters, "complete", score.mean, score.values, run)

    def _parts(self, plan: Plan) -> list[Part]:
        if self.search.folding:
            runs = self.runs / self.search.folding.name
            return [fold_part(plan, shared.source, runs, shared) for shared in self.shared]
        folders = {item.experiment.name: self.runs / item.folder_name for item in plan.planned}
        return [Part(plan, self.search.source, folders, self.shared[0])]

    def _train(self, parts: list[Part], name: str) -> list[Outcome]:
        outcomes = run_parts(
            parts, self.search.seeds, self.jobs, self.device, self.command, show=False, with_heads=False
        )
        for note in outcomes[0].notes:
            self.warn(note)
        for part in parts:
            for head in part.folders[name].glob("seed-*/head.safetensors"):
                head.unlink()  # a search may train thousands; what a trial says is its value
        return outcomes

    def _score(self, parts: list[Part], outcomes: list[Outcome], name: str) -> Score:
        """Over the seeds, or over the folds. Raises TrainingError where a head failed."""
        for part, outcome in zip(parts, outcomes, strict=True):
            if outcome.failures:
                raise TrainingError(f"{_where(part)}{outcome.failures[name]}")
        return over_folds(name, outcomes) if self.search.folding else outcomes[0].metrics[name].headline_score


def _where(part: Part) -> str:
    return f"fold {part.source.fold.number}: " if part.source.fold else ""
