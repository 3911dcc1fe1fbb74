"""Run folders -> the data model. A folder that cannot be read is named and skipped, never guessed at."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import yaml

from features.errors import RunError
from pipeline.report.snapshot import Run, RunSet, Unreadable
from pipeline.runs.features_file import FeaturesFile
from pipeline.runs.metrics_file import Metrics
from pipeline.runs.reads_of_test import TestRead
from pipeline.runs.records import SuiteRecord, checked, clean, one_line, read_suite_record
from pipeline.runs.seed_files import Curve, SeedResult
from pipeline.runs.splits import EVALUATION_SPLIT

_SEED = re.compile(r"seed-(\d+)")
_METRICS = re.compile(r"metrics-(.+)\.json")


def read_runs(folder: Path) -> RunSet:
    """Read every run in `folder`, which may also be one run itself. Sorted by folder name.

    Raises RunError where there is no such folder, it holds no run, or none of them could be read.
    """
    if not folder.is_dir():
        raise RunError(f"no folder {folder}: train heads with `erc ablate SUITE --out {folder}`")
    alone = is_run_folder(folder)
    candidates = [folder] if alone else sorted(path for path in folder.iterdir() if is_run_folder(path))
    if not candidates:
        raise RunError(f"no runs in {folder}: train heads with `erc ablate SUITE --out {folder}`")
    root = folder.resolve().parent if alone else folder
    runs: list[Run] = []
    unreadable: list[Unreadable] = []
    notes: list[str] = []
    for candidate in candidates:
        try:
            runs.append(read_run(candidate, notes))
        except RunError as error:
            unreadable.append(Unreadable(clean(candidate.resolve().name), str(error)))
    if not runs:
        first = unreadable[0]
        raise RunError(f"none of the {len(unreadable)} runs in {folder} can be read; {first.folder}: {first.problem}")
    reads = _read_test_reads(root / "test_reads.jsonl", notes)
    if alone:
        reads = [read for read in reads if Path(read.run).name == runs[0].folder]
    return RunSet(tuple(runs), tuple(unreadable), tuple(reads), tuple(_read_suites(root, notes)), tuple(notes))


def is_run_folder(path: Path) -> bool:
    """Whether a folder holds any of a run's own files. Hidden folders are temporary and never runs."""
    if path.name.startswith(".") or not path.is_dir():
        return False
    return (path / "config.yaml").is_file() or (path / "features.json").is_file() or any(path.glob("metrics-*.json"))


def read_run(path: Path, notes: list[str]) -> Run:
    """Read one run folder; `notes` gets what does not stop it. Raises RunError naming the file and the trouble."""
    config = clean(_load_yaml(path / "config.yaml"))
    if not isinstance(config, dict):
        raise RunError("config.yaml is not a mapping")
    record = checked(FeaturesFile, path / "features.json")
    name = clean(path.resolve().name)
    experiment = config.get("name")
    experiment = experiment if isinstance(experiment, str) and experiment.strip() else name
    metrics = {}
    for file in sorted(path.glob("metrics-*.json")):
        matched = _METRICS.fullmatch(file.name)
        split = clean(matched.group(1)) if matched else ""
        scores = checked(Metrics, file)
        if scores.split != split:
            raise RunError(f"{file.name} holds the scores of split {scores.split!r}")
        if scores.labels != record.manifest.labels:
            raise RunError(f"{file.name} has other labels than features.json")
        metrics[split] = scores
    results, unfinished, curves = [], [], []
    for seed, folder in _seed_folders(path):
        result = _read_result(folder, name, notes)
        if result is None:
            unfinished.append(seed)
            continue
        results.append(result)
        curve = _read_curve(folder, seed, name, notes)
        if curve is not None:
            curves.append(curve)
    return Run(name, experiment, config, record, metrics, tuple(results), tuple(unfinished), tuple(curves), path)


def _load_yaml(file: Path) -> Any:
    try:
        return yaml.safe_load(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise RunError(f"{file.name} is not there") from None
    except (OSError, ValueError, yaml.YAMLError, RecursionError) as error:
        raise RunError(f"{file.name} cannot be read: {one_line(error)}") from error


def _seed_folders(path: Path) -> Iterator[tuple[int, Path]]:
    found = [(int(matched.group(1)), item) for item in path.iterdir() if (matched := _SEED.fullmatch(item.name))]
    yield from sorted((seed, item) for seed, item in found if item.is_dir())


def _read_result(folder: Path, run: str, notes: list[str]) -> SeedResult | None:
    file = folder / "result.json"
    if not file.is_file():
        return None
    try:
        return checked(SeedResult, file)
    except RunError as error:
        notes.append(f"{run}, {folder.name}: {error}; this seed counts as unfinished.")
        return None


def _read_curve(folder: Path, seed: int, run: str, notes: list[str]) -> Curve | None:
    file = folder / "history.parquet"
    if not file.is_file():
        return None
    try:
        frame = pl.read_parquet(file, glob=False)
        names = ["dev_weighted_f1", *(name for name in ("train_loss", "dev_loss") if name in frame.columns)]
        frame = frame.select(pl.col("epoch").cast(pl.Int64), pl.col(names).cast(pl.Float64)).sort("epoch")
    except (pl.exceptions.PolarsError, OSError) as error:
        notes.append(
            f"{run}, {folder.name}: history.parquet cannot be read ({one_line(error)}); its curve is left out."
        )
        return None
    frame = frame.drop_nulls().filter(pl.all_horizontal(pl.col(names).is_finite()))
    if not frame.height:
        return None
    columns = {name: tuple(frame[name]) for name in names}
    return Curve(seed, tuple(frame["epoch"]), **columns)


def _read_test_reads(file: Path, notes: list[str]) -> list[TestRead]:
    """Every line counts as a read, also one that cannot be understood: a read is never made less by damage."""
    if not file.is_file():
        return []
    reads, damaged = [], 0
    for line in file.read_text(encoding="utf-8", errors="replace").splitlines():
        if not line.strip():
            continue
        try:
            values = clean(json.loads(line))
            if values.get("split", EVALUATION_SPLIT) != EVALUATION_SPLIT:
                continue
            time, experiment, run = (str(values.get(key) or "") for key in ("time", "experiment", "run"))
            reads.append(TestRead(time, experiment, run, tuple(int(seed) for seed in values.get("seeds") or ())))
        except (ValueError, TypeError, AttributeError):
            damaged += 1
            reads.append(TestRead("", "", "", ()))
    if damaged:
        notes.append(f"test_reads.jsonl: {damaged} lines cannot be read; each is counted as a read of the test split.")
    return reads


def _read_suites(root: Path, notes: list[str]) -> list[SuiteRecord]:
    suites = []
    for file in sorted(root.glob("suite-*.json")):
        try:
            suites.append(read_suite_record(file))
        except RunError as error:
            notes.append(f"{error}; the suite's questions are left out.")
    return suites
