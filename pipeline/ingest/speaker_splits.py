"""Splits of a corpus that has none: whole speakers, drawn with a seed or named."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from features.errors import UsageError, nearest
from pipeline.ingest.splits import name_splits
from pipeline.ingest.summary import Finding, finding

UNKNOWN_SPEAKER = "unknown"

_LISTED = 24


@dataclass(frozen=True)
class SplitChoice:
    """How rows get their split where their names do not tell it.

    all_in:         one split for all rows, or None
    test_speakers, dev_speakers: named ones; None: drawn
    test, dev:      shares of the speakers that are drawn, from 0 to below 1; 0 draws none, any other at least one
    """

    all_in: str | None = None
    test_speakers: tuple[str, ...] | None = None
    dev_speakers: tuple[str, ...] | None = None
    test: float = 0.2
    dev: float = 0.1
    seed: int = 0


def units_of(keys: Sequence[Mapping[str, str]]) -> list[str]:
    """Row -> the unit that must not be parted, named by its first key in order.

    keys: what a row belongs to, as {"speaker": .., "group": .., "dialogue": ..}; rows that share one are of one unit,
          as are rows that others join: two speakers of one dialogue are never parted
    """
    parents: dict[str, str] = {}

    def top(key: str) -> str:
        while parents.setdefault(key, key) != key:
            parents[key] = parents[parents[key]]
            key = parents[key]
        return key

    firsts = []
    for row in keys:
        names = [f"{kind}\0{value}" for kind, value in row.items()]
        for name in names:
            one, other = sorted((top(names[0]), top(name)))
            parents[other] = one
        firsts.append(names[0])
    smallest: dict[str, str] = {}
    for name in sorted(firsts):
        smallest.setdefault(top(name), name.partition("\0")[2])
    return [smallest[top(name)] for name in firsts]


def choose_splits(units: Sequence[str], speakers: Sequence[str], choice: SplitChoice) -> dict[str, str]:
    """Unit -> split. `units` and `speakers` are those of the rows; a named speaker takes its whole unit along.

    Which units are drawn depends on their names and the seed, not on the order of rows. Raises UsageError for a speaker
    that is not there or named twice, shares that do not fit, and where nothing is left to train on.
    """
    known = dict(zip(speakers, units, strict=True))
    problems = [
        f"--{role}-speakers {name!r} is no speaker: {nearest(name, known)}"
        for role, names in (("test", choice.test_speakers), ("dev", choice.dev_speakers))
        for name in names or ()
        if name not in known
    ]
    for role, share in (("test", choice.test), ("dev", choice.dev)):
        if not 0 <= share < 1:
            problems.append(f"--{role} ({share:g}) must be a share of the speakers, from 0 to below 1")
    if problems:
        raise UsageError("; ".join(problems))
    everyone = sorted(set(units))
    drawn = [everyone[index] for index in np.random.default_rng(choice.seed).permutation(len(everyone))]
    splits: dict[str, str] = {}
    named = (("test", choice.test_speakers), ("dev", choice.dev_speakers))
    for role, names in named:
        for name in names or ():
            if splits.setdefault(known[name], role) != role:
                raise UsageError(f"{name!r} is with a test speaker already, and cannot be in dev: leave one out")
    for role, names, share in (("test", choice.test_speakers, choice.test), ("dev", choice.dev_speakers, choice.dev)):
        if names is None and share:
            left = [unit for unit in drawn if unit not in splits]
            splits |= dict.fromkeys(left[: max(1, round(share * len(everyone)))], role)
    splits = {unit: splits.get(unit, "train") for unit in everyone}
    if "train" not in splits.values():
        raise UsageError(
            f"{len(everyone)} speakers or groups of them are too few for train, dev and test: give --dev 0, --test 0,"
            " or --split NAME for all rows"
        )
    return splits


def set_splits(rows: list[dict[str, Any]], choice: SplitChoice, are_told: bool) -> list[Finding]:
    """Give every row its split and the first part of its ids; tell what was chosen, and speakers in several splits.

    rows:     dicts with a manifest's columns; ids lack their first part, and a dialogue_id that is None becomes the
              row's own
    are_told: whether the rows have a split already; else it is no part of the ids, so that another choice keeps them
    """
    findings = _rename(rows) if are_told else []
    for row in rows:
        prefix = f"{row['dataset']}/{row['split']}" if are_told else row["dataset"]
        row["utterance_id"] = f"{prefix}/{row['utterance_id']}"
        if row["dialogue_id"] is None:
            row |= {"dialogue_id": row["utterance_id"], "turn": 0}
        else:
            within = f"{row['group']}/" if row["group"] not in (None, row["speaker"]) else ""
            row["dialogue_id"] = f"{prefix}/{within}{row['dialogue_id']}"
    if choice.all_in is not None and replace(choice, all_in=None, seed=0) != SplitChoice():
        raise UsageError(
            f"--split {choice.all_in} puts all rows in one split: choose no speakers and no shares with it"
        )
    if not are_told and choice.all_in is None:
        units = units_of([_keys(row) for row in rows])
        chosen = choose_splits(units, [row["speaker"] for row in rows], choice)
        for row, unit in zip(rows, units, strict=True):
            row["split"] = chosen[unit]
        roles = [f"{role}: {_listed([u for u, split in chosen.items() if split == role])}" for role in ("test", "dev")]
        what = "Files, groups or dialogues" if any(row["speaker"] == UNKNOWN_SPEAKER for row in rows) else "Speakers"
        how = f"{what}, named or drawn with seed {choice.seed}, since names tell no split; the others are train."
        findings.append(finding("chosen-splits", roles, how))
    elif not are_told:
        for row in rows:
            row["split"] = choice.all_in
    places: dict[str, set[str]] = {}
    for row in rows:
        if row["speaker"] != UNKNOWN_SPEAKER:
            places.setdefault(row["speaker"], set()).add(row["split"])
    several = [f"{name}: {', '.join(sorted(splits))}" for name, splits in places.items() if len(splits) > 1]
    findings.append(finding("speakers-in-several-splits", several, "Tested on voices that were trained on."))
    return findings


def _rename(rows: list[dict[str, Any]]) -> list[Finding]:
    """Give splits the names that the commands know."""
    splits, findings = name_splits([row["split"] for row in rows], [row["media"] for row in rows], {})
    for row, split in zip(rows, splits, strict=True):
        row["split"] = split
    return findings


def _keys(row: dict[str, Any]) -> dict[str, str]:
    """What a row must not be parted from: its speaker, group and dialogue, those that are known."""
    keys = {"speaker": row["speaker"], "group": row["group"], "dialogue": row["dialogue_id"]}
    if row["speaker"] == UNKNOWN_SPEAKER:
        del keys["speaker"]
    return {kind: value for kind, value in keys.items() if value is not None}


def _listed(names: Sequence[str]) -> str:
    more = f", ... ({len(names)} in all)" if len(names) > _LISTED else ""
    return ", ".join(names[:_LISTED]) + more if names else "none"
