"""RUNS/suite-NAME.json, written after a suite was trained; `pipeline.runs.suite_record` reads it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from features.errors import RunFileError
from heads.config.suite import Suite
from pipeline.runs.json_files import write_json
from pipeline.runs.locks import folder_lock
from pipeline.runs.suite_record import read_suite_record
from pipeline.suites.plan import Plan


def write_suite_record(
    suite: Suite,
    plan: Plan,
    runs: Path,
    roles: Mapping[str, str] | None = None,
    *,
    seeds: int | None = None,
    in_part: bool = False,
) -> None:
    """RUNS/suite-NAME.json: which run folder answers for which experiment, the suite's questions and its baseline.

    plan:  of the whole suite; an experiment that has no folder in RUNS is left out. Of equal experiments, the folder of
           any answers for all
    roles: feature of the suite -> the one that played its role
    seeds: how many of each experiment were asked for. The record keeps the most that it was ever told
    in_part: some experiments alone were to be trained, so `seeds` is not the suite's where an earlier record has one
    """
    with folder_lock(runs):
        earlier = _seeds_before(runs / f"suite-{suite.name}.json")
        asked = earlier if in_part and earlier else max(filter(None, (seeds, earlier)), default=None)
        _write(suite, plan, runs, roles or {}, asked)


def _seeds_before(file: Path) -> int | None:
    """Of the record that is about to be replaced; None where it cannot be read or does not say."""
    try:
        return read_suite_record(file).seeds if file.is_file() else None
    except RunFileError:
        return None


def _write(suite: Suite, plan: Plan, runs: Path, roles: Mapping[str, str], seeds: int | None) -> None:
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
        "roles": dict(roles),
        "runs": names,
        "duplicates": duplicates,
        "baseline": suite.baseline,
        "seeds": seeds,
        "contrasts": [contrast.model_dump() for contrast in suite.contrasts],
    }
    write_json(runs / f"suite-{suite.name}.json", record)
