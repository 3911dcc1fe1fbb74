"""What runs in an actor of Ray: heads that the local engine's code trains, one after another.

An actor gets the rows of the manifest once and opens the store by its path; it normalises features into files of its
own, and writes seeds into the run folders that the driver made. It says what it finds otherwise than the driver.
"""

from __future__ import annotations

import platform
from dataclasses import dataclass
from pathlib import Path

from features.engines.ray_worker import pin_threads
from features.errors import EngineError, ErcError
from features.manifest import Manifest
from features.store import Store
from heads.config.experiment import Experiment
from heads.data.data import choose_features
from heads.data.utterances import Utterances
from pipeline.runs.computation import Computation
from pipeline.runs.folder import Run
from pipeline.suites.computation import computation_of
from pipeline.suites.plan import Planned, Source, run_key
from pipeline.suites.run_errors import failure_line
from pipeline.suites.shared_features import SharedFeatures
from pipeline.suites.training import SeedTask, train_seed
from pipeline.suites.workers import train_alone
from pipeline.suites.workspace import Workspace


@dataclass(frozen=True)
class Rows:
    """A `Source` without its store, which each actor opens itself. store: an absolute path"""

    store: Path
    manifest: Manifest
    utterances: Utterances

    @classmethod
    def of(cls, source: Source) -> Rows:
        rows = source.manifest
        media = rows.media_root.absolute() if rows.media_root else None
        return cls(source.store.path.absolute(), Manifest(rows.frame, rows.card, media, rows.path), source.utterances)

    def open(self) -> Source:
        return Source(Store(self.store, self.manifest), self.manifest, self.utterances)


@dataclass(frozen=True)
class HeadTask:
    """A `SeedTask` without features. rows: which of the `Rows`, by place; run: an absolute path"""

    experiment: Experiment
    seed: int
    run: Path
    device: str
    computation: Computation
    rows: int


@dataclass(frozen=True)
class Answer:
    """failed: why the head could not be trained, in one line; unfit: why this host cannot train any, which ends all."""

    failed: str | None = None
    unfit: str | None = None


class HeadTrainer:
    """The actor. `set_up` comes first; `run` trains one head and writes its folder."""

    def set_up(self, rows: tuple[Rows, ...]) -> Answer:
        pin_threads(1, loads_torch=True)
        self._rows = rows
        self._workspace = Workspace()
        self._sources: dict[int, tuple[Source, SharedFeatures]] = {}
        return Answer()

    def run(self, task: HeadTask) -> Answer:
        try:
            planned, utterances, shared = self._checked(task)
        except ErcError as error:
            return Answer(unfit=f"host {platform.node()}: {failure_line(error)}")
        try:
            experiment, computation, inputs = planned.experiment, task.computation, shared.of(planned)
            train_alone(
                train_seed, SeedTask(experiment, task.seed, task.run, task.device, utterances, inputs, computation)
            )
        except Exception as error:
            return Answer(failed=failure_line(error))
        return Answer()

    def close(self) -> None:
        self._workspace.close()

    def _checked(self, task: HeadTask) -> tuple[Planned, Utterances, SharedFeatures]:
        """Raises EngineError where this host does not see what the driver sees, or would compute otherwise."""
        if not (task.run / "features.json").is_file():
            raise EngineError(f"does not see {task.run}: keep --out on a folder that every node has mounted there")
        rows = self._rows[task.rows]
        if not rows.store.is_dir():
            raise EngineError(
                f"does not see the store at {rows.store}: keep it on a folder that every node has mounted there"
            )
        if task.rows not in self._sources:
            source = rows.open()
            self._sources[task.rows] = source, SharedFeatures(source, self._workspace.folder / str(task.rows))
        source, shared = self._sources[task.rows]
        features = choose_features(source.store, task.experiment.inputs)
        planned = Planned(task.experiment, features, run_key(task.experiment, features, source.utterances))
        if planned.key != Run(task.run).features.run:
            raise EngineError(
                f"finds other features in {rows.store} than the driver: see that both have the same store"
            )
        here = computation_of(planned, task.device)
        if here.identity != task.computation.identity:
            raise EngineError(f"trains otherwise ({task.computation.differs(here)}): install what the driver has")
        return planned, source.utterances, shared
