"""The rows of the tables that stand the selected run beside the suite's baseline, for the page and the Markdown."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from features.cards import HEADLINES, WEIGHTED_F1
from pipeline.pages.words import capital
from pipeline.report.configuration import modalities_of
from pipeline.report.corpus import Corpus
from pipeline.report.findings import ALL, SliceIntervals
from pipeline.report.snapshot import RunSnapshot
from pipeline.runs.metrics_file import Metrics, Score, SliceScores, scores_shown
from pipeline.runs.splits import EVALUATION_SPLIT, SELECTION_SPLIT

if TYPE_CHECKING:
    from pipeline.comparison.compare import Difference, Interval

_BY_MODALITY = "input"  # slices of this group are of what a run reads, so runs of other modalities have others
GROUPS = {
    "emotion-shift": "Emotion shift",
    "turn": "Turn in the dialogue, from 0",
    "duration": "Duration",
    "speaker": "Speaker",
    "speaker-in-train": "Speaker in train",
    "text-in-train": "Text in train",
    _BY_MODALITY: "Inputs",
}
FEWEST = 10
"""Utterances of the smallest slice that has scores."""
TOO_FEW = f"fewer than {FEWEST} utterances"
SLICES = {"no-shift": "no shift", "first-turn-of-speaker": "the speaker's first turn", "10-": "10 and later"}


@dataclass(frozen=True)
class ScoreRow:
    """One score of both runs. difference: selected less baseline, with its interval where there is one."""

    name: str
    utterances: int | None
    baseline: Score
    selected: Score
    interval: Interval | None

    @property
    def difference(self) -> float:
        return self.selected.mean - self.baseline.mean


@dataclass(frozen=True)
class Against:
    """Table 3: the suite's baseline and the selected run on one split, label by label and together."""

    split: str
    baseline: RunSnapshot
    selected: RunSnapshot
    labels: tuple[ScoreRow, ...]
    together: tuple[ScoreRow, ...]


@dataclass(frozen=True)
class SliceRow:
    """One slice, or all labelled utterances. score: by which the corpus is judged, None where it cannot be computed;
    baseline: the baseline run's of the same slice, if it has one; intervals: of the score and of the difference.
    A slice that is `few` has none of them."""

    name: str
    utterances: int
    score: Score | None
    accuracy: Score | None
    baseline: Score | None
    intervals: SliceIntervals | None = None

    @property
    def few(self) -> bool:
        """Whether it is too small for a score: one utterance more or less would move it by tens of points."""
        return self.accuracy is None

    @property
    def difference(self) -> float | None:
        """Of that score, over the baseline run."""
        return self.score.mean - self.baseline.mean if self.score and self.baseline else None


@dataclass(frozen=True)
class SliceTable:
    """The slices of the selected run on one split, in groups; the first group is all labelled utterances."""

    split: str
    baseline: RunSnapshot | None
    groups: tuple[tuple[str, tuple[SliceRow, ...]], ...]

    @property
    def intervals(self) -> bool:
        """Whether any row has them."""
        return any(row.intervals for _, rows in self.groups for row in rows)


def against_baseline(corpus: Corpus) -> Against | None:
    """Table 3 on test where both runs were scored there, else on dev; None where the baseline is not another run."""
    selected, baseline = corpus.selected, corpus.baseline
    if selected is None or baseline is None or selected is baseline:
        return None
    split = next(
        (
            name
            for name in (EVALUATION_SPLIT, SELECTION_SPLIT)
            if {name} <= selected.metrics.keys() & baseline.metrics.keys()
        ),
        None,
    )
    if split is None:
        return None
    ours, theirs = selected.metrics[split], baseline.metrics[split]
    found = corpus.findings.over_baseline.get(split)
    per_class: Mapping[str, Difference] = found.per_class_f1 if found else {}
    labels = [
        ScoreRow(
            label,
            ours.support[label],
            theirs.per_class_f1[label],
            ours.per_class_f1[label],
            per_class[label].interval if label in per_class else None,
        )
        for label in corpus.labels
    ]
    intervals = (
        {
            WEIGHTED_F1: found.weighted_f1,
            "macro_f1": found.macro_f1,
            "accuracy": found.accuracy,
            found.score: found.headline,
        }
        if found
        else {}
    )
    together = [
        ScoreRow(capital(HEADLINES[name]), None, other, own, intervals[name].interval if name in intervals else None)
        for name in scores_shown(ours.headline)
        if (other := theirs.score(name)) and (own := ours.score(name))
    ]
    return Against(split, baseline, selected, tuple(labels), tuple(together))


def slice_tables(corpus: Corpus) -> list[SliceTable]:
    """A table for each split on which the selected run has slices, the headline's first."""
    run, main = corpus.selected, corpus.main
    if run is None or main is None:
        return []
    splits = [main.split, *(line.split for line in corpus.headlines if line is not main)]
    return [_slices(corpus, run, split) for split in splits if run.metrics[split].slices]


def _slices(corpus: Corpus, run: RunSnapshot, split: str) -> SliceTable:
    metrics = run.metrics[split]
    baseline = corpus.baseline if corpus.baseline is not run else None
    theirs = baseline.metrics.get(split) if baseline else None
    alike = baseline is not None and modalities_of(baseline) == modalities_of(run)
    found = corpus.findings.slices.get(split, {})
    whole = SliceRow(
        "all labelled utterances",
        sum(metrics.support.values()),
        metrics.headline_score,
        metrics.accuracy,
        theirs.headline_score if theirs and theirs.support == metrics.support else None,
        found.get(ALL),
    )
    groups: dict[str, list[SliceRow]] = {"": [whole]}
    for one in metrics.slices:
        other = _same_slice(theirs, one) if theirs and (alike or one.group != _BY_MODALITY) else None
        row = SliceRow(SLICES.get(one.name, one.name), one.utterances, None, None, None)
        if one.utterances >= FEWEST:
            row = replace(
                row,
                score=one.judged_by(metrics.headline),
                accuracy=one.accuracy,
                baseline=other.judged_by(metrics.headline) if other else None,
                intervals=found.get((one.group, one.name)),
            )
        groups.setdefault(GROUPS.get(one.group, one.group), []).append(row)
    compared = any(row.baseline for rows in groups.values() for row in rows)
    return SliceTable(
        split, baseline if compared else None, tuple((name, tuple(rows)) for name, rows in groups.items())
    )


def _same_slice(metrics: Metrics, wanted: SliceScores) -> SliceScores | None:
    key = (wanted.group, wanted.name, wanted.utterances)
    return next((one for one in metrics.slices if (one.group, one.name, one.utterances) == key), None)
