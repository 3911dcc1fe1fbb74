"""Seeds that are not to be averaged with new ones, moved out of the way: RUN/earlier-N/ is a run folder of its own."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from pipeline.runs.folder import Run
from pipeline.runs.other_code import OTHER_CODE
from pipeline.runs.other_corpora import OTHER_CORPORA

_KEPT = ("config.yaml", "features.json")


def set_aside(run: Run, seeds: Sequence[int]) -> Path:
    """Move the folders of these seeds, and all scores of the run, which are means over them, to RUN/earlier-N.

    It holds what a run holds, so that `erc report`, `erc compare` and `erc evaluate` read it when it is named; nothing
    is removed. Gives its path, whose N is the next that is free.
    """
    target = next_earlier(run.path)
    for name in _KEPT:
        shutil.copyfile(run.path / name, target / name)
    apart = [run.path / OTHER_CORPORA, run.path / OTHER_CODE]
    moved = [*sorted(run.path.glob("metrics-*.json")), *apart, *map(run.seed_folder, seeds)]
    for path in moved:
        if path.exists():
            path.rename(target / path.name)
    return target


def next_earlier(folder: Path) -> Path:
    """A new folder earlier-N within it, with the next N that is free."""
    number = 1
    while (target := folder / f"earlier-{number}").exists():
        number += 1
    target.mkdir()
    return target
