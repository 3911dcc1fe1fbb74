"""Intervals and comparisons: what a report adds to the runs' own figures. Predictions are read, no
tensors; resampling is done for the selected run and the declared contrasts alone."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from features.errors import ErcError, RunError
from pipeline.pages.words import listed, plural
from pipeline.report.corpus import Corpus, baseline_of
from pipeline.report.costs import costs_of
from pipeline.report.findings import Answer, Findings, SliceIntervals
from pipeline.report.frames import check_agreement, frames_of
from pipeline.report.snapshot import RunSnapshot
from pipeline.runs.json_files import clean
from pipeline.runs.splits import SELECTION_SPLIT
from pipeline.runs.suite_record import Contrast, SuiteRecord

if TYPE_CHECKING:
    import polars as pl

    from pipeline.comparison.compare import Comparison, Difference, Interval
    from pipeline.comparison.contrasts import Arms
    from pipeline.comparison.places import Places

_FEW_DIALOGUES = 30


def with_findings(corpus: Corpus) -> Corpus:
    """The corpus with what its runs' predictions and its store say."""
    work = _Work(corpus)
    if corpus.selected:
        work.judge_selected(corpus.selected)
    work.place_ranked()
    answers = [answer for suite in corpus.suites for answer in work.answers(suite)]
    costs, cost_notes = costs_of(corpus)
    findings = Findings(
        intervals=work.intervals,
        margins=work.margins,
        over_baseline=work.over_baseline,
        scores=work.scores,
        ranks=work.ranks,
        slices=work.slices,
        answers=tuple(answers),
        costs=tuple(costs),
        notes=tuple(dict.fromkeys(map(clean, work.notes))),
        cost_notes=tuple(cost_notes),
    )
    return replace(corpus, findings=findings)


class _Work:
    """The comparisons of one corpus; each file of predictions is read once."""

    def __init__(self, corpus: Corpus) -> None:
        self.corpus = corpus
        self.criterion = corpus.criterion
        self.intervals: dict[str, Interval] = {}
        self.margins: dict[str, Difference] = {}
        self.over_baseline: dict[str, Comparison] = {}
        self.scores: dict[str, dict[str, Interval]] = {}
        self.ranks: dict[str, Places] = {}
        self.slices: dict[str, dict[tuple[str, str], SliceIntervals]] = {}
        self.notes: list[str] = []
        self._frames: dict[tuple[str, str], dict[int, pl.DataFrame]] = {}

    def judge_selected(self, run: RunSnapshot) -> None:
        """The selected run by itself, over one label for all and over the suite's baseline, split by split."""
        from pipeline.comparison.compare import compare

        name, other = self.corpus.names[run.folder], self.corpus.baseline
        for line in self.corpus.headlines:
            split = line.split
            try:
                self._judge_alone(run, split)
            except ErcError as error:
                self.notes.append(f"No interval of {name} on {split}: {error}.")
                continue
            theirs = None if other is None or other is run or split not in other.metrics else other
            self._judge_slices(run, theirs, split)
            if theirs is None or other is None:
                continue
            try:
                frames = self.frames(run, split), self.frames(other, split)
                self.over_baseline[split] = compare(*frames, self.corpus.labels, criterion=self.criterion)
            except ErcError as error:
                named = self.corpus.names[other.folder]
                self.notes.append(f"No interval of {name} over {named} on {split}: {error}.")

    def _judge_slices(self, run: RunSnapshot, other: RunSnapshot | None, split: str) -> None:
        from pipeline.report.slice_intervals import slice_intervals

        frames = self.frames(run, split)
        try:
            theirs = self.frames(other, split) if other else None
            self.slices[split] = slice_intervals(self.corpus, run, split, frames, theirs)
        except ErcError:  # of the baseline's predictions; the note on it is `judge_selected`'s
            self.slices[split] = slice_intervals(self.corpus, run, split, frames, None)

    def place_ranked(self) -> None:
        """The places of the ranked runs, where all of them have predictions of the same utterances."""
        from pipeline.comparison.counts import read_arm
        from pipeline.comparison.places import places_of

        ranked = self.corpus.ranked
        if len(ranked) < 2 or SELECTION_SPLIT not in self.intervals:
            return
        try:
            arms = {
                run.folder: read_arm(self.frames(run, SELECTION_SPLIT), self.corpus.labels, self.criterion)
                for run in ranked
            }
            self.ranks = places_of(arms)
        except ErcError as error:
            self.notes.append(f"No places of the runs on {SELECTION_SPLIT}: {error}.")

    def answers(self, suite: SuiteRecord) -> list[Answer]:
        """What dev says to each of a suite's contrasts; Holm over those that have an answer."""
        from pipeline.comparison.contrasts import compare_contrasts

        found = compare_contrasts(self.corpus.contrasts_of(suite), self._arms)
        family = sum(one.comparison is not None for one in found)
        return [
            Answer(suite.title or suite.suite, *one.declared, one.comparison, one.adjusted_p, family)
            if one.comparison
            else Answer(suite.title or suite.suite, *one.declared, trouble=clean(one.problem or ""))
            for one in found
        ]

    def frames(self, run: RunSnapshot, split: str) -> dict[int, pl.DataFrame]:
        """Of `frames_of`."""
        key = (run.folder, split)
        if key not in self._frames:
            self._frames[key] = frames_of(run, split, self.corpus.labels, self.criterion)
        return self._frames[key]

    def _judge_alone(self, run: RunSnapshot, split: str) -> None:
        from pipeline.comparison.compare import HEADLINE, margin_interval, score_intervals

        frames, labels, metrics = self.frames(run, split), self.corpus.labels, run.metrics[split]
        margin = margin_interval(frames, self.corpus.constant, labels, criterion=self.criterion)
        named = baseline_of(metrics)
        rule = metrics.baselines[named].score(metrics.headline) if named is not None else None
        if rule is not None:
            check_agreement(margin.value, metrics.headline_score.mean - rule, split)
        self.scores[split] = score_intervals(frames, labels, criterion=self.criterion)
        self.intervals[split] = self.scores[split][HEADLINE]
        dialogues = next(iter(frames.values()))["dialogue_id"].n_unique()
        if dialogues < _FEW_DIALOGUES:
            self.notes.append(
                f"{split} has {plural(dialogues, 'dialogue')}: intervals from so few are rough, and likelier too narrow"
                " than too wide."
            )
        if rule is not None:
            self.margins[split] = margin

    def _arms(self, contrast: tuple[Contrast, RunSnapshot | None, RunSnapshot | None]) -> Arms:
        """Raises RunError where a contrast cannot be answered on dev."""
        from pipeline.comparison.contrasts import Arms

        declared, a, b = contrast
        arms = ((declared.a, a), (declared.b, b))
        lacking = [name for name, run in arms if run is None]
        unscored = [name for name, run in arms if run and not run.dev]
        if lacking:
            raise RunError(f"not among the runs: {listed(lacking)}")
        if unscored:
            raise RunError(f"no dev scores: {listed(unscored)}")
        if a is None or b is None or a is b:
            raise RunError("both are one and the same configuration")
        return Arms(
            self.frames(a, SELECTION_SPLIT), self.frames(b, SELECTION_SPLIT), self.corpus.labels, self.criterion
        )
