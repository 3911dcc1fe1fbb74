"""A folder of runs as items for trackers: its seeds, its experiments, its cross-validations, and each suite whole."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from features.digests import digest_of
from features.errors import ErcError, RunError, RunFileError
from pipeline.runs.folder import Run, is_run
from pipeline.runs.folds_file import NESTED
from pipeline.runs.json_files import read_text, reason_of
from pipeline.tracking.experiments import experiment_content, experiment_digest, folded_content, folded_digest
from pipeline.tracking.item import Item
from pipeline.tracking.seeds import seed_content, seed_digest
from pipeline.tracking.whole import Whole

_FOLDED = ("cv-*", NESTED)


class RunsFolder:
    """out: a run folder, a folder of runs, or a cross-validation; home: where reports for trackers are written.

    problems: what could not be read, a line each, as far as `items` has come
    """

    def __init__(self, out: Path, home: Path) -> None:
        self.out = out
        self.whole = Whole(out, home)
        self.problems: list[str] = []

    def items(self, chosen: Sequence[Path] | None = None) -> Iterator[Item]:
        """Seeds before their experiment, experiments before their suite. chosen: run folders, and folders of
        cross-validations; None for all of them. Raises RunError where there is none."""
        groups: dict[str, None] = {}
        for path in self._all() if chosen is None else chosen:
            try:
                found = self._of_run(Run(path)) if is_run(path) else self._of_folds(path)
            except ErcError as error:
                self.problems.append(str(error))
                continue
            except Exception as error:  # a file of another form than this version writes
                self.problems.append(f"{path}: {type(error).__name__}: {reason_of(error)}")
                continue
            yield from found
            if is_run(path) or path.match(NESTED):
                groups |= dict.fromkeys(item.group for item in found)
        yield from (self.suite(group) for group in groups if self._members(group))

    def seed(self, run: Run, seed: int) -> Item:
        parent = self.fold_experiment(run) if run.features.fold else self.experiment(run)
        return Item(
            kind="seed",
            key=f"seed-{seed}",
            folder=run.path,
            group=self.group_of(run),
            place=(*self._place(run), f"seed-{seed}"),
            digest=lambda: seed_digest(run, seed),
            read=lambda: seed_content(run, seed),
            parent=parent,
        )

    def experiment(self, run: Run) -> Item:
        return Item(
            kind="experiment",
            key="experiment",
            folder=run.path,
            group=self.group_of(run),
            place=(*self._place(run), "summary"),
            digest=lambda: experiment_digest(run),
            read=lambda: experiment_content(run),
            parent=self.suite(self.group_of(run)),
        )

    def fold_experiment(self, run: Run) -> Item:
        """What a fold's run is a part of: its experiment over all folds."""
        return self._over_folds(run.path.parent.parent, run)

    def suite(self, group: str) -> Item:
        return Item(
            kind="suite",
            key=f"suite:{group}",
            folder=self.out,
            group=group,
            place=("suite",),
            digest=lambda: self.whole.digest(group, self._members(group)),
            read=lambda: self.whole.content(group, self._members(group)),
        )

    def group_of(self, run: Run) -> str:
        """The suite that a run was trained for, and, of a fold, which cross-validation."""
        suite = run.config.get("suite")
        name = suite if isinstance(suite, str) and suite.strip() else self.out.resolve().name
        name = name.replace("/", "-")
        return f"{name}/{run.path.parent.parent.resolve().name}" if run.features.fold else name

    def _all(self) -> list[Path]:
        if not self.out.is_dir():
            raise RunError(f"no folder {self.out}: train heads with `erc ablate SUITE --out {self.out}`")
        if is_run(self.out) or (self.out / "summary.json").is_file():
            return [self.out]
        found = sorted(path for path in self.out.iterdir() if is_run(path))
        found += [file.parent for pattern in _FOLDED for file in sorted(self.out.glob(f"{pattern}/summary.json"))]
        if not found:
            raise RunError(f"{self.out}: holds no run: train one with `erc ablate SUITE --out {self.out}`")
        return found

    def _members(self, group: str) -> list[Run]:
        """The runs in `out` that are of a group."""
        _, _, folded = group.partition("/")
        within = self.out.glob(f"{folded}/fold-*/*") if folded else [self.out, *self.out.iterdir()]
        runs = [Run(path) for path in sorted(within) if is_run(path)]
        return [run for run in runs if self._is_of(run, group)]

    def _is_of(self, run: Run, group: str) -> bool:
        """Not one that cannot be read: `items` tells of it."""
        try:
            return self.group_of(run) == group
        except RunFileError:
            return False

    def _of_run(self, run: Run) -> list[Item]:
        seeds = [self.seed(run, seed) for seed in run.finished_seeds()]
        whole = run.scored_splits() and not run.features.fold
        return [*seeds, self.experiment(run)] if whole else seeds

    def _place(self, run: Run) -> tuple[str, ...]:
        name = run.path.resolve().name
        return (run.path.parent.name, name) if run.features.fold else (name,)

    def _of_folds(self, folder: Path) -> list[Item]:
        """The seeds of all folds, and each experiment over its folds; nothing where no summary.json is written."""
        found = []
        for entry in _entries(folder / "summary.json") if (folder / "summary.json").is_file() else []:
            runs = [Run(folder / fold["run"]) for fold in entry["folds"]]
            found += [self.seed(run, seed) for run in runs for seed in run.finished_seeds()]
            found.append(self._over_folds(folder, runs[0], entry))
        return found

    def _over_folds(self, folder: Path, run: Run, entry: Mapping[str, Any] | None = None) -> Item:
        """run: the experiment's in any fold; entry: its own in summary.json, once it is there."""
        known = entry or {}
        # The folders of its runs have another name in each fold, whose rows are others.
        features = [feature.fingerprint for feature in run.features.features]
        label = f"{run.name}-{digest_of('folded', run.config, features)[:8]}"
        return Item(
            kind="experiment",
            key=f"experiment:{label}",
            folder=folder,
            group=self.group_of(run),
            place=(label, "summary"),
            digest=lambda: folded_digest(known),
            read=lambda: folded_content(known, folder / "summary.json"),
        )


def _entries(summary: Path) -> list[dict[str, Any]]:
    """The experiments of a cross-validation. Raises RunFileError where the file is damaged."""
    mend = "remove it and cross-validate again: what is trained is kept"
    try:
        entries = json.loads(read_text(summary, mend))["experiments"]
        return [entry for entry in entries if entry["folds"] and entry["scores"]]
    except (ValueError, KeyError, TypeError) as error:
        raise RunFileError(summary.parent, f"{summary.name} cannot be read ({error})", mend) from error
