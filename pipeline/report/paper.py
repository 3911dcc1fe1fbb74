"""The runs of a suite that re-states a published table: row by row in its order, and its objectives answered."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from features.cards import WEIGHTED_F1
from features.errors import ErcError, RunError
from heads.config.experiment import Experiment
from heads.config.suite import read_suite
from pipeline.report.corpus import Corpus
from pipeline.report.findings import Answer
from pipeline.report.frames import frames_of
from pipeline.report.paper_facts import PAPERS, Objective, Paper
from pipeline.report.snapshot import RunSnapshot
from pipeline.runs.splits import SELECTION_SPLIT
from pipeline.runs.suite_record import SuiteRecord

if TYPE_CHECKING:
    from pipeline.comparison.compare import Interval


@dataclass(frozen=True)
class PaperRow:
    """One row of the published table.

    number:   as it is printed
    run:      what was trained for it; None where nothing was
    interval: 95%, of the run's weighted F1 on dev; None where its predictions are not at hand
    equal_to: the experiment that was trained in its place, being equal; empty where it was trained itself
    """

    number: int | str
    experiment: str
    reported: float | None
    run: RunSnapshot | None
    interval: Interval | None = None
    equal_to: str = ""


@dataclass(frozen=True)
class Reply:
    """What the runs say to one objective. answers: of its contrasts, in their order; None where the suite asks no such
    question."""

    objective: Objective
    answers: tuple[Answer | None, ...]

    @property
    def verdict(self) -> str:
        """In a word or two; what A being higher means is the objective's hope."""
        tested = [answer for answer in self.answers if answer and answer.comparison]
        shown = {answer.higher for answer in tested}
        if not tested:
            return "not answered"
        word = (
            {"A": "yes", "B": "no, the opposite is shown", "": "not shown"}[shown.pop()]
            if len(shown) == 1
            else "in part"
        )
        return word if len(tested) == len(self.answers) else f"{word}, as far as it was tested"


@dataclass(frozen=True)
class PaperResult:
    """A published table beside the runs of one corpus; number: of the corpus in the report, from 1."""

    paper: Paper
    corpus: Corpus
    number: int
    rows: tuple[PaperRow, ...]
    replies: tuple[Reply, ...]

    @property
    def missing(self) -> int:
        """How many rows have no scores on dev."""
        return sum(row.run is None or row.run.dev is None for row in self.rows)


def paper_results(corpora: Sequence[Corpus], wanted: str | None) -> list[PaperResult]:
    """The published tables that runs of these corpora re-state: all of them, or the one that is wanted.

    Raises RunError where the wanted one has no run here.
    """
    papers = [PAPERS[wanted]] if wanted else list(PAPERS.values())
    found = []
    for paper in papers:
        experiments = [one for one in read_suite(paper.suite).experiments if one.paper]
        for number, corpus in enumerate(corpora, start=1):
            rows = _rows(corpus, paper, experiments)
            if any(row.run for row in rows):
                found.append(PaperResult(paper, corpus, number, tuple(rows), _replies(corpus, paper)))
    if wanted and not found:
        raise RunError(f"no run of the suite {wanted} here: `erc ablate {wanted}` trains them")
    return found


def _rows(corpus: Corpus, paper: Paper, experiments: Sequence[Experiment]) -> list[PaperRow]:
    """In the order of the suite's file, which is the table's."""
    record, rows = _record(corpus, paper), []
    for experiment in experiments:
        run = _run_of(corpus, paper, experiment.name, record)
        facts = experiment.paper
        equal = record.duplicates.get(experiment.name, "") if record and run else ""
        if facts:
            interval = _interval(corpus, run) if run and run.dev else None
            rows.append(PaperRow(facts.exp, experiment.name, facts.reported, run, interval, equal))
    return rows


def _record(corpus: Corpus, paper: Paper) -> SuiteRecord | None:
    return next((suite for suite in corpus.suites if suite.suite == paper.suite), None)


def _run_of(corpus: Corpus, paper: Paper, name: str, record: SuiteRecord | None) -> RunSnapshot | None:
    """The folder that the suite's record names; without a record, the first in the ranking of that suite and name."""
    if record and name in record.runs:
        return next((run for run in corpus.runs if run.folder == record.runs[name]), None)
    own = (run for run in corpus.runs if run.experiment == name and run.config.get("suite") == paper.suite)
    return next(own, None)


def _interval(corpus: Corpus, run: RunSnapshot) -> Interval | None:
    from pipeline.comparison.compare import score_intervals

    try:
        frames = frames_of(run, SELECTION_SPLIT, corpus.labels, corpus.criterion)
        return score_intervals(frames, corpus.labels, criterion=corpus.criterion)[WEIGHTED_F1]
    except ErcError:  # predictions that are gone, or not those of the scores: the row has a dash
        return None


def _replies(corpus: Corpus, paper: Paper) -> tuple[Reply, ...]:
    record = _record(corpus, paper)
    title = (record.title or record.suite) if record else ""
    asked = {(one.contrast.a, one.contrast.b): one for one in corpus.findings.answers if record and one.suite == title}
    return tuple(
        Reply(objective, tuple(asked.get(contrast) for contrast in objective.contrasts))
        for objective in paper.objectives
    )
