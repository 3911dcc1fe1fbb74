"""Finished seeds are kept only where they were made as they would be made now, and their heads can be read; others are
set aside and trained again.

What is averaged is of one computation: all seeds of an experiment, over all folds of a cross-validation.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from features.errors import RunFileError
from pipeline.runs.computation import Computation, result_of
from pipeline.runs.folder import Run
from pipeline.runs.head_file import head_trouble
from pipeline.runs.json_files import update_json
from pipeline.runs.locks import folder_lock
from pipeline.runs.set_aside import set_aside
from pipeline.suites.computation import computation_of
from pipeline.suites.plan import Planned
from pipeline.suites.shard import Shard

Folders = Mapping[str, Sequence[tuple[Planned, Path]]]
"""Experiment -> it as planned, and its run folder; in a cross-validation one of each fold."""


Moved = tuple[int, str, Path]
"""How many seeds were set aside, why, and where the first of them lie."""


@dataclass
class Agreement:
    """set_aside: experiment -> seeds that were not made alike; spoilt: experiment -> seeds whose head cannot be read;
    mixed: experiment -> seeds that differ and are averaged by request; unknown: experiment -> seeds that are kept
    although nothing tells what made them; failures: experiment -> why its folders could not be changed."""

    set_aside: dict[str, Moved] = field(default_factory=dict)
    spoilt: dict[str, Moved] = field(default_factory=dict)
    mixed: dict[str, int] = field(default_factory=dict)
    unknown: dict[str, int] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)

    def lines(self) -> list[str]:
        """What a user should know, a line for each reason."""
        lines = []
        for names, number, reason, where in _by_reason(self.spoilt):
            lines.append(
                f"{_seeds(number)} of {names} {'have' if number > 1 else 'has'} no head that can be read ({reason}):"
                f" set aside, as in {where}, and trained again as far as asked for"
            )
        for names, number, reason, where in _by_reason(self.set_aside):
            lines.append(
                f"{_seeds(number)} of {names} {_were(number)} not made as today ({reason}), and so not averaged"
                f" with new ones: set aside, as in {where}, and trained again as far as asked for"
            )
        if self.unknown:
            number = sum(self.unknown.values())
            lines.append(
                f"{_seeds(number)} of {_named(self.unknown)} {_were(number)} made by an unknown version, which recorded"
                " neither its code nor its libraries: kept, since none is new; remove the run folder to train again"
            )
        if self.mixed:
            number = sum(self.mixed.values())
            lines.append(
                f"{_seeds(number)} of {_named(self.mixed)} {_were(number)} not made as today and averaged all the same,"
                " as --mix-seeds asks: reports say so"
            )
        return lines


def make_alike(
    folders: Folders,
    seeds: Sequence[int],
    device: str,
    mix: bool = False,
    shard: Shard | None = None,
    with_heads: bool = True,
) -> Agreement:
    """Set aside what is not to be averaged with the seeds that are wanted. Folders that are no such run are left alone.

    mix: keep everything, and note in features.json that this was asked for; shard: sets aside its own heads alone, and
    those that no shard has; with_heads: whether seeds keep their heads, and one without it is set aside, too
    """
    agreement = Agreement()
    for name, members in folders.items():
        try:
            with folder_lock(*(path for _, path in members if path.is_dir())):
                runs = [run for planned, path in members if (run := _run_of(planned, path))]
                today = computation_of(members[0][0], device)
                if with_heads:
                    _drop_spoilt(agreement, name, runs, today, shard)
                _make_alike(agreement, name, runs, len(members), seeds, today, mix, shard)
        except OSError as error:
            agreement.failures[name] = f"{type(error).__name__}: {error}"
    return agreement


def _drop_spoilt(agreement: Agreement, name: str, runs: Sequence[Run], today: Computation, shard: Shard | None) -> None:
    why: dict[Path, dict[int, str]] = {run.path: {} for run in runs}
    for run in runs:
        for seed in run.finished_seeds():
            trouble = head_trouble(run.seed_folder(seed))
            if trouble and (shard is None or shard.may_move(run.path, seed)):
                why[run.path][seed] = trouble
    if any(why.values()):
        agreement.spoilt[name] = _set_aside(runs, why, today)


def _make_alike(
    agreement: Agreement,
    name: str,
    runs: Sequence[Run],
    members: int,
    seeds: Sequence[int],
    today: Computation,
    mix: bool,
    shard: Shard | None,
) -> None:
    """Unknown seeds are kept where all are such, and none is to be trained beside them. members: how many runs there
    would be"""
    found = {run.path: {seed: Computation.of(result_of(run, seed)) for seed in run.finished_seeds()} for run in runs}
    other = {path: [seed for seed, one in known.items() if one.contradicts(today)] for path, known in found.items()}
    unknown = {path: [seed for seed, one in known.items() if not one.known] for path, known in found.items()}
    complete = len(runs) == members and all(set(seeds) <= set(unknown[run.path]) for run in runs)
    if complete and not any(other.values()) and all(len(unknown[path]) == len(found[path]) for path in found):
        agreement.unknown[name] = sum(map(len, unknown.values()))
    else:
        other = {path: sorted({*other[path], *unknown[path]}) for path in found}
    if shard and not mix:
        other = {path: [seed for seed in seeds if shard.may_move(path, seed)] for path, seeds in other.items()}
    differing = sum(map(len, other.values()))
    for run in runs:
        mixed = mix and (bool(differing) or run.features.mixed)
        if run.features.mixed != mixed:
            update_json(run.path / "features.json", {"mixed": mixed})
    if differing and mix:
        agreement.mixed[name] = differing
    elif differing:
        why = {path: {seed: found[path][seed].differs(today) for seed in seeds} for path, seeds in other.items()}
        agreement.set_aside[name] = _set_aside(runs, why, today)


def _run_of(planned: Planned, path: Path) -> Run | None:
    """The run folder, where it is one of just this configuration."""
    try:
        run = Run(path)
        return run if (path / "features.json").is_file() and run.features.run == planned.key else None
    except RunFileError:
        return None


def _set_aside(runs: Sequence[Run], why: Mapping[Path, Mapping[int, str]], today: Computation) -> Moved:
    """why: run folder -> seed that is to be moved -> reason"""
    places = []
    for run in runs:
        if why[run.path]:
            places.append(set_aside(run, list(why[run.path])))
            update_json(run.path / "features.json", {"versions": run.features.versions | today.versions})
    reasons = dict.fromkeys(reason for seeds in why.values() for reason in seeds.values())
    return sum(map(len, why.values())), " or ".join(reasons), places[0]


def _by_reason(moved: Mapping[str, Moved]) -> Iterator[tuple[str, int, str, Path]]:
    """Names of the experiments, how many seeds, why, and where the first of them lie; once for each reason."""
    for reason in dict.fromkeys(reason for _, reason, _ in moved.values()):
        found = {name: item for name, item in moved.items() if item[1] == reason}
        yield _named(found), sum(item[0] for item in found.values()), reason, next(iter(found.values()))[2]


def _seeds(number: int) -> str:
    return f"{number} finished seed{'s' if number > 1 else ''}"


def _were(number: int) -> str:
    return "were" if number > 1 else "was"


def _named(names: Mapping[str, object]) -> str:
    first = list(names)
    return ", ".join(first[:3]) + (f" and {len(first) - 3} more" if len(first) > 3 else "")
