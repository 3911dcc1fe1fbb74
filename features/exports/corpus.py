"""What tools want of a corpus: their own names of splits, a score of sentiment, labels in their own order."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import numpy as np
import polars as pl

from features.errors import UsageError
from features.manifest import Manifest

SENTIMENTS = ("negative", "neutral", "positive")  # their scores are -1, 0 and 1
_SCORED = ("mosei", "ch-sims")  # whose notes hold the annotated score: `erc ingest mosei`, `ch-sims`
_SCORE = re.compile(r"(?:^|; )score (-?\d+(?:\.\d+)?(?:e-?\d+)?)(?:;|$)")


def tool_splits(manifest: Manifest, names: Mapping[str, str], tool: str) -> list[str]:
    """The tool's split of each row. names: ours -> the tool's, all of which it needs.

    Raises UsageError for a split that the tool does not have, and where it would have none of one that it needs.
    """
    splits = manifest.frame["split"].to_list()
    known = dict.fromkeys(splits)
    if unknown := [name for name in known if name not in names]:
        raise UsageError(f"{tool} has no place for the split {unknown[0]!r}: name splits {', '.join(names)}")
    if lacking := [name for name in names if name not in known]:
        held = ", ".join(known)
        raise UsageError(f"{tool} needs {', '.join(names)}, and the manifest has {held} alone: it lacks {lacking[0]}")
    return [names[split] for split in splits]


def scores(manifest: Manifest) -> np.ndarray:
    """float64 [n], NaN where there is none: the annotated score of CMU-MOSEI and CH-SIMS, else that of `sentiment`."""
    found = np.full(len(manifest), np.nan)
    columns = manifest.frame.select("dataset", "sentiment", "note").iter_rows()
    for row, (dataset, sentiment, note) in enumerate(columns):
        if dataset in _SCORED and note and (match := _SCORE.search(note)):
            found[row] = float(match[1])
        elif sentiment in SENTIMENTS:
            found[row] = SENTIMENTS.index(sentiment) - 1
    return found


def label_order(manifest: Manifest, order: Sequence[str] | None = None) -> tuple[str, ...]:
    """`order` where it has every label of the corpus, else the card's, or those that rows have, sorted."""
    labels = manifest.card.labels or tuple(sorted(manifest.frame["label"].drop_nulls().unique().to_list()))
    return tuple(order) if order is not None and set(labels) <= set(order) else labels


def labels_as_numbers(manifest: Manifest, order: Sequence[str]) -> list[int | None]:
    """Each row's label as its place in `order`; None where it has none."""
    numbers = {label: number for number, label in enumerate(order)}
    return [None if label is None else numbers[label] for label in manifest.frame["label"]]


def texts_of(frame: pl.DataFrame, column: str) -> list[str]:
    """A column of texts, '' where there is none."""
    return frame[column].fill_null("").to_list()
