"""RUNS/suite-NAME.json, written after a suite was trained; `pipeline.runs.suite_record` reads it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from heads.config.suite import Suite
from pipeline.runs.json_files import write_json
from pipeline.runs.locks import folder_lock
from pipeline.suites.plan import Plan


def write_suite_record(suite: Suite, plan: Plan, runs: Path, roles: Mapping[str, str] | None = None) -> None:
    """RUNS/suite-NAME.json: which run folder answers for which experiment, the suite's questions and its baseline.

    plan:  of the whole suite; an experiment that has no folder in RUNS is left out. Of equal experiments, the folder of
           any answers for all
    roles: feature of the suite -> the one that played its role
    """
    with folder_lock(runs):
        _write(suite, plan, runs, roles or {})


def _write(suite: Suite, plan: Plan, runs: Path, roles: Mapping[str, str]) -> None:
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
        "contrasts": [contrast.model_dump() for contrast in suite.contrasts],
    }
    write_json(runs / f"suite-{suite.name}.json", record)
