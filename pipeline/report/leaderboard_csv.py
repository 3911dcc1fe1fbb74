"""leaderboard.csv: every score of every run as a table for other programs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import polars as pl

from features.cards import WEIGHTED_F1
from pipeline.comparison.compare import HEADLINE
from pipeline.report.configuration import loss_name, modalities_of, part_name
from pipeline.report.corpus import Corpus
from pipeline.report.snapshot import RunSnapshot
from pipeline.runs.metrics_file import Metrics, Score, Spread, scores_shown
from pipeline.runs.splits import ordered_splits


def leaderboard_csv(corpora: Sequence[Corpus]) -> str:
    """One row an experiment and split, fractions throughout; every label and baseline has columns of its own.

    An experiment without scores has one row with a null split.
    """
    rows = [row for corpus in corpora for run in corpus.runs for row in _csv_rows(corpus, run)]
    names = list(dict.fromkeys(name for row in rows for name in row))
    return pl.DataFrame([{name: row.get(name) for name in names} for row in rows], infer_schema_length=None).write_csv()


def _csv_rows(corpus: Corpus, run: RunSnapshot) -> list[dict[str, Any]]:
    facts: dict[str, Any] = {
        "dataset": corpus.dataset,
        "experiment": run.experiment,
        "run": run.folder,
        "selected_by_dev": run is corpus.selected,
        "ranked": run in corpus.ranked,
        "modalities": "+".join(modalities_of(run)),
        "features": "+".join(feature.folder for feature in run.features),
        "fusion": part_name(run.config.get("fusion")),
        "context": part_name(run.config.get("context")),
        "loss": loss_name(run.config.get("loss")),
        "configurations_searched": run.searched,
        "parameters": run.parameters,
        "train_seconds_per_seed": run.seconds_per_seed,
        "seeds_unfinished": len(run.unfinished),
        "synthetic_corpus": run.manifest.synthetic,
        "random_weights": bool(run.random_weights),
        "foreign_features": "+".join(run.foreign) or None,
        "reported_percent": run.reported,
        "headline": corpus.criterion.name,
    }
    places = corpus.findings.ranks.get(run.folder)
    facts |= {"place_low": places.low, "place_high": places.high} if places else {}
    if not run.metrics:
        return [facts | {"split": None}]
    return [
        facts | _csv_scores(run.metrics[split]) | (_csv_intervals(corpus, split) if run is corpus.selected else {})
        for split in ordered_splits(run.metrics)
    ]


def _csv_intervals(corpus: Corpus, split: str) -> dict[str, float]:
    """Of the selected run."""
    scores, judged = corpus.findings.scores.get(split, {}), corpus.criterion.name
    named = {judged: scores[HEADLINE]} | {name: scores[name] for name in scores if name != HEADLINE} if scores else {}
    return {f"{name}_{end}": getattr(one, end) for name, one in named.items() for end in ("low", "high")}


def _csv_scores(metrics: Metrics) -> dict[str, Any]:
    row: dict[str, Any] = {
        "split": metrics.split,
        "utterances": metrics.utterances,
        "unlabelled": metrics.unlabelled,
        "no_input": metrics.no_input,
        "seeds": len(metrics.seeds),
        "collapsed_seeds": metrics.collapsed_seeds(),
    }
    for name in scores_shown(metrics.headline):
        whole = metrics.score(name)
        row |= {f"{name}_mean": whole.mean, f"{name}_std": whole.std} if whole else {}
    for label in metrics.labels:
        score: Score = metrics.per_class_f1[label]
        row |= {
            f"f1_mean_{label}": score.mean,
            f"f1_std_{label}": score.std,
            f"support_{label}": metrics.support[label],
        }
    for name in ("negative_log_likelihood", "calibration_error"):
        spread: Spread | None = getattr(metrics, name)
        if spread:
            row |= {f"{name}_mean": spread.mean, f"{name}_std": spread.std}
    return row | {
        f"baseline_{score}_{name}": scores.score(score)
        for score in dict.fromkeys((metrics.headline, WEIGHTED_F1))
        for name, scores in metrics.baselines.items()
    }
