"""Which utterances a plot shows: as many of each class, drawn with a seed.

Legend: n utterances, c classes.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from heads.data.utterances import UNLABELLED


def balanced_sample(labels: np.ndarray, present: np.ndarray, per_class: int, seed: int, num_classes: int) -> np.ndarray:
    """int64, ascending places of the chosen utterances: up to `per_class` of each class that have an embedding.

    Each class is shuffled once, whatever is present, and its first ones that are there are taken. So features that have
    every row show the same utterances, and one that lacks a few shows others in their stead and no more.

    labels: int64 [n], UNLABELLED (-1) where there is none; present: bool [n]
    """
    random = np.random.default_rng(seed)
    chosen = []
    for place in range(num_classes):
        rows = random.permutation(np.flatnonzero(labels == place))
        chosen.append(rows[present[rows]][:per_class])
    return np.sort(np.concatenate(chosen)) if chosen else np.zeros(0, np.int64)


def fewer_than(labels: np.ndarray, sample: np.ndarray, per_class: int, names: Sequence[str]) -> dict[str, int]:
    """class -> utterances in the sample, for the classes that have fewer than `per_class`."""
    counts = np.bincount(labels[sample], minlength=len(names))
    return {name: int(count) for name, count in zip(names, counts, strict=True) if count < per_class}


def train_subset(labels: np.ndarray, train: np.ndarray, most: int, seed: int) -> np.ndarray:
    """int64, ascending: at most `most` of the labelled train utterances, drawn at random; all where they are no more.

    labels: int64 [n]; train: bool [n], True where an utterance is of train and has an embedding
    """
    rows = np.flatnonzero(train & (labels != UNLABELLED))
    if len(rows) <= most:
        return rows
    return np.sort(np.random.default_rng(seed).choice(rows, most, replace=False))
