"""The columns of a leaderboard beside the score that the corpus is judged by, and which run is best in each."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from features.cards import HEADLINES
from pipeline.pages.words import capital
from pipeline.runs.metrics_file import BaselineScores, Metrics, Score, Spread, scores_shown


@dataclass(frozen=True)
class Column:
    """One column of dev scores: how to get it from the metrics of a run, and of a baseline.

    fraction: shown as percent, the higher the better; else as it stands, the lower the better
    """

    key: str
    title: str
    of: Callable[[Metrics], Score | Spread | None]
    of_baseline: Callable[[BaselineScores], float | None] = lambda scores: None
    lower_is_better: bool = False
    percent: bool = True


def columns_of(headline: str, labels: Sequence[str], scored: Sequence[Metrics]) -> list[Column]:
    """Weighted F1, macro F1 and accuracy, but for the headline; the F1 of each label; and how good the probabilities
    are where any of `scored` says so."""
    columns = [*whole_columns(headline), *(_class_column(label) for label in labels)]
    return columns + [column for column in _PROBABILITY_COLUMNS if any(column.of(scores) for scores in scored)]


def best_of(columns: Sequence[Column], scored: Mapping[str, Metrics]) -> dict[str, set[str]]:
    """Column key -> those of `scored` with its best mean. Empty where there are fewer than two."""
    if len(scored) < 2:
        return {}
    marks = {}
    for column in columns:
        means = {name: value.mean for name, scores in scored.items() if (value := column.of(scores))}
        if column.lower_is_better:
            marks[column.key] = {name for name, mean in means.items() if mean == min(means.values())}
        else:
            highest = max(means.values())
            marks[column.key] = {name for name, mean in means.items() if mean == highest and highest > 0}
    return marks


def whole_columns(headline: str) -> list[Column]:
    """Those of all labels together."""
    return [_whole_column(name) for name in scores_shown(headline)[1:]]


def _whole_column(name: str) -> Column:
    return Column(name, capital(HEADLINES[name]), lambda scores: scores.score(name), lambda scores: scores.score(name))


def _class_column(label: str) -> Column:
    return Column(
        f"f1_{label}",
        label,
        lambda scores: scores.per_class_f1[label],
        lambda scores: scores.per_class_f1.get(label),
    )


_PROBABILITY_COLUMNS = (
    Column(
        "negative_log_likelihood",
        "NLL",
        lambda scores: scores.negative_log_likelihood,
        lower_is_better=True,
        percent=False,
    ),
    Column("calibration_error", "ECE", lambda scores: scores.calibration_error, lower_is_better=True),
)
