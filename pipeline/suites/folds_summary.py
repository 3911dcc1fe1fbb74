"""summary.json of a cross-validation: what its folds held out, and an entry for each experiment with its scores."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from features.errors import RunError
from heads.data.utterances import HELD_OUT, UNLABELLED
from heads.training.folds import Folding, inner_unit
from pipeline.runs.folder import Run
from pipeline.runs.json_files import write_json
from pipeline.runs.set_aside import next_earlier
from pipeline.runs.splits import SELECTION_SPLIT
from pipeline.runs.tried import count_tried
from pipeline.suites.plan import Source
from pipeline.suites.shard import Head

_NAME = "summary.json"


def write_summary(
    folder: Path, folding: Folding, source: Source, sources: Sequence[Source], entries: Sequence[dict[str, Any]]
) -> dict[str, Any]:
    """summary.json of these entries and those of earlier commands: each configuration once, the newest value."""
    path = folder / _NAME
    ours = {entry["configuration"] for entry in entries}
    kept = [entry for entry, _ in _earlier(path) if entry["configuration"] not in ours]
    everything = [*kept, *entries]
    document: dict[str, Any] = {
        "folds": len(sources),
        "group": folding.by,
        "splitter": "LeaveOneGroupOut" if folding.count is None else "StratifiedGroupKFold",
        "held_out": [_held_out(item, folding) for item in sources],
        **_experiments(everything),
    }
    if folding.nested:
        card = source.manifest.card
        corpus = {"dataset": card.dataset, "title": card.title, "synthetic": card.synthetic}
        splits = list(dict.fromkeys(source.utterances.splits.tolist()))
        document = {"nested": True, **corpus, "splits": splits, "rows": source.utterances.digest(), **document}
    folder.mkdir(parents=True, exist_ok=True)
    write_json(path, document)
    return document


def withdraw(folder: Path, configurations: Collection[str]) -> list[str]:
    """Move the entries of these configurations that are of heads which are no longer there, such as those that were set
    aside, to earlier-N/summary.json: until all folds are trained again, there is no result.

    What a user should know of it, a line.
    """
    path = folder / _NAME
    entries = _earlier(path)
    gone = [entry for entry, heads in entries if entry["configuration"] in configurations and not _are_there(heads)]
    if not gone:
        return []
    document = json.loads(path.read_text(encoding="utf-8"))
    target = next_earlier(folder)
    write_json(target / _NAME, document | _experiments(gone))
    write_json(path, document | _experiments([entry for entry, _ in entries if entry not in gone]))
    names = ", ".join(str(entry["experiment"]) for entry in gone)
    return [f"{names}: the result over folds was of heads that are no longer there: moved to {target / _NAME}"]


def _are_there(heads: Collection[Head]) -> bool:
    return all(Run(path).is_finished(seed) for path, seed in heads)


def _experiments(entries: Sequence[dict[str, Any]]) -> dict[str, Any]:
    tried = count_tried((entry["configuration"], True) for entry in entries).scored
    return {"configurations_tried": tried, "experiments": list(entries)}


def _earlier(path: Path) -> list[tuple[dict[str, Any], list[Head]]]:
    """The entries of a summary.json, each with the heads that it averages."""
    if not path.is_file():
        return []
    try:
        entries = [one for one in json.loads(path.read_text(encoding="utf-8"))["experiments"] if one["configuration"]]
        return [
            (one, [(path.parent / fold["run"], int(seed)) for fold in one["folds"] for seed in fold["weighted_f1"]])
            for one in entries
        ]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RunError(f"{path}: cannot be read ({error}): remove it, and the same commands write it again") from error


def _held_out(source: Source, folding: Folding) -> dict[str, Any]:
    """What a fold is scored on; of a nested one also which rows chose its epochs."""
    split = HELD_OUT if folding.nested else SELECTION_SPLIT
    found = {"fold": source.fold.number if source.fold else 0} | _part(source, split, folding.by)
    if not folding.nested:
        return found
    utterances = source.utterances
    left = utterances.take(np.flatnonzero(utterances.splits != HELD_OUT))
    by = inner_unit(left, folding)
    return found | {"dev": {"by": by} | _part(source, SELECTION_SPLIT, by)}


def _part(source: Source, split: str, by: str) -> dict[str, Any]:
    """How many units and rows a split has, and, where the units are groups, which."""
    utterances = source.utterances
    rows = utterances.rows(split)
    numbers = utterances.dialogues if by == "dialogue" else np.array(utterances.groups, dtype=object)
    names = list(dict.fromkeys(numbers[rows].tolist()))
    counts = {
        f"{by}s": len(names),
        "utterances": len(rows),
        "labelled": int((utterances.labels[rows] != UNLABELLED).sum()),
    }
    return counts | ({"names": names} if by == "group" else {})
