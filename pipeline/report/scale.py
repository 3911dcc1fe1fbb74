"""Where a run stands on one scale with the others: what a row of the leaderboard shows beside its score."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.report.corpus import Corpus, baseline_of
from pipeline.report.snapshot import RunSnapshot
from pipeline.runs.metrics_file import Score


@dataclass(frozen=True)
class Standing:
    """Places on the scale in percent of its width. low, high: one deviation to each side of the mean."""

    mean: float
    low: float
    high: float
    rule: float | None


def standing(corpus: Corpus, run: RunSnapshot) -> Standing | None:
    """Mean and deviation on dev beside the constant baseline; None for a run without dev scores."""
    if run.dev is None:
        return None
    rule = rule_of(corpus)
    scores = [other.dev.headline_score for other in corpus.runs if other.dev]
    values = [value for score in scores for value in _reach(score)] + ([rule[1]] if rule else [])
    bottom, top = _nice_range(min(values), max(values))

    def place(value: float) -> float:
        return round(100 * (min(max(value, bottom), top) - bottom) / (top - bottom), 1)

    low, high = _reach(run.dev.headline_score)
    return Standing(place(run.dev.headline_score.mean), place(low), place(high), place(rule[1]) if rule else None)


def rule_of(corpus: Corpus) -> tuple[str, float] | None:
    """(name, score on dev) of the baseline that margins are stated over."""
    name = baseline_of(corpus.dev) if corpus.dev else None
    value = corpus.dev.baselines[name].score(corpus.criterion.name) if corpus.dev and name else None
    return (name, value) if name and value is not None else None


def _reach(value: Score) -> tuple[float, float]:
    return value.mean - (value.std or 0), value.mean + (value.std or 0)


def _nice_range(low: float, high: float) -> tuple[float, float]:
    """The range widened to multiples of 0.05 inside [0, 1], never empty."""
    bottom, top = max(0.0, int(low * 20) / 20), min(1.0, (int(high * 20) + 1) / 20)
    return (bottom, top) if top > bottom else (bottom - 0.05, top)
