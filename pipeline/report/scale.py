"""Where a run stands on one scale with the others: what a row of the leaderboard shows beside its score."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import quantiles

from pipeline.report.corpus import Corpus, baseline_of
from pipeline.report.snapshot import RunSnapshot
from pipeline.runs.metrics_file import Score

_ROOM = 0.5  # of the runs' range: a baseline farther below than that is left off the scale
_FEWEST = 4  # runs of which one may lie far from the others


@dataclass(frozen=True)
class Standing:
    """Places on the scale in percent of its width. low, high: one deviation to each side of the mean; rule: the
    constant baseline, None where it lies below the scale, as a run does that is `off` it."""

    mean: float
    low: float
    high: float
    rule: float | None
    off: bool = False


def standing(corpus: Corpus, run: RunSnapshot) -> Standing | None:
    """Mean and deviation on dev beside the constant baseline; None for a run without dev scores."""
    if run.dev is None:
        return None
    rule, (bottom, top) = rule_of(corpus), scale_of(corpus)

    def place(value: float) -> float:
        return round(100 * (min(max(value, bottom), top) - bottom) / (top - bottom), 1)

    mean, (low, high) = run.dev.headline_score.mean, _reach(run.dev.headline_score)
    shown = place(rule[1]) if rule and rule[1] >= bottom else None
    return Standing(place(mean), place(low), place(high), shown, mean < bottom)


def scale_of(corpus: Corpus) -> tuple[float, float]:
    """The ends of the scale, fractions. It is of the runs that are near each other: one far below them (by Tukey's
    fence) or a baseline far below would press all the others onto one place. Those lie off it, and are said to."""
    scores = sorted((run.dev.headline_score for run in corpus.runs if run.dev), key=lambda score: score.mean)
    means = [score.mean for score in scores]
    fence = _lower_fence(means)
    values = [value for score in scores if score.mean >= fence for value in _reach(score)]
    bottom, top = min(values), max(values)
    rule = rule_of(corpus)
    if rule and rule[1] >= bottom - (top - bottom) * _ROOM:
        bottom, top = min(bottom, rule[1]), max(top, rule[1])
    return _nice_range(bottom, top)


def scale_text(corpus: Corpus) -> str:
    """What the scale shows, for below the leaderboard."""
    bottom, top = scale_of(corpus)
    rule = rule_of(corpus)
    text = f"Scale: mean ± one deviation on dev, from {100 * bottom:.0f} to {100 * top:.0f} percent"
    if rule:
        text += f", dashed line at {rule[0]}" if rule[1] >= bottom else f"; {rule[0]} lies below it"
    return text + (
        "; ◂: below it." if any(run.dev.headline_score.mean < bottom for run in corpus.runs if run.dev) else "."
    )


def rule_of(corpus: Corpus) -> tuple[str, float] | None:
    """(name, score on dev) of the baseline that margins are stated over."""
    name = baseline_of(corpus.dev) if corpus.dev else None
    value = corpus.dev.baselines[name].score(corpus.criterion.name) if corpus.dev and name else None
    return (name, value) if name and value is not None else None


def _lower_fence(means: Sequence[float]) -> float:
    """One and a half quartile ranges below the lower quartile; the least of fewer than four. means: ascending"""
    if len(means) < _FEWEST:
        return means[0]
    lower, _, upper = quantiles(means, n=4, method="inclusive")
    return lower - 1.5 * (upper - lower)


def _reach(value: Score) -> tuple[float, float]:
    return value.mean - (value.std or 0), value.mean + (value.std or 0)


def _nice_range(low: float, high: float) -> tuple[float, float]:
    """The range widened to whole percents inside [0, 1], never empty."""
    bottom, top = max(0.0, int(low * 100) / 100), min(1.0, (int(high * 100) + 1) / 100)
    return (bottom, top) if top > bottom else (bottom - 0.01, top)
