"""Cross-validation: which dialogues, or groups of them, are held out together.

Folds come from scikit-learn's StratifiedGroupKFold, unshuffled, so that they are the same every time. Stratified, since
a fold's weighted F1 depends on its mix of classes: over five folds of MELD's train dialogues, the largest deviation of
any class's count from fold to fold is 0.9% of its mean, and 15% with plain GroupKFold. Leaving one group out at a time
draws nothing: each group is a fold.

Where folds only compare configurations, what a fold holds out is `dev`. Where their scores are a result, they are
nested: what a fold holds out is `held-out`, and `dev`, which chooses the epoch, is a part of the other rows.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from features.errors import ManifestError, UsageError
from heads.data.utterances import HELD_OUT, UNLABELLED, Utterances

Grouping = Literal["dialogue", "group"]
GROUPINGS: tuple[Grouping, ...] = ("dialogue", "group")


INNER_FOLDS = 5  # of the rows that an outer fold leaves, one is dev: a fifth


@dataclass(frozen=True)
class Folding:
    """count: folds, None for one of each group; by: what is never split between them, a dialogue or the manifest's
    `group`; nested: whether the epoch is chosen on other rows than those that are scored; all_splits: whether the
    manifest's splits count for nothing, else its train rows alone are folded."""

    count: int | None
    by: Grouping = "dialogue"
    nested: bool = False
    all_splits: bool = False

    @property
    def name(self) -> str:
        """Of the folder."""
        folds = "leave-one-group-out" if self.count is None else f"{self.count}-{self.by}"
        return f"{'nested' if self.nested else 'cv'}-{folds}{'-all-splits' if self.all_splits else ''}"

    @property
    def option(self) -> str:
        """As the command line has it."""
        return f"--cv {'groups' if self.count is None else self.count}"

    @property
    def words(self) -> str:
        """`5 folds`."""
        return "leave-one-group-out folds" if self.count is None else f"{self.count} folds"


def fold_utterances(utterances: Utterances, folding: Folding, where: str) -> list[Utterances]:
    """The same rows once for each fold: the fold's own are `dev`, all others `train`; or, where the folding is nested,
    `held-out`, `dev` (`inner_dev`) and `train`.

    utterances: of the rows that are folded, whatever their split; where: the manifest, for errors
    Raises ManifestError where a row has no group or a dialogue several, and UsageError where there are fewer groups
    than folds, or where a fold or its dev would have no labelled row.
    """
    folds = fold_numbers(utterances, folding, where)
    found = []
    for number in range(int(folds.max()) + 1):
        held_out = folds == number
        splits = np.where(held_out, HELD_OUT if folding.nested else "dev", "train").astype(object)
        if folding.nested:
            splits[inner_dev(utterances, held_out, folding, where, number)] = "dev"
        found.append(replace(utterances, splits=splits))
    return found


def fold_numbers(utterances: Utterances, folding: Folding, where: str) -> np.ndarray:
    """int64 [n]: the fold, from 0 on, that holds each row out. Raises as `fold_utterances`."""
    units = utterances.dialogues if folding.by == "dialogue" else _groups(utterances, where)
    labelled = utterances.labels != UNLABELLED
    known = len(np.unique(units[labelled]))
    if known < (folding.count or 2):
        mend = f"give at most --cv {known}" if known > 1 else "cross-validation needs two"
        raise UsageError(f"{folding.option}: {where} has {known} train {folding.by}(s) with a label: {mend}")
    if folding.count is None:
        folds = units
    else:
        try:
            folds = _stratified(utterances.labels, units, folding.count)
        except ValueError as error:  # no class has as many rows as there are folds
            raise UsageError(f"{folding.option}: {where} has too few train rows ({error}): give fewer folds") from error
    for number in range(int(folds.max()) + 1):
        if not labelled[folds == number].any():
            if folding.count is None:
                name = utterances.groups[int(np.flatnonzero(folds == number)[0])]
                raise UsageError(
                    f"{folding.option}: group {name!r} has no labelled row to score: leave it out of the manifest"
                )
            raise UsageError(f"{folding.option}: fold {number + 1} would hold no labelled row: give fewer folds")
    return folds


def inner_dev(utterances: Utterances, held_out: np.ndarray, folding: Folding, where: str, number: int) -> np.ndarray:
    """int64: the rows that choose the epoch of one fold, about a fifth of those it does not hold out, seeded by the
    fold's number. What is held out is not looked at, neither its labels nor anything else.

    Whole groups where the folds are of groups and at least two of them are left, else whole dialogues.
    held_out: bool [n]. Raises UsageError where the rows left cannot be divided.
    """
    rows = np.flatnonzero(~held_out)
    left = utterances.take(rows)
    units = left.dialogues if inner_unit(left, folding) == "dialogue" else _groups(left, where)
    labelled = left.labels != UNLABELLED
    count = min(INNER_FOLDS, len(np.unique(units[labelled])))
    if count < 2:
        raise UsageError(
            f"{folding.option}: {where} has one dialogue with a label beside fold {number + 1}, and choosing the"
            " epoch takes another: give more dialogues, or other folds"
        )
    try:
        folds = _stratified(left.labels, units, count, seed=number)
    except ValueError as error:
        raise UsageError(f"{folding.option}: fold {number + 1} leaves too few rows to divide ({error})") from error
    # Drawn, since the splitter puts the units that are least alike in classes into its first folds.
    for fold in np.random.default_rng(number).permutation(count):
        dev = folds == fold
        if labelled[dev].any() and labelled[~dev].any():
            chosen: np.ndarray = rows[dev]
            return chosen
    raise UsageError(f"{folding.option}: fold {number + 1} leaves too few labelled rows to choose an epoch by")


def inner_unit(left: Utterances, folding: Folding) -> Grouping:
    """What is never split between the train and dev of a nested fold. left: the rows that it does not hold out."""
    groups = {group for group, label in zip(left.groups, left.labels, strict=True) if label != UNLABELLED}
    return "group" if folding.by == "group" and len(groups) > 1 else "dialogue"


def _stratified(labels: np.ndarray, units: np.ndarray, count: int, seed: int | None = None) -> np.ndarray:
    """int64 [n]: the fold of each row, by StratifiedGroupKFold, shuffled where there is a seed. Raises ValueError."""
    from sklearn.model_selection import StratifiedGroupKFold

    folds = np.zeros(len(labels), np.int64)
    splitter = StratifiedGroupKFold(count, shuffle=seed is not None, random_state=seed)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The least populated class", UserWarning)
        for number, (_, held_out) in enumerate(splitter.split(labels, labels, units)):
            folds[held_out] = number
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
