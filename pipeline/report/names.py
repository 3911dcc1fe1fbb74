"""What the runs of a report are called."""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.report.snapshot import RunSnapshot
from pipeline.runs.suite_record import SuiteRecord


def names_of(runs: Sequence[RunSnapshot], suites: Sequence[SuiteRecord] = ()) -> dict[str, str]:
    """Folder -> what to call the run: its experiment, or its folder where several runs have that experiment. The one of
    them that a suite trained keeps its experiment's name, whatever else is trained beside it."""
    of_suites = {folder for suite in suites for folder in suite.runs.values()}
    named: dict[str, list[str]] = {}
    for run in runs:
        named.setdefault(run.experiment, []).append(run.folder)
    names: dict[str, str] = {}
    for experiment, folders in named.items():
        keepers = [folder for folder in folders if folder in of_suites] if len(folders) > 1 else folders
        names |= {folder: experiment if keepers == [folder] else folder for folder in folders}
    taken = list(names.values())
    for run in runs:
        if names[run.folder] == run.folder and taken.count(run.folder) > 1 and run.folder not in of_suites:
            names[run.folder] = f"{run.experiment} (in {run.folder}/)"
    return names
