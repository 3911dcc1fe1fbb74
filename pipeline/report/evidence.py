"""Intervals, comparisons and costs: what a report adds to the runs' own figures. Predictions and ledgers are read, no
tensors; resampling is done for the selected run and the declared contrasts alone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from features.errors import ErcError, RunError
from pipeline.report.findings import Answer, FeatureCost, Findings
from pipeline.report.leaderboard import Corpus, baseline_of
from pipeline.report.model import SELECTION_SPLIT, Contrast, FeatureUse, Run, Suite
from pipeline.report.provenance import stored_features
from pipeline.report.words import listed, plural

if TYPE_CHECKING:
    import polars as pl

    from pipeline.comparison.compare import Comparison, Difference, Interval

_COLUMNS = ("utterance_id", "dialogue_id", "gold", "predicted")
_FEW_DIALOGUES = 30
_SAME = 1e-6  # what a score may differ by between a metrics file and the predictions beside it


def with_findings(corpus: Corpus) -> Corpus:
    """The corpus with what its runs' predictions and its store say."""
    work = _Work(corpus)
    if corpus.selected:
        work.judge_selected(corpus.selected)
    answers = [answer for suite in corpus.suites for answer in work.answers(suite)]
    costs, cost_notes = costs_of(corpus)
    findings = Findings(
        intervals=work.intervals,
        margins=work.margins,
        over_baseline=work.over_baseline,
        answers=tuple(answers),
        costs=tuple(costs),
        notes=tuple(dict.fromkeys(work.notes)),
        cost_notes=tuple(cost_notes),
    )
    return replace(corpus, findings=findings)


def costs_of(corpus: Corpus) -> tuple[list[FeatureCost], list[str]]:
    """The cost of each feature, from the ledgers of the store that the runs recorded, if it is still there.

    A feature counts only by its fingerprint: another folder of the same name is another feature.
    """
    costs, unknown = [], []
    for feature, _ in stored_features(corpus):
        stores = dict.fromkeys(
            run.record.store for run in corpus.runs if run.record.store and feature.folder in _folders(run)
        )
        cost = next((found for store in stores if (found := _cost(Path(store), feature))), None)
        costs.append(cost or FeatureCost(feature))
        if cost is None:
            unknown.append(feature.folder)
    if not unknown:
        return costs, []
    return costs, [f"The store of {', '.join(unknown)} is not at hand: what extraction took and takes is not known."]


def _folders(run: Run) -> set[str]:
    return {feature.folder for feature in run.features}


def _cost(root: Path, feature: FeatureUse) -> FeatureCost | None:
    from features.store.feature import Feature
    from features.store.listing import summarise

    try:
        stored = Feature(root, feature.folder)
        if stored.fingerprint != feature.fingerprint:
            return None
        summary = summarise(stored)
    except (ErcError, OSError):
        return None
    return FeatureCost(
        feature, summary.ok, summary.seconds_decode or None, summary.seconds_encode or None, summary.num_bytes
    )


class _Work:
    """The comparisons of one corpus; each file of predictions is read once."""

    def __init__(self, corpus: Corpus) -> None:
        self.corpus = corpus
        self.intervals: dict[str, Interval] = {}
        self.margins: dict[str, Difference] = {}
        self.over_baseline: dict[str, Comparison] = {}
        self.notes: list[str] = []
        self._frames: dict[tuple[str, str], dict[int, pl.DataFrame]] = {}

    def judge_selected(self, run: Run) -> None:
        """The selected run by itself, over one label for all and over the suite's baseline, split by split."""
        name, other = self.corpus.names[run.folder], self.corpus.baseline
        for line in self.corpus.headlines:
            split = line.split
            try:
                self._judge_alone(run, split)
            except ErcError as error:
                self.notes.append(f"No interval of {name} on {split}: {error}.")
                continue
            if other is None or other is run or split not in other.metrics:
                continue
            try:
                self.over_baseline[split] = self.compare(run, other, split)
            except ErcError as error:
                named = self.corpus.names[other.folder]
                self.notes.append(f"No interval of {name} over {named} on {split}: {error}.")

    def answers(self, suite: Suite) -> list[Answer]:
        """What dev says to each of a suite's contrasts; Holm over those that have an answer."""
        from pipeline.comparison.holm import holm

        found = [self._answer(suite, *contrast) for contrast in self.corpus.contrasts_of(suite)]
        adjusted = iter(holm([answer.comparison.p_value for answer in found if answer.comparison]))
        family = sum(answer.comparison is not None for answer in found)
        return [
            replace(answer, adjusted=next(adjusted), family=family) if answer.comparison else answer for answer in found
        ]

    def compare(self, a: Run, b: Run, split: str) -> Comparison:
        """a - b. Raises RunError where predictions are lacking, differ from the metrics, or are of other utterances."""
        from pipeline.comparison.compare import compare

        comparison = compare(self.frames(a, split), self.frames(b, split), self.corpus.labels)
        known = a.metrics[split].weighted_f1.mean - b.metrics[split].weighted_f1.mean
        self._agree(comparison.weighted_f1.value, known, split)
        return comparison

    def frames(self, run: Run, split: str) -> dict[int, pl.DataFrame]:
        """Seed -> predictions, of the seeds that the metrics are of. Raises RunError where one cannot be read."""
        key = (run.folder, split)
        if key not in self._frames:
            self._frames[key] = {seed: _predictions(run, seed, split) for seed in run.metrics[split].seeds}
        return self._frames[key]

    def _judge_alone(self, run: Run, split: str) -> None:
        from pipeline.comparison.compare import margin_interval, score_interval

        frames, labels, metrics = self.frames(run, split), self.corpus.labels, run.metrics[split]
        margin = margin_interval(frames, self.corpus.constant, labels)
        named = baseline_of(metrics)
        if named is not None:
            self._agree(margin.value, metrics.weighted_f1.mean - metrics.baselines[named].weighted_f1, split)
        self.intervals[split] = score_interval(frames, labels)
        dialogues = next(iter(frames.values()))["dialogue_id"].n_unique()
        if dialogues < _FEW_DIALOGUES:
            self.notes.append(
                f"{split} has {plural(dialogues, 'dialogue')}: intervals from so few are rough, and likelier too narrow"
                " than too wide."
            )
        if named is not None:
            self.margins[split] = margin

    def _agree(self, value: float, known: float, split: str) -> None:
        if abs(value - known) > _SAME:
            raise RunError(f"the predictions do not give the scores of metrics-{split}.json: evaluate again")

    def _answer(self, suite: Suite, contrast: Contrast, a: Run | None, b: Run | None) -> Answer:
        answer = Answer(suite.title or suite.suite, contrast, a, b)
        arms = ((contrast.a, a), (contrast.b, b))
        lacking = [name for name, run in arms if run is None]
        unscored = [name for name, run in arms if run and not run.dev]
        if lacking:
            return replace(answer, trouble=f"not among the runs: {listed(lacking)}")
        if unscored:
            return replace(answer, trouble=f"no dev scores: {listed(unscored)}")
        if a is None or b is None or a is b:
            return replace(answer, trouble="both are one and the same configuration")
        try:
            return replace(answer, comparison=self.compare(a, b, SELECTION_SPLIT))
        except ErcError as error:
            return replace(answer, trouble=str(error))


def _predictions(run: Run, seed: int, split: str) -> pl.DataFrame:
    import polars as pl

    name = f"seed-{seed}/predictions-{split}.parquet"
    if run.path is None or not (run.path / name).is_file():
        raise RunError(f"{name} is not there: evaluate again")
    try:
        frame = pl.read_parquet(run.path / name)
    except (pl.exceptions.PolarsError, OSError) as error:
        raise RunError(f"{name} cannot be read ({type(error).__name__}): evaluate again") from error
    lacking = [column for column in _COLUMNS if column not in frame.columns]
    if lacking:
        raise RunError(f"{name} has no column {lacking[0]}: evaluate again")
    return frame.select(_COLUMNS)
