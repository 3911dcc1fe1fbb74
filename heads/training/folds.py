"""Cross-validation within the train split: which dialogues, or groups of them, are held out together.

Folds come from scikit-learn's StratifiedGroupKFold, unshuffled, so that they are the same every time. Stratified, since
a fold's weighted F1 depends on its mix of classes: over five folds of MELD's train dialogues, the largest deviation of
any class's count from fold to fold is 0.9% of its mean, and 15% with plain GroupKFold.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from features.errors import ManifestError, UsageError
from heads.data.utterances import UNLABELLED, Utterances

Grouping = Literal["dialogue", "group"]
GROUPINGS: tuple[Grouping, ...] = ("dialogue", "group")


@dataclass(frozen=True)
class Folding:
    """count: folds; by: what is never split between them, a dialogue or the manifest's `group`."""

    count: int
    by: Grouping = "dialogue"

    @property
    def name(self) -> str:
        return f"cv-{self.count}-{self.by}"


def fold_utterances(utterances: Utterances, folding: Folding, where: str) -> list[Utterances]:
    """The same rows once for each fold: the fold's own are `dev`, all others `train`.

    utterances: of the train split alone; where: the manifest, for errors
    Raises ManifestError where a row has no group or a dialogue several, and UsageError where there are fewer groups
    than folds, or where a fold would have no labelled row.
    """
    folds = fold_numbers(utterances, folding, where)
    return [
        replace(utterances, splits=np.where(folds == number, "dev", "train").astype(object))
        for number in range(folding.count)
    ]


def fold_numbers(utterances: Utterances, folding: Folding, where: str) -> np.ndarray:
    """int64 [n]: the fold, from 0 on, that holds each row out. Raises as `fold_utterances`."""
    from sklearn.model_selection import StratifiedGroupKFold

    groups = utterances.dialogues if folding.by == "dialogue" else _groups(utterances, where)
    labelled = utterances.labels != UNLABELLED
    known = len(np.unique(groups[labelled]))
    if known < folding.count:
        mend = f"give at most --cv {known}" if known > 1 else "cross-validation needs two"
        raise UsageError(f"--cv {folding.count}: {where} has {known} train {folding.by}(s) with a label: {mend}")
    folds = np.zeros(len(utterances), np.int64)
    splitter = StratifiedGroupKFold(folding.count)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "The least populated class", UserWarning)
            for number, (_, held_out) in enumerate(splitter.split(utterances.labels, utterances.labels, groups)):
                folds[held_out] = number
    except ValueError as error:  # no class has as many rows as there are folds
        raise UsageError(f"--cv {folding.count}: {where} has too few train rows ({error}): give fewer folds") from error
    for number in range(folding.count):
        if not labelled[folds == number].any():
            raise UsageError(f"--cv {folding.count}: fold {number + 1} would hold no labelled row: give fewer folds")
    return folds


def _groups(utterances: Utterances, where: str) -> np.ndarray:
    """int64 [n]: the manifest's groups as numbers, by first appearance."""
    without = [row for row, name in enumerate(utterances.groups) if name is None]
    if without:
        raise ManifestError(
            f"{where}: {len(without)} of {len(utterances)} train utterances have no `group` (the first is"
            f" {utterances.ids[without[0]]}): fill in that column, or give --group dialogue"
        )
    places = {name: place for place, name in enumerate(dict.fromkeys(utterances.groups))}
    groups = np.array([places[name] for name in utterances.groups], dtype=np.int64)
    _check_dialogues_are_whole(utterances, groups, where)
    return groups


def _check_dialogues_are_whole(utterances: Utterances, groups: np.ndarray, where: str) -> None:
    inside = utterances.dialogues[1:] == utterances.dialogues[:-1]
    broken = np.flatnonzero(inside & (np.diff(groups) != 0))
    if len(broken):
        raise ManifestError(
            f"{where}: the dialogue of {utterances.ids[broken[0] + 1]} has more than one `group`: give all its"
            " utterances the same, or give --group dialogue"
        )
