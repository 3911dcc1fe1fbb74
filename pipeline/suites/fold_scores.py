"""The scores of a cross-validation: each over the folds, and of all folds' predictions together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import polars as pl

from heads.data.utterances import HELD_OUT
from heads.metrics import SCORES, over_seeds
from pipeline.runs.folder import Run
from pipeline.runs.metrics_file import Metrics, Score, Spread
from pipeline.runs.predictions import split_metrics

POOLED = "all folds"
"""What the pooled predictions are of, where a metrics file has its split."""


def common_seeds(folds: Sequence[Metrics]) -> list[int]:
    """The seeds that every fold has, in the first's order."""
    return [seed for seed in folds[0].seeds if all(seed in metrics.seeds for metrics in folds)]


def means_of(metrics: Metrics, folds: Sequence[Metrics]) -> dict[str, Any]:
    """Every score of one fold, mean over the seeds that all `folds` have; None for one that could not be computed.

    Those of `heads.metrics.SCORES`, negative_log_likelihood and calibration_error; per_class_f1 by label.
    """
    seeds = common_seeds(folds)

    def mean(score: Score | Spread | None) -> float | None:
        if score is None:
            return None
        values = dict(zip(metrics.seeds, score.values, strict=True))
        return sum(values[seed] for seed in seeds) / len(seeds)

    found: dict[str, Any] = {name: mean(metrics.score(name)) for name in SCORES}
    found |= {name: mean(getattr(metrics, name)) for name in ("negative_log_likelihood", "calibration_error")}
    return found | {"per_class_f1": {label: mean(score) for label, score in metrics.per_class_f1.items()}}


def scores_over_folds(folds: Sequence[Metrics]) -> dict[str, Any]:
    """Every score of `means_of` as mean, deviation and value of each fold; None for one that some fold lacks."""
    means = [means_of(metrics, folds) for metrics in folds]
    classes = [fold.pop("per_class_f1") for fold in means]

    def over(values: Sequence[float | None]) -> dict[str, Any] | None:
        known = [value for value in values if value is not None]
        return over_seeds(known) if len(known) == len(values) else None

    found: dict[str, Any] = {name: over([fold[name] for fold in means]) for name in means[0]}
    return found | {"per_class_f1": {label: over([fold[label] for fold in classes]) for label in classes[0]}}


def pooled_metrics(runs: Sequence[Run], folds: Sequence[Metrics]) -> Metrics:
    """Of the held-out predictions of all folds together, seed by seed, as if they were one split's.

    runs: one experiment's, of each fold; folds: their metrics. The class prior of its baseline is that of all rows.
    """
    seeds = common_seeds(folds)
    frames = {seed: pl.concat([run.predictions(seed, HELD_OUT) for run in runs]).sort("utterance_id") for seed in seeds}
    counts = {label: sum(metrics.support[label] for metrics in folds) for label in folds[0].labels}
    facts = runs[0].features.manifest.model_copy(update={"train_label_counts": counts})
    return split_metrics(runs[0].experiment.name, POOLED, frames, facts, {})
