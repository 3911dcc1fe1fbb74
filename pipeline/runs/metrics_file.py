"""metrics-SPLIT.json of a run folder as checked values. Scores are fractions in [0, 1].

Fields that a file has beyond these are ignored, so that a newer run folder still reads.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from pydantic import BaseModel, Field, model_validator

from features.cards import WEIGHTED_F1
from features.errors import nearest
from heads.metrics import ALWAYS_NEUTRAL, SCORES, constant_baseline, over_seeds

Fraction = Annotated[float, Field(ge=0, le=1 + 1e-9, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=0)]


def scores_shown(headline: str) -> list[str]:
    """The scores that tables show, the corpus's own first: weighted F1, macro F1 and accuracy beside it."""
    return list(dict.fromkeys((headline, WEIGHTED_F1, "macro_f1", "accuracy")))


class Score(BaseModel, frozen=True, extra="ignore"):
    """One metric over seeds: mean, deviation (ddof 1; None for one seed), and the value of each seed."""

    mean: Fraction
    std: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None
    values: tuple[Fraction, ...]

    @classmethod
    def of(cls, values: Sequence[float]) -> Score:
        return cls.model_validate(over_seeds(values))


class Spread(BaseModel, frozen=True, extra="ignore"):
    """A finite number of at least 0 over seeds, as Score has fractions."""

    mean: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    std: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None
    values: tuple[Annotated[float, Field(ge=0, allow_inf_nan=False)], ...]


class ReliabilityBin(BaseModel, frozen=True, extra="ignore"):
    """Predictions whose highest probability is within [lower, upper], of all seeds together.

    confidence: mean of that probability; accuracy: share that is right; both None where there is no such prediction
    """

    lower: Fraction
    upper: Fraction
    count: Count
    confidence: Fraction | None = None
    accuracy: Fraction | None = None


class SliceScores(BaseModel, frozen=True, extra="ignore"):
    """Scores on a part of a split's labelled utterances; slices of one `group` are alternatives.

    headline: of corpora that are judged by another score than weighted F1; None also where it cannot be computed
    """

    group: str
    name: str
    utterances: Count
    weighted_f1: Score
    accuracy: Score
    headline: Score | None = None

    def judged_by(self, headline: str) -> Score | None:
        """By the score that the corpus is judged by; None where none of the slice's labels counts for it."""
        return self.weighted_f1 if headline == WEIGHTED_F1 else self.headline


class ClassScores(BaseModel, frozen=True, extra="ignore"):
    """Precision, recall and F1 of one label."""

    precision: Score
    recall: Score
    f1: Score


class BaselineScores(BaseModel, frozen=True, extra="ignore"):
    """Scores of a rule that looks at no input."""

    weighted_f1: Fraction
    macro_f1: Fraction | None = None
    accuracy: Fraction | None = None
    micro_f1_without_neutral: Fraction | None = None
    unweighted_average_recall: Fraction | None = None
    binary_accuracy: Fraction | None = None
    per_class_f1: dict[str, Fraction] = {}

    def score(self, name: str) -> float | None:
        """One of `heads.metrics.SCORES`; None where it is not known."""
        value: float | None = getattr(self, name)
        return value


class Coverage(BaseModel, frozen=True, extra="ignore"):
    """How many utterances of a split have an embedding, and why the others have none.

    absent: never extracted; missing: there is no input; failed: there is one that could not be used.
    """

    ok: Count = 0
    missing: dict[str, Count] = {}
    failed: dict[str, Count] = {}
    absent: Count = 0

    @property
    def total(self) -> int:
        return self.ok + self.unavailable

    @property
    def unavailable(self) -> int:
        return sum(self.missing.values()) + sum(self.failed.values()) + self.absent

    @property
    def share(self) -> float:
        """Fraction of utterances that have an embedding; 1.0 for an empty split."""
        return self.ok / self.total if self.total else 1.0


class SingleScores(BaseModel, frozen=True, extra="ignore"):
    """One number of each score; None for one that could not be computed."""

    weighted_f1: Fraction
    macro_f1: Fraction
    accuracy: Fraction
    micro_f1_without_neutral: Fraction | None = None
    unweighted_average_recall: Fraction | None = None
    binary_accuracy: Fraction | None = None

    def score(self, name: str) -> float | None:
        """One of `heads.metrics.SCORES`."""
        value: float | None = getattr(self, name)
        return value


class SeedAverage(SingleScores, frozen=True, extra="ignore"):
    """Scores of the probabilities averaged over the seeds: one prediction of several heads."""


class ScoredOn(BaseModel, frozen=True, extra="ignore"):
    """Which rows were scored.

    path, sha256: of the manifest's file; rows: digest of the split's rows in it (`pipeline.runs.identity`)
    labels_map:   label of the manifest -> label of the run, where other names were mapped
    left_out:     label that is mapped to none -> its utterances; they are predicted, and in no score
    other_code:   what of the code that predicts had changed since training, where it was scored all the same
    """

    dataset: str
    title: str = ""
    path: str | None = None
    sha256: str | None = None
    rows: str | None = None
    labels_map: dict[str, str] = {}
    left_out: dict[str, Count] = {}
    other_code: Annotated[str | None, Field(exclude_if=lambda code: code is None)] = None


class Metrics(BaseModel, frozen=True, extra="ignore"):
    """metrics-SPLIT.json: the scores of one experiment on one split. Unlabelled utterances are in no score.

    headline: name of the score that the corpus is judged by; that of files of before there was a choice is weighted F1
    micro_f1_without_neutral, binary_accuracy: None where there is no neutral label, no label of either side
    scored: on which rows; None in files that did not say so yet
    unlabelled: utterances without a label that could be scored, those of labels that are left out among them
    confusion: [gold][predicted] counts, summed over seeds; rows and columns in the order of `labels`
    negative_log_likelihood: nats per utterance
    calibration_error: expected calibration error (Guo et al. 2017, eq. 3)
    """

    experiment: str = ""
    split: str
    utterances: Count
    seeds: Annotated[tuple[int, ...], Field(min_length=1)]
    labels: Annotated[tuple[str, ...], Field(min_length=1)]
    support: dict[str, Count]
    headline: str = WEIGHTED_F1
    weighted_f1: Score
    macro_f1: Score
    accuracy: Score
    micro_f1_without_neutral: Score | None = None
    unweighted_average_recall: Score | None = None
    binary_accuracy: Score | None = None
    per_class_f1: dict[str, Score]
    per_class: dict[str, ClassScores] = {}
    confusion: tuple[tuple[Count, ...], ...]
    negative_log_likelihood: Spread | None = None
    calibration_error: Spread | None = None
    reliability: tuple[ReliabilityBin, ...] = ()
    slices: tuple[SliceScores, ...] = ()
    seed_average: SeedAverage | None = None
    baselines: dict[str, BaselineScores] = {}
    coverage: dict[str, Coverage] = {}
    no_input: Count = 0
    unlabelled: Count = 0
    scored: ScoredOn | None = None

    @model_validator(mode="after")
    def _agree(self) -> Metrics:
        labels, seeds = set(self.labels), len(self.seeds)
        if len(labels) != len(self.labels):
            raise ValueError("labels repeat")
        for name, mapping in (("support", self.support), ("per_class_f1", self.per_class_f1)):
            if set(mapping) != labels:
                raise ValueError(f"{name} does not have exactly the labels of `labels`")
        if self.per_class and set(self.per_class) != labels:
            raise ValueError("per_class does not have exactly the labels of `labels`")
        if self.headline not in SCORES:
            raise ValueError(f"headline {self.headline!r} is no score: {nearest(self.headline, SCORES)}")
        if self.score(self.headline) is None:
            raise ValueError(f"{self.headline}, the headline, has no value")
        scores = [value for name in SCORES if (value := self.score(name))]
        scores += [*self.per_class_f1.values(), *(one.headline for one in self.slices if one.headline)]
        scores += [part for one in self.per_class.values() for part in (one.precision, one.recall, one.f1)]
        scores += [part for one in self.slices for part in (one.weighted_f1, one.accuracy)]
        spreads = [item for item in (self.negative_log_likelihood, self.calibration_error) if item]
        sizes = [len(score.values) for score in scores] + [len(spread.values) for spread in spreads]
        if any(size != seeds for size in sizes):
            raise ValueError(f"a score does not have one value for each of the {seeds} seeds")
        if len(self.confusion) != len(labels) or any(len(row) != len(labels) for row in self.confusion):
            raise ValueError(f"confusion is not {len(labels)} by {len(labels)}")
        return self

    def score(self, name: str) -> Score | None:
        """One of `heads.metrics.SCORES`; None where it could not be computed or an old file does not hold it."""
        value: Score | None = getattr(self, name)
        return value

    @property
    def headline_score(self) -> Score:
        """By the score that the corpus is judged by."""
        return self.score(self.headline) or self.weighted_f1

    def collapsed_seeds(self) -> int:
        """How many seeds predicted one and the same class for every utterance.

        A class with recall 1 whose precision is its share of the labelled utterances was predicted for all of them; a
        confusion matrix with one column in use says so of all seeds.
        """
        predicted = [any(row[column] for row in self.confusion) for column in range(len(self.labels))]
        if sum(predicted) == 1 and len(self.labels) > 1:
            return len(self.seeds)
        return sum(self._constant(position) for position in range(len(self.seeds)))

    def _constant(self, position: int) -> bool:
        total = sum(self.support.values())
        for label, scores in self.per_class.items():
            share = self.support[label] / total if total else 0.0
            precision, recall = scores.precision.values[position], scores.recall.values[position]
            if 0 < share < 1 and recall == 1 and abs(precision - share) < 1e-9:
                return True
        return False


def with_constant_named(scores: Metrics, neutral: str | None) -> Metrics:
    """The same, with the constant baseline under today's name: older files call it always-neutral, also where no label
    is known to be the neutral one and it was the most frequent of train."""
    name = constant_baseline(neutral, scores.labels)
    if name == ALWAYS_NEUTRAL or ALWAYS_NEUTRAL not in scores.baselines:
        return scores
    renamed = {name if key == ALWAYS_NEUTRAL else key: value for key, value in scores.baselines.items()}
    return scores.model_copy(update={"baselines": renamed})
