"""Utterances that one arm gets right and the other wrong. An arm predicts by the mean of its seeds' probabilities, as
`seed_average` of metrics-SPLIT.json does: a vote of seeds would make ties."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from features.errors import RunError
from pipeline.comparison.counts import Frames
from pipeline.runs.predictions import mean_probabilities

ONLY_A, ONLY_B = "only A is right", "only B is right"


@dataclass(frozen=True)
class McNemar:
    """McNemar's exact test (1947): two-sided binomial over the flipped utterances.

    It takes utterances as independent, which those of one dialogue are not, and the mean predictions as given.
    """

    only_a: int
    only_b: int
    p_value: float


def average_predictions(a: Frames, b: Frames, labels: Sequence[str]) -> pl.DataFrame:
    """One line a labelled utterance, sorted by id: utterance_id, dialogue_id, gold, predicted_a, predicted_b, p_gold_a,
    p_gold_b (mean over seeds), change (A's minus B's chance of gold), flip (ONLY_A, ONLY_B or null).

    The arms must be of the same utterances, as `compare` checks. Raises RunError for a frame without probabilities.
    """
    first, second = (_average(frames, labels, arm) for arm, frames in (("a", a), ("b", b)))
    right_a, right_b = pl.col("predicted_a") == pl.col("gold"), pl.col("predicted_b") == pl.col("gold")
    flip = pl.when(right_a & ~right_b).then(pl.lit(ONLY_A)).when(right_b & ~right_a).then(pl.lit(ONLY_B))
    return (
        first.join(second.drop("dialogue_id", "gold"), on="utterance_id", validate="1:1", maintain_order="left")
        .with_columns(change=pl.col("p_gold_a") - pl.col("p_gold_b"), flip=flip)
        .select(
            *("utterance_id", "dialogue_id", "gold", "predicted_a", "predicted_b"),
            *("p_gold_a", "p_gold_b", "change", "flip"),
        )
    )


def flipped(averages: pl.DataFrame) -> pl.DataFrame:
    """The utterances that flipped, those whose chance of gold changes most first, then by id."""
    return averages.filter(pl.col("flip").is_not_null()).sort(
        pl.col("change").abs(), "utterance_id", descending=[True, False]
    )


def mcnemar(averages: pl.DataFrame) -> McNemar:
    """McNemar's test on what `average_predictions` gives."""
    from scipy.stats import binomtest

    only_a, only_b = (int((averages["flip"] == flip).sum()) for flip in (ONLY_A, ONLY_B))
    p_value = binomtest(only_a, only_a + only_b).pvalue if only_a + only_b else 1.0
    return McNemar(only_a, only_b, float(p_value))


def _average(frames: Frames, labels: Sequence[str], arm: str) -> pl.DataFrame:
    columns = [f"p_{label}" for label in labels]
    tables = []
    for seed in sorted(frames):
        lacking = [name for name in columns if name not in frames[seed].columns]
        if lacking:
            raise RunError(
                f"predictions of seed {seed} have no column {lacking[0]}: make them again with"
                " `erc evaluate RUN --split SPLIT`"
            )
        tables.append(frames[seed].filter(pl.col("gold").is_not_null()).sort("utterance_id"))
    mean = mean_probabilities(tables, labels)
    first = tables[0].select("utterance_id", "dialogue_id", "gold")
    place = {label: index for index, label in enumerate(labels)}
    gold = first["gold"].replace_strict(place, return_dtype=pl.Int64).to_numpy()
    return first.with_columns(
        pl.Series(f"predicted_{arm}", [labels[index] for index in mean.argmax(axis=1)], pl.String),
        pl.Series(f"p_gold_{arm}", mean[np.arange(len(mean)), gold]),
    )
