"""summary.json of a nested cross-validation as checked values: scores of folds that are a result.

Fields that a file has beyond these are ignored, so that a newer one still reads.
"""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, Field, model_validator

from heads.metrics import SCORES
from pipeline.runs.json_files import read_checked
from pipeline.runs.metrics_file import Count, Fraction, Metrics, Score, SingleScores, Spread

NESTED = "nested-*"
"""Of the folders, in a folder of runs, that hold such a file."""


class FoldPart(BaseModel, frozen=True, extra="ignore"):
    """What a fold is scored on, or chose its epochs by. groups or dialogues: how many; names: of the groups."""

    groups: Count | None = None
    dialogues: Count | None = None
    utterances: Count
    labelled: Count
    names: tuple[str, ...] = ()


class InnerDev(FoldPart, frozen=True):
    """The part of a fold's other rows that chose its epochs. by: what is whole within it, dialogue or group."""

    by: str


class HeldOut(FoldPart, frozen=True):
    """One fold: what it is scored on, and what chose its epochs."""

    fold: int
    dev: InnerDev


class FoldMeans(SingleScores, frozen=True, extra="ignore"):
    """One experiment's scores on one fold, each the mean over its seeds."""

    per_class_f1: dict[str, Fraction] = Field(default_factory=dict)


class FoldScores(BaseModel, frozen=True, extra="ignore"):
    """One experiment on one fold. best_epochs: seed -> the epoch that the fold's dev chose."""

    fold: int
    run: str
    scores: FoldMeans
    best_epochs: dict[str, int | None] = {}


class OverFolds(BaseModel, frozen=True, extra="ignore"):
    """One experiment's scores over all folds, each fold the mean over its seeds; None for one that some fold lacks."""

    weighted_f1: Score
    macro_f1: Score
    accuracy: Score
    micro_f1_without_neutral: Score | None = None
    unweighted_average_recall: Score | None = None
    binary_accuracy: Score | None = None
    negative_log_likelihood: Spread | None = None
    calibration_error: Spread | None = None
    per_class_f1: dict[str, Score] = {}

    def score(self, name: str) -> Score | None:
        """One of `heads.metrics.SCORES`."""
        value: Score | None = getattr(self, name)
        return value


class FoldedExperiment(BaseModel, frozen=True, extra="ignore"):
    """One experiment over all folds.

    headline: name of the score that the corpus is judged by
    pooled:   of all folds' held-out predictions together, over seeds
    foreign:  names of its features that others made
    rows:     digest of the rows that were folded
    mixed:    where heads that were not made alike are averaged, what made which seeds, a line each
    asked_to_mix: whether that was asked for, as far as the file says
    """

    experiment: str
    configuration: str
    headline: str
    scores: OverFolds
    folds: tuple[FoldScores, ...]
    pooled: Metrics
    rows: str
    random_weights: tuple[str, ...] = ()
    foreign: tuple[str, ...] = ()
    mixed: tuple[str, ...] = ()
    asked_to_mix: bool = False

    @property
    def headline_score(self) -> Score:
        """By the score that the corpus is judged by, over the folds."""
        return self.scores.score(self.headline) or self.scores.weighted_f1

    @model_validator(mode="after")
    def _agree(self) -> FoldedExperiment:
        if self.headline != self.pooled.headline or self.scores.score(self.headline) is None:
            raise ValueError(f"{self.experiment}: {self.headline}, the headline, has no value")
        scores = [score for name in SCORES if (score := self.scores.score(name))]
        if any(len(score.values) != len(self.folds) for score in (*scores, *self.scores.per_class_f1.values())):
            raise ValueError(f"{self.experiment}: a score does not have one value for each of its folds")
        return self


class FoldsFile(BaseModel, frozen=True, extra="ignore"):
    """The whole file.

    folds:  how many; group: what is never split between them; splitter: scikit-learn's name of how they were drawn
    splits: of the manifest, whose rows were folded; rows: digest of these rows
    """

    nested: bool
    folds: Count
    group: str
    splitter: str
    held_out: tuple[HeldOut, ...]
    experiments: tuple[FoldedExperiment, ...]
    dataset: str
    title: str = ""
    synthetic: bool = False
    splits: tuple[str, ...]
    rows: str

    @model_validator(mode="after")
    def _whole(self) -> FoldsFile:
        if len(self.held_out) != self.folds:
            raise ValueError(f"held_out does not have each of the {self.folds} folds")
        return self


def read_folds(file: Path) -> FoldsFile:
    """Raises RunFileError where it cannot be read or is damaged."""
    return read_checked(FoldsFile, file, "remove it and cross-validate again: what is trained is kept", printable=True)
