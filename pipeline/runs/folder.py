"""Run folders: what a trained experiment leaves on disk, each file read in one place.

RUN/ holds config.yaml, features.json, metrics-SPLIT.json, and in seed-N/ head.safetensors, history.parquet,
predictions-SPLIT.parquet and result.json, which is written last: a seed without it is not done. What was scored on
other rows than those of the run's own corpus lies apart (`pipeline.runs.other_corpora`), and so does what trackers were
sent (tracked.json, of `pipeline.tracking.ledger`).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from features.errors import ConfigError, RunError, RunFileError, UsageError
from pipeline.runs.features_file import FeaturesFile
from pipeline.runs.identity import foreign_scores
from pipeline.runs.json_files import clean, read_checked, read_text
from pipeline.runs.metrics_file import Metrics, with_constant_named
from pipeline.runs.predictions import read_prediction_frame
from pipeline.runs.seed_files import Curve, SeedResult, read_curve

if TYPE_CHECKING:
    import polars as pl

    from heads.config.experiment import Experiment

_SEED = re.compile(r"seed-(0|[1-9][0-9]*)")
_EARLIER = re.compile(r"earlier-[1-9][0-9]*")  # of `pipeline.runs.set_aside`
_RECORDS = ("suite-*.json", "search.json", "summary.json", "cv-*/", "nested-*/")  # of what holds runs
_TRAIN_AGAIN = "train the experiment again"


class ForeignScoresError(RunFileError):
    """A metrics-SPLIT.json that is whole, and is not of the run's own corpus."""


@dataclass(frozen=True)
class Run:
    """One run folder. What is read raises RunFileError where the file is absent or damaged.

    printable: texts of its YAML and JSON come without control characters (`json_files.clean`), for a page; paths may
               then no longer lead anywhere
    """

    path: Path
    printable: bool = False

    @cached_property
    def config(self) -> dict[str, Any]:
        """config.yaml as it stands: to resolve it, as `experiment` does, loads torch, which takes seconds."""
        from heads.config.strict_yaml import parse_yaml

        file = self.path / "config.yaml"
        try:
            content = parse_yaml(read_text(file, _TRAIN_AGAIN), file.name)
        except ConfigError as error:
            raise RunFileError(self.path, clean(str(error)), _TRAIN_AGAIN) from error
        if not isinstance(content, dict):
            raise RunFileError(self.path, f"{file.name} is not a mapping", _TRAIN_AGAIN)
        return clean(content) if self.printable else content

    @property
    def name(self) -> str:
        """The experiment's, or the folder's where config.yaml gives none."""
        name = self.config.get("name")
        if isinstance(name, str) and name.strip():
            return name
        folder = self.path.resolve().name
        return clean(folder) if self.printable else folder

    @cached_property
    def experiment(self) -> Experiment:
        """The resolved experiment. Raises ConfigError where config.yaml does not fit."""
        from heads.config.resolve import experiment_from_dict

        return experiment_from_dict(self.config, str(self.path / "config.yaml"))

    @cached_property
    def features(self) -> FeaturesFile:
        """The manifest, the store and the features that it was trained on."""
        return read_checked(FeaturesFile, self.path / "features.json", _TRAIN_AGAIN, printable=self.printable)

    @property
    def labels(self) -> tuple[str, ...]:
        return self.features.manifest.labels

    @property
    def configuration(self) -> str:
        """What is the same in runs of equal configuration and features; of older runs, which do not say, the folder."""
        return self.features.run or str(self.path.resolve())

    def seed_folder(self, seed: int) -> Path:
        return self.path / f"seed-{seed}"

    def started_seeds(self) -> list[int]:
        """Seeds that have a folder, ascending."""
        found = ((_SEED.fullmatch(entry.name), entry) for entry in self.path.glob("seed-*") if entry.is_dir())
        return sorted(int(match[1]) for match, _ in found if match)

    def finished_seeds(self) -> list[int]:
        """Seeds that have a result.json, ascending."""
        return [seed for seed in self.started_seeds() if self.is_finished(seed)]

    def is_finished(self, seed: int) -> bool:
        return (self.seed_folder(seed) / "result.json").is_file()

    def result(self, seed: int) -> SeedResult:
        """One seed's result.json."""
        folder = self.seed_folder(seed)
        mend = f"remove {folder} and train again"
        return read_checked(SeedResult, folder / "result.json", mend, printable=self.printable)

    def curve(self, seed: int) -> Curve | None:
        """One seed's history.parquet; None where it is not there or holds no epoch."""
        folder = self.seed_folder(seed)
        file = folder / "history.parquet"
        return read_curve(file, seed, f"remove {folder} and train again") if file.is_file() else None

    def scored_splits(self) -> list[str]:
        """Splits that have a metrics-SPLIT.json, by name."""
        files = sorted(self.path.glob("metrics-*.json"))
        return [file.name.removeprefix("metrics-").removesuffix(".json") for file in files]

    def metrics(self, split: str) -> Metrics:
        """metrics-SPLIT.json, which must be of that split, and of this run's labels and headline.

        Raises ForeignScoresError where it tells that it is of other rows than the run's own.
        """
        file, mend = self.path / f"metrics-{split}.json", f"run `erc evaluate {self.path} --split {split}`"
        scores = read_checked(Metrics, file, mend, printable=self.printable)
        if scores.split != (clean(split) if self.printable else split):
            raise RunFileError(self.path, f"{file.name} holds the scores of split {scores.split!r}", mend)
        if scores.labels != self.labels:
            raise RunFileError(self.path, f"{file.name} has other labels than features.json", mend)
        judged = self.features.manifest.headline
        if scores.headline != judged:
            raise RunFileError(self.path, f"{file.name} is by {scores.headline}, and features.json by {judged}", mend)
        foreign = foreign_scores(self.features, scores)
        if foreign:
            raise ForeignScoresError(self.path, f"{file.name} {foreign}", mend)
        return with_constant_named(scores, self.features.manifest.neutral)

    def predictions(self, seed: int, split: str, *, dialogues: bool = False) -> pl.DataFrame:
        """One seed's predictions. Raises RunError as `predictions.read_prediction_frame`."""
        of_fold = self.features.fold is not None
        return read_prediction_frame(self.path, seed, split, self.labels, dialogues=dialogues, of_fold=of_fold)


def is_run(path: Path) -> bool:
    """Whether a folder is a run that can be scored and compared: training writes these two files before any seed."""
    return (path / "config.yaml").is_file() and (path / "features.json").is_file()


def looks_like_run(path: Path) -> bool:
    """Whether a folder has any of a run's own files, and so is a run, if perhaps a damaged one.

    A report counts by this, so that a run that lost one of the files of `is_run` is named as skipped, not passed over
    in silence. Hidden folders are temporary and never runs.
    """
    if path.name.startswith(".") or not path.is_dir():
        return False
    return (path / "config.yaml").is_file() or (path / "features.json").is_file() or any(path.glob("metrics-*.json"))


def holds_runs(path: Path) -> bool:
    """Whether a folder has runs, cross-validations or their records within it, and so is not to become a run itself: it
    would hide them from whoever reads it."""
    records = any(file for name in _RECORDS for file in path.glob(name))
    return records or any(is_run(entry) and not is_set_aside(entry.name) for entry in path.iterdir())


def is_set_aside(name: str) -> bool:
    """Whether a folder's name is that of seeds that were set aside within a run (`pipeline.runs.set_aside`)."""
    return _EARLIER.fullmatch(name) is not None


def place_among_runs(path: Path) -> tuple[Path, str]:
    """The folder of runs that a run folder lies in, and its name there. Seeds that were set aside, in RUN/earlier-N,
    are of RUN."""
    whole = path.resolve()
    if is_set_aside(whole.name) and looks_like_run(whole.parent):
        whole = whole.parent
    return whole.parent, whole.name


def find_runs(paths: Iterable[Path]) -> list[Run]:
    """Run folders, given as such or as a folder of them, each once. Raises RunError for a path that holds none."""
    found: dict[Path, Run] = {}
    for path in paths:
        if not path.is_dir():
            raise RunError(f"no run folder at {path}: train one with `erc train` or `erc ablate`")
        path = path if path.name.strip(".") else path.resolve()  # `.` is no name to show
        here = [path] if is_run(path) else sorted(entry for entry in path.iterdir() if entry.is_dir() and is_run(entry))
        if not here:
            raise RunError(f"{path}: holds no run: train one with `erc ablate SUITE --out {path}`")
        for run in here:
            found.setdefault(run.resolve(), Run(run))
    return list(found.values())


def told_apart(runs: Sequence[Run]) -> list[str]:
    """Names of their folders; paths where two have one name, as the same experiment in two folders of runs has."""
    paths = [run.path.resolve() for run in runs]
    folders = Counter(path.name for path in set(paths))
    return [str(run.path) if folders[path.name] > 1 else path.name for run, path in zip(runs, paths, strict=True)]


def find_run(path: Path) -> Run:
    """The one run at a path. Raises RunError as `find_runs`, and UsageError where there are several."""
    found = find_runs([path])
    if len(found) > 1:
        names = ", ".join(str(run.path) for run in found[:5])
        raise UsageError(f"{path}: holds {len(found)} runs: give one of them, such as {names}")
    return found[0]
