"""Runs and suites on disk -> what is compared. Nothing is predicted: only what was scored before is read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl

from features.errors import ErcError, RunError
from pipeline.comparison.counts import Frames
from pipeline.runs.computation import check_alike
from pipeline.runs.folder import Run
from pipeline.runs.suite_record import read_suite_record


@dataclass(frozen=True)
class Declared:
    """A contrast that a suite declares. runs: experiment -> run folder, of the suite's record."""

    suite: str
    question: str
    a: str
    b: str
    runs: Mapping[str, Path] = field(default_factory=dict, repr=False)

    def pair(self) -> tuple[Run, Run]:
        """The runs of A and B. Raises RunError where one was not trained, or both are one run."""
        for name in (self.a, self.b):
            if name not in self.runs or not self.runs[name].is_dir():
                raise RunError(f"no run of {name}: train it with `erc ablate {self.suite} --only {name}`")
        if self.runs[self.a] == self.runs[self.b]:
            raise RunError(f"{self.a} and {self.b} are the same run: their configs and features are equal")
        return Run(self.runs[self.a]), Run(self.runs[self.b])


def read_predictions(run: Run, split: str) -> Frames:
    """The predictions of all finished seeds. Raises RunError where there are none, they are of an older form,
    or seeds were not made alike."""
    seeds = run.finished_seeds()
    if not seeds:
        raise RunError(f"{run.path}: no seed is finished: run `erc ablate` or `erc train` again")
    check_alike(run, seeds)
    return {seed: run.predictions(seed, split, dialogues=True) for seed in seeds}


def check_comparable(a: Run, b: Run) -> None:
    """Raises RunError unless both runs are of one corpus and one list of labels, and judged by one score."""
    first, second = a.features.manifest.dataset, b.features.manifest.dataset
    if first != second:
        raise RunError(f"{a.path} was trained on {first} and {b.path} on {second}: choose two runs of one corpus")
    if a.labels != b.labels:
        raise RunError(
            f"{a.path} has the labels {', '.join(a.labels)}, {b.path} has {', '.join(b.labels)}: choose two runs whose"
            " labels are the same, in the same order"
        )
    one, two = a.features.manifest.criterion, b.features.manifest.criterion
    if one.key() != two.key():
        other = "" if one.name != two.name else " of other labels"
        raise RunError(
            f"{a.path} is judged by {one.words}, {b.path} by {two.words}{other}: the dataset card's `headline` was"
            " another when they were trained: train both with one card"
        )


def read_declared(runs: Path) -> list[Declared]:
    """Every contrast of the suites that were run into a folder, by suite, in the suites' order.

    Raises RunError where there is no such folder, no suite in it, a suite's record is damaged, or none is declared.
    """
    if not runs.is_dir():
        raise RunError(f"no folder {runs}: train a suite with `erc ablate SUITE --out {runs}`")
    files = sorted(runs.glob("suite-*.json"))
    if not files:
        raise RunError(
            f"{runs}: holds no suite-*.json, which declares contrasts: give two runs (`erc compare RUN_A RUN_B`), or"
            f" train a suite with `erc ablate SUITE --out {runs}`"
        )
    declared = []
    for file in files:
        record = read_suite_record(file)
        folders = {name: runs / folder for name, folder in record.runs.items()}
        declared += [Declared(record.suite, one.question, one.a, one.b, folders) for one in record.contrasts]
    if not declared:
        names = ", ".join(file.name for file in files)
        raise RunError(f"{runs}: {names} declares no contrasts: give two runs (`erc compare RUN_A RUN_B`)")
    return declared


def read_texts(run: Run, ids: Sequence[str]) -> dict[str, dict[str, str | None]]:
    """id -> speaker and text, from the manifest that the run recorded; empty where it is not at hand or has changed."""
    from features.digests import sha256_file
    from features.manifest import read_manifest

    recorded = run.features.manifest
    path = Path(recorded.path) if recorded.path else None
    try:
        if path is None or not path.is_file() or sha256_file(path) != recorded.sha256:
            return {}
        frame = read_manifest(path).frame
    except (ErcError, OSError):
        return {}
    rows = frame.filter(pl.col("utterance_id").is_in(list(ids))).select("utterance_id", "speaker", "text")
    return {row["utterance_id"]: {"speaker": row["speaker"], "text": row["text"]} for row in rows.to_dicts()}
