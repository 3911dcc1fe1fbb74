"""A folder of runs -> the report's snapshots. What cannot be read is named and skipped, never guessed at."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from features.errors import RunError, RunFileError
from pipeline.report.snapshot import RunSet, RunSnapshot, Unreadable
from pipeline.runs.folder import ForeignScoresError, Run, holds_runs, is_set_aside, looks_like_run, place_among_runs
from pipeline.runs.folds_file import NESTED, FoldsFile, read_folds
from pipeline.runs.json_files import clean
from pipeline.runs.metrics_file import Metrics
from pipeline.runs.other_corpora import read_other_scores
from pipeline.runs.reads_of_test import TestRead, read_test_reads
from pipeline.runs.seed_files import Curve, SeedResult
from pipeline.runs.suite_record import SuiteRecord, read_suite_record


def read_runs(folder: Path) -> RunSet:
    """Read every run and nested cross-validation in `folder`, which may also be one of these itself. Sorted by folder
    name.

    Raises RunError where there is no such folder, it holds no run, or none of them could be read.
    """
    if not folder.is_dir():
        raise RunError(f"no folder {folder}: train heads with `erc ablate SUITE --out {folder}`")
    alone = looks_like_run(folder)
    candidates = [folder] if alone else sorted(path for path in folder.iterdir() if looks_like_run(path))
    notes: list[str] = []
    folded = {} if alone else _read_folded(folder, notes)
    if not candidates and not folded:
        lost = f" ({notes[0]})" if notes else ""
        raise RunError(f"no runs in {folder}{lost}: train heads with `erc ablate SUITE --out {folder}`")
    root = folder.resolve().parent if alone else folder
    runs_of_it, own_name = place_among_runs(folder) if alone else (folder, "")
    runs: list[RunSnapshot] = []
    unreadable: list[Unreadable] = []
    for candidate in candidates:
        try:
            runs.append(read_run(candidate, notes))
        except RunFileError as error:
            unreadable.append(Unreadable(clean(candidate.resolve().name), error.problem))
    if not runs and not folded:
        first = unreadable[0]
        raise RunError(f"none of the {len(unreadable)} runs in {folder} can be read; {first.folder}: {first.problem}")
    reads = _read_test_reads(runs_of_it, notes)
    if alone:
        reads = [read for read in reads if Path(read.run).name == clean(own_name)]
    for place in [runs_of_it / own_name] if alone else candidates:  # of seeds set aside, as older versions wrote them
        older = [read for read in _read_test_reads(place, notes) if not read.run or is_set_aside(read.run)]
        reads += [replace(read, run=clean(place.name)) for read in older]
    if alone and holds_runs(folder):
        notes.append(f"{runs[0].folder}: other runs lie within this run's folder, and this page is of it alone.")
    return RunSet(tuple(runs), tuple(unreadable), tuple(reads), tuple(_read_suites(root, notes)), tuple(notes), folded)


def read_run(path: Path, notes: list[str]) -> RunSnapshot:
    """Read one run folder; `notes` gets what does not stop it. Raises RunFileError for the file that does."""
    run = Run(path, printable=True)
    config, record = run.config, run.features
    folder = clean(path.resolve().name)
    metrics = _read_metrics(run, folder, notes)
    elsewhere, problems = read_other_scores(run)
    notes += [f"{folder}: {problem}; it is left out." for problem in problems]
    results: list[SeedResult] = []
    unfinished: list[int] = []
    curves: list[Curve] = []
    finished = run.finished_seeds()
    for seed in run.started_seeds():
        result = _read_result(run, seed, folder, notes) if seed in finished else None
        if result is None:
            unfinished.append(seed)
            continue
        results.append(result)
        curve = _read_curve(run, seed, folder, notes)
        if curve is not None:
            curves.append(curve)
    return RunSnapshot(
        folder=folder,
        experiment=run.name,
        config=config,
        record=record,
        metrics=metrics,
        elsewhere=tuple(elsewhere),
        results=tuple(results),
        unfinished=tuple(unfinished),
        curves=tuple(curves),
        path=path,
    )


def _read_metrics(run: Run, folder: str, notes: list[str]) -> dict[str, Metrics]:
    """Of each split. Scores that tell that they are of another corpus are named and left out."""
    found = {}
    for split in run.scored_splits():
        try:
            found[clean(split)] = run.metrics(split)
        except ForeignScoresError as error:
            notes.append(f"{folder}: {error.problem}; it is left out: `erc evaluate` writes the run's own.")
    return found


def _read_result(run: Run, seed: int, folder: str, notes: list[str]) -> SeedResult | None:
    try:
        return run.result(seed)
    except RunFileError as error:
        notes.append(f"{folder}, seed-{seed}: {error.problem}; this seed counts as unfinished.")
        return None


def _read_curve(run: Run, seed: int, folder: str, notes: list[str]) -> Curve | None:
    try:
        return run.curve(seed)
    except RunFileError as error:
        notes.append(f"{folder}, seed-{seed}: {error.problem}; its curve is left out.")
        return None


def _read_test_reads(root: Path, notes: list[str]) -> list[TestRead]:
    reads, damaged = read_test_reads(root)
    if damaged:
        notes.append(f"test_reads.jsonl: {damaged} lines cannot be read; each is counted as a read of the test split.")
    return reads


def _read_folded(folder: Path, notes: list[str]) -> dict[str, FoldsFile]:
    files = [path / "summary.json" for path in ([folder] if folder.match(NESTED) else sorted(folder.glob(NESTED)))]
    folded = {}
    for file in files:
        if file.is_file():
            try:
                folded[clean(file.resolve().parent.name)] = read_folds(file)
            except RunFileError as error:
                notes.append(f"{error}; this cross-validation is left out.")
    return folded


def _read_suites(root: Path, notes: list[str]) -> list[SuiteRecord]:
    suites = []
    for file in sorted(root.glob("suite-*.json")):
        try:
            suites.append(read_suite_record(file))
        except RunFileError as error:
            notes.append(f"{error}; the suite's questions are left out.")
    return suites
