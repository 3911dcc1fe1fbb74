"""What a suite would train: each experiment's features, size, batch, what it sees, and about how long."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from features.errors import ErcError
from features.packs.mounted import open_store
from heads.config.experiment import Experiment
from pipeline.suites.plan import Source
from pipeline.terminal.extract_commands import lacking_features, making_command


@dataclass(frozen=True)
class Line:
    """One experiment.

    inputs:  modality -> feature names
    lacking: MODALITY/NAME of those that the store has none of
    problem: why it cannot run although the store lacks none, or None
    batch:   as in `64 utterances`
    badges:  full dialogue or causal (of those that look at other turns), uses speaker names, sees its batch
    parameters, seconds_a_seed: None where they cannot be told
    """

    experiment: str
    inputs: dict[str, list[str]]
    lacking: list[str]
    problem: str | None
    batch: str
    badges: list[str]
    parameters: int | None = None
    seconds_a_seed: float | None = None


@dataclass(frozen=True)
class Listing:
    """lines: in the suite's order; commands: what makes the features that are lacking, each once."""

    lines: list[Line] = field(default_factory=list)
    commands: list[str] = field(default_factory=list)

    def seconds(self, heads_each: float, jobs: int) -> float | None:
        """At most, for all that can be told, if `jobs` processes share the heads evenly; None if nothing can be told.

        heads_each: seeds, times folds
        """
        known = [line.seconds_a_seed for line in self.lines if line.seconds_a_seed is not None]
        return max(max(known), sum(known) * heads_each / jobs) if known else None


def list_suite(
    experiments: Sequence[Experiment],
    store: Path,
    manifest: Path,
    source: Source | None,
    device: str = "cpu",
    timed: bool = True,
) -> Listing:
    """source: None without a store or a manifest, and nothing is estimated then. timed: take steps for the time."""
    opened = source.store if source else open_store(store) if store.is_dir() else None
    listing = Listing()
    for experiment in experiments:
        missing = lacking_features(experiment.inputs, opened)
        commands = [
            making_command(modality, name, manifest, opened.extract_to if opened else store)
            for modality, name in missing
        ]
        listing.commands.extend(item for item in commands if item not in listing.commands)
        facts: dict[str, Any] = {"lacking": [f"{modality}/{name}" for modality, name in missing], "problem": None}
        if not missing and source:
            facts |= _measured(experiment, source, device, timed)
        batch = experiment.batch
        listing.lines.append(
            Line(
                experiment=experiment.name,
                inputs={
                    modality: [_selector_text(item) for item in items] for modality, items in experiment.inputs.items()
                },
                batch=f"{batch.size} {batch.unit}",
                badges=badges_of(experiment),
                **facts,
            )
        )
    return listing


def badges_of(experiment: Experiment) -> list[str]:
    """What a reader of its scores must know."""
    dialogue = "causal" if experiment.is_causal else "full dialogue"
    return [
        *([dialogue] if experiment.sees_dialogues else []),
        *(["uses speaker names"] if experiment.speakers else []),
        *(["sees its batch"] if experiment.sees_batch else []),
    ]


def _measured(experiment: Experiment, source: Source, device: str, timed: bool) -> dict[str, Any]:
    from heads.data.data import choose_features
    from pipeline.suites.estimate import estimate
    from pipeline.suites.fits import misfit

    try:
        features = choose_features(source.store, experiment.inputs)
        if problem := misfit(experiment, features, source.utterances):
            return {"problem": problem}
        found = estimate(experiment, features, source.utterances, device, timed)
    except ErcError as error:
        return {"problem": str(error)}
    return {"parameters": found.parameters, "seconds_a_seed": found.seconds}


def _selector_text(selector: str | dict[str, str]) -> str:
    return selector if isinstance(selector, str) else " ".join(f"{key}={value}" for key, value in selector.items())


def listing_lines(listing: Listing, store: str) -> list[str]:
    """One line an experiment, its name first. store: where its features would be, in words"""
    rows = []
    for line in listing.lines:
        inputs = " + ".join(f"{modality}: {', '.join(names)}" for modality, names in line.inputs.items())
        weights = "" if line.parameters is None else f"{line.parameters:,} weights"
        seconds = "" if line.seconds_a_seed is None else f"about {duration(line.seconds_a_seed)} a seed"
        there = f"({store} lacks {', '.join(line.lacking)})" if line.lacking else "(its features are there)"
        there = f"({line.problem})" if line.problem else there
        rows.append([line.experiment, inputs, weights, f"batch {line.batch}", ", ".join(line.badges), seconds, there])
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))] if rows else []
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True) if width).rstrip() for row in rows
    ]


def duration(seconds: float) -> str:
    """`0.4 s`, `12 s`, `3.5 min`, `2.1 h`: two digits are more than an estimate has."""
    for size, unit in ((3600.0, "h"), (60.0, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.1f} s"
