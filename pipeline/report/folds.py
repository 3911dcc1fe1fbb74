"""Nested cross-validations as the report shows them: a result for corpora without splits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from features.cards import HEADLINES
from pipeline.pages.drawing import Drawing
from pipeline.pages.words import article, count, foreign_warning, listed, percent, plural, score
from pipeline.report.corpus import baseline_of
from pipeline.report.facts import Badge
from pipeline.report.figures import confusion, per_class_f1
from pipeline.runs.folds_file import FoldedExperiment, FoldPart, FoldsFile
from pipeline.runs.metrics_file import scores_shown
from pipeline.runs.ranking import ONE_SEED, Candidate, fewer_text, rank, seeds_asked


@dataclass(frozen=True)
class FoldedResult:
    """One nested cross-validation, by one score.

    folder:      name of its folder; headline: name of the score
    experiments: best first by the mean over folds, of equal ones the first by name; behind them the `fewer` that
                 have not as many seeds as `asked`, and are not ranked (`pipeline.runs.ranking`)
    left_out:    results in the file that are of other rows than its newest
    """

    folder: str
    file: FoldsFile
    headline: str
    experiments: tuple[FoldedExperiment, ...]
    left_out: int = 0
    fewer: tuple[FoldedExperiment, ...] = ()
    asked: int = 1

    @property
    def title(self) -> str:
        return self.file.title or self.file.dataset

    @property
    def words(self) -> str:
        """Of the score."""
        return HEADLINES[self.headline]

    @property
    def best(self) -> FoldedExperiment:
        return self.experiments[0]

    @cached_property
    def names(self) -> dict[str, str]:
        """Configuration -> what to call it: its experiment, with the key where several have that name."""
        names = [one.experiment for one in self.experiments]
        return {
            one.configuration: one.experiment
            if names.count(one.experiment) == 1
            else f"{one.experiment}-{one.configuration[:8]}"
            for one in self.experiments
        }

    @property
    def labels(self) -> tuple[str, ...]:
        return self.best.pooled.labels

    @property
    def shown(self) -> list[str]:
        """Names of the scores that tables show beside the headline."""
        return scores_shown(self.headline)[1:]

    @property
    def leaves_one_out(self) -> bool:
        return self.file.splitter == "LeaveOneGroupOut"

    @property
    def baseline(self) -> str | None:
        """The rule that margins are stated over."""
        return baseline_of(self.best.pooled)

    @property
    def random_weights(self) -> list[str]:
        return sorted({name for one in self.experiments for name in one.random_weights})

    @property
    def foreign(self) -> list[str]:
        """Names of the features that others made."""
        return sorted({name for one in self.experiments for name in one.foreign})


def folded_results(folded: Mapping[str, FoldsFile]) -> list[FoldedResult]:
    """Of each folder, one result for each score; of the rows that its newest command folded."""
    results = []
    for folder, file in folded.items():
        current = [one for one in file.experiments if one.rows == file.rows and len(one.folds) == file.folds]
        for headline in dict.fromkeys(one.headline for one in current):
            judged = [one for one in current if one.headline == headline]
            asked = seeds_asked({one.configuration: len(one.pooled.seeds) for one in judged})
            ranking = rank([_candidate(one) for one in judged], asked)
            left_out = len(file.experiments) - len(current)
            results.append(FoldedResult(folder, file, headline, ranking.all, left_out, ranking.fewer, asked))
    return results


def _candidate(one: FoldedExperiment) -> Candidate[FoldedExperiment]:
    name = f"{one.experiment} {one.configuration}"
    return Candidate(one, name, one.headline_score.mean, len(one.pooled.seeds))


def headline_parts(result: FoldedResult) -> list[tuple[str, bool]]:
    """The first sentence as (text, whether it is a number or name to set apart)."""
    best, tried = result.best, len(result.experiments)
    place = f", best of {count(tried)} configurations over these folds," if tried > 1 else ""
    kind = "that leave out one group each" if result.leaves_one_out else f"by {result.file.group}"
    pooled = best.pooled.headline_score
    parts = [
        (result.names[best.configuration], True),
        (f"{place} reaches {article(result.words)} {result.words} of ", False),
        (score(best.headline_score), True),
        (f" over {plural(result.file.folds, 'fold')} {kind}, and of ", False),
        (score(pooled), True),
        (" on all folds' predictions together", False),
    ]
    rule = best.pooled.baselines[result.baseline].score(result.headline) if result.baseline else None
    if rule is not None:
        margin = pooled.mean - rule
        parts += [
            (", ", False),
            (percent(abs(margin)), True),
            (f" points {'above' if margin >= 0 else 'below'} {result.baseline}", False),
        ]
    return [*parts, (".", False)]


def headline_text(result: FoldedResult) -> str:
    return "".join(text for text, _ in headline_parts(result))


def badges(result: FoldedResult) -> list[Badge]:
    """The facts under the first sentence; warnings first."""
    found = []
    if result.file.synthetic:
        found.append(Badge("", "Synthetic data", True))
    if result.random_weights:
        found.append(Badge("", "Random weights", True))
    if result.foreign:
        found.append(Badge("", "Imported features", True))
    inner = listed(sorted({f"whole {fold.dev.by}s" for fold in result.file.held_out}))
    found.append(Badge("Epochs chosen on", f"{inner} of the other folds"))
    found.append(Badge("Rows", f"of {listed(list(result.file.splits))}"))
    found.append(Badge("Tried", plural(len(result.experiments), "configuration")))
    return found


def notes_on(result: FoldedResult) -> list[str]:
    """What qualifies the numbers, a sentence each."""
    notes = []
    if result.random_weights:
        names = listed(result.random_weights)
        notes.append(f"Encoders with random weights made {names}: scores built on it test the plumbing.")
    if result.foreign:
        notes.append(foreign_warning(result.foreign))
    if len(result.experiments) > 1:
        notes.append(
            "The best was chosen by the very folds that score it, so its figure is likely a little too high; the epochs"
            " were not."
        )
    if result.fewer:
        few = [(result.names[one.configuration], len(one.pooled.seeds)) for one in result.fewer]
        notes.append(f"{fewer_text(few, result.asked)}.")
    if result.asked == 1 and len(result.experiments) > 1:
        notes.append(ONE_SEED)
    for one in result.experiments:
        if one.mixed:
            name = result.names[one.configuration]
            asked = (
                "as --mix-seeds asked" if one.asked_to_mix else "and nothing says that it was asked for: train again"
            )
            notes.append(f"{name} averages heads that were not made alike, {asked}: {'; '.join(one.mixed)}.")
    if result.left_out:
        notes.append(
            f"{plural(result.left_out, 'earlier result')} in {result.folder} "
            f"{'is' if result.left_out == 1 else 'are'} of other rows or labels and not shown."
        )
    if "test" in result.file.splits:
        notes.append("Rows of the test split are among those that were scored.")
    return notes


def part_text(part: FoldPart, by: str) -> str:
    """What a fold holds, in a few words: its groups by name, or how many dialogues."""
    if by == "group":
        names = list(part.names)
        return ", ".join(names) if len(names) <= 4 else f"{', '.join(names[:3])} and {len(names) - 3} more"
    return plural(part.dialogues or 0, "dialogue")


def epochs_text(experiment: FoldedExperiment, fold: int) -> str:
    """The epochs that one fold's dev chose, a number a seed."""
    found = next((one.best_epochs for one in experiment.folds if one.fold == fold), {})
    return ", ".join("–" if epoch is None else str(epoch) for epoch in found.values())


def drawings_of(results: Sequence[FoldedResult], first: int) -> dict[str, Drawing]:
    """F1 of each label and the confusion matrix of each result's best, all folds pooled. first: number of the first."""
    drawings = {}
    for number, result in enumerate(results, start=first):
        name = result.names[result.best.configuration]
        for kind, figure in (("folds-f1", per_class_f1), ("folds-confusion", confusion)):
            key = f"{number}-{kind}"
            drawings[key] = figure(key, result.best.pooled, name)
    return drawings
