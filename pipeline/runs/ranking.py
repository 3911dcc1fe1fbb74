"""The one rule by which runs are ranked: dev's mean score, of runs with as many seeds as are asked for.

A score of one seed is higher or lower than the mean of many by luck alone, and of several such scores the highest is a
lucky one: a run of fewer seeds than the others is not ranked against their means.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from features.errors import RunFileError
from pipeline.runs.folder import Run, is_run
from pipeline.runs.suite_record import SuiteRecord, read_suite_record

Item = TypeVar("Item")


@dataclass(frozen=True)
class Candidate(Generic[Item]):
    """A run of a corpus. score: its mean on dev, None without dev scores; seeds: how many that mean is of; name: breaks
    ties, and is what suites call the run's folder."""

    item: Item
    name: str
    score: float | None
    seeds: int


@dataclass(frozen=True)
class Ranking(Generic[Item]):
    """ranked: best first; fewer: those of fewer seeds than asked for, by score; unscored: by name."""

    ranked: tuple[Item, ...]
    fewer: tuple[Item, ...]
    unscored: tuple[Item, ...]
    asked: int

    @property
    def all(self) -> tuple[Item, ...]:
        return (*self.ranked, *self.fewer, *self.unscored)

    @property
    def note(self) -> str:
        """What a ranking of single trainings is worth; empty where there is nothing to say."""
        return ONE_SEED if self.asked == 1 and len(self.ranked) > 1 else ""


ONE_SEED = (
    "The runs are ranked by one seed each: another seed may rank them otherwise, and the best of them is likely a lucky"
    " one. Train each with three seeds or more to rank configurations."
)


def fewer_text(runs: Sequence[tuple[str, int]], asked: int) -> str:
    """`mine (1 seed) has fewer than the 3 seeds ...`, at most four by name. runs: name, seeds"""
    shown = [f"{name} ({seeds} {'seed' if seeds == 1 else 'seeds'})" for name, seeds in runs[:4]]
    more = f" and {len(runs) - 4} more" if len(runs) > 4 else ""
    verbs = ("has", "is") if len(runs) == 1 else ("have", "are")
    whose = "its" if len(runs) == 1 else "their"
    listed = ",".join(map(str, range(asked))) if asked <= 6 else f"0,1,...,{asked - 1}"
    return (
        f"{', '.join(shown)}{more} {verbs[0]} fewer than the {asked} seeds that are asked for, and {verbs[1]} not"
        f" ranked: train {whose} other seeds (`erc train --seeds {listed}`, `erc ablate --seeds {asked}`)"
    )


def seeds_asked(seeds: Mapping[str, int], suites: Iterable[SuiteRecord] = ()) -> int:
    """How many seeds a run needs to be ranked: as many as the suite has that runs here belong to, of several suites the
    largest number; without a suite, the largest number of seeds among the runs. 0 where no run has scores.

    seeds: folder -> seeds of its dev scores, of the runs of one corpus
    A suite has as many seeds as it was trained with (its record says), or as the run of it here that has most, where
    none has so many or the record is of before it said.
    """
    scored = {folder: number for folder, number in seeds.items() if number}
    of_suites = []
    for suite in suites:
        members = [scored[folder] for folder in set(suite.runs.values()) if folder in scored]
        if members:
            of_suites.append(min(max(members), suite.seeds or max(members)))
    return max(of_suites or list(scored.values()), default=0)


def rank(candidates: Sequence[Candidate[Item]], asked: int) -> Ranking[Item]:
    """The runs of one corpus by the score that it is judged by; of equal ones the first by name.

    asked: of `seeds_asked`
    """
    ordered = sorted(candidates, key=lambda one: (one.score is None, -(one.score or 0.0), one.name))
    scored = [one for one in ordered if one.score is not None]
    return Ranking(
        tuple(one.item for one in scored if one.seeds >= asked),
        tuple(one.item for one in scored if one.seeds < asked),
        tuple(one.item for one in ordered if one.score is None),
        asked,
    )


def corpus_of(run: Run) -> tuple[str | None, ...]:
    """What runs have in common that may be ranked together: corpus, labels, and the score that judges. Raises
    RunFileError for damaged features.json."""
    manifest = run.features.manifest
    return (manifest.dataset, *manifest.labels, manifest.neutral, *map(str, manifest.criterion.key()))


def asked_beside(runs: Sequence[Run]) -> int:
    """`seeds_asked` of runs of one corpus, with the suites beside them, whose runs need not be among the given.

    Runs of these suites that cannot be read count for nothing. Raises RunFileError for a damaged suite record.
    """
    seeds = {str(run.path.resolve()): _seeds_of(run) for run in runs}
    suites = []
    for folder in dict.fromkeys(run.path.resolve().parent for run in runs):
        for file in sorted(folder.glob("suite-*.json")):
            record = read_suite_record(file)
            members = {name: folder / run for name, run in record.runs.items()}
            suites.append(record.model_copy(update={"runs": {name: str(path) for name, path in members.items()}}))
            for path in members.values():
                if str(path) not in seeds and _is_of(Run(path), corpus_of(runs[0])):
                    seeds[str(path)] = _seeds_of(Run(path))
    return seeds_asked(seeds, suites)


def suites_beside(runs: Iterable[Path]) -> list[tuple[Path, SuiteRecord]]:
    """(file, record) of the suites beside these run folders that one of them belongs to.

    Raises RunFileError for a damaged record.
    """
    names: dict[Path, set[str]] = {}
    for run in runs:
        whole = run.resolve()
        names.setdefault(whole.parent, set()).add(whole.name)
    return [
        (file, record)
        for folder, given in names.items()
        for file in sorted(folder.glob("suite-*.json"))
        if given & set((record := read_suite_record(file)).runs.values())
    ]


def _is_of(run: Run, corpus: tuple[str | None, ...]) -> bool:
    try:
        return is_run(run.path) and corpus_of(run) == corpus
    except RunFileError:
        return False


def _seeds_of(run: Run) -> int:
    """Of its dev scores; 0 without any that can be read."""
    try:
        return len(run.metrics("dev").seeds) if (run.path / "metrics-dev.json").is_file() else 0
    except RunFileError:
        return 0
