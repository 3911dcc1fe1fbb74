"""The contrasts that suites declare, each compared, with Holm's adjustment over those of a suite."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import Any, Generic, NamedTuple, TypeVar

from features.cards import HEADLINES
from features.errors import RunError
from heads.criterion import Criterion
from pipeline.comparison.compare import REPLICATES, Comparison, Reach, compare
from pipeline.comparison.counts import Frames
from pipeline.comparison.holm import holm
from pipeline.comparison.pair import REACH_LINES, method_lines, reach_cells
from pipeline.comparison.power import LEVEL
from pipeline.comparison.read import Declared, check_comparable, read_declared, read_predictions
from pipeline.pages.words import p_value, points
from pipeline.runs.folder import Run
from pipeline.runs.unlike import unlike_text
from pipeline.terminal.tables import text_table

Item = TypeVar("Item")


class Arms(NamedTuple):
    """The predictions of A and of B, the labels of both, and the score that both are judged by."""

    a: Frames
    b: Frames
    labels: Sequence[str]
    criterion: Criterion | None = None


@dataclass(frozen=True)
class Answer(Generic[Item]):
    """A declared contrast and what came of it: a comparison with its adjusted p-value, or the problem in one line.

    seeds: how many of A and of B were compared
    unlike: what of code, libraries and device tells A and B apart, in words
    """

    declared: Item
    comparison: Comparison | None = None
    adjusted_p: float | None = None
    problem: str | None = None
    seeds: tuple[int, int] = (0, 0)
    unlike: str = ""


def compare_contrasts(
    declared: Sequence[Item],
    load: Callable[[Item], Arms],
    *,
    replicates: int = REPLICATES,
    seed: int = 0,
    margin: float | None = None,
) -> list[Answer[Item]]:
    """Compare these contrasts, in the order given. Those that have a result are one family for Holm, and what they can
    show is told for the strictest of its steps.

    load: gives a contrast's predictions. Where it, or `compare`, raises RunError, the answer has that problem instead.
    """
    found: list[tuple[Comparison, tuple[int, int]] | RunError] = []
    for contrast in declared:
        try:
            arms = load(contrast)
            comparison = compare(
                arms.a, arms.b, arms.labels, criterion=arms.criterion, replicates=replicates, seed=seed, margin=margin
            )
            found.append((comparison, (len(arms.a), len(arms.b))))
        except RunError as error:
            found.append(error)
    adjusted = iter(holm([item[0].p_value for item in found if isinstance(item, tuple)]))
    level = LEVEL / max(1, sum(isinstance(item, tuple) for item in found))
    return [
        Answer(contrast, _at_level(*item, level), next(adjusted), seeds=item[1])
        if isinstance(item, tuple)
        else Answer(contrast, problem=str(item))
        for contrast, item in zip(declared, found, strict=True)
    ]


def _at_level(comparison: Comparison, seeds: tuple[int, int], level: float) -> Comparison:
    return replace(comparison, reach=Reach.of(comparison.reach.spread, seeds, level))


def compare_declared(
    runs: Path, split: str, *, replicates: int = REPLICATES, margin: float | None = None
) -> list[Answer[Declared]]:
    """Every contrast of every suite in a folder of runs; each suite is a family of its own.

    Raises RunError where none of them can be compared, and as `read_declared`.
    """
    loaded: dict[Path, Frames] = {}

    def load(contrast: Declared) -> Arms:
        a, b = contrast.pair()
        check_comparable(a, b)
        return Arms(_load(a, split, loaded), _load(b, split, loaded), a.labels, a.features.manifest.criterion)

    answers = [
        answer
        for _, members in groupby(read_declared(runs), key=lambda contrast: contrast.suite)
        for answer in compare_contrasts(list(members), load, replicates=replicates, margin=margin)
    ]
    if all(answer.comparison is None for answer in answers):
        raise RunError(
            f"{runs}: none of the {len(answers)} declared contrasts can be compared; of the first: {answers[0].problem}"
        )
    return [
        replace(answer, unlike=unlike_text(answer.declared.pair())) if answer.comparison else answer
        for answer in answers
    ]


def contrasts_document(answers: Sequence[Answer[Declared]], split: str) -> dict[str, Any]:
    """What `--json` prints. Differences are fractions."""
    return {
        "split": split,
        "contrasts": [
            {
                "suite": answer.declared.suite,
                "question": answer.declared.question,
                "A": answer.declared.a,
                "B": answer.declared.b,
                "comparison": asdict(answer.comparison) if answer.comparison else None,
                "adjusted_p": answer.adjusted_p,
                "seeds": answer.seeds,
                "problem": answer.problem,
                "unlike": answer.unlike or None,
            }
            for answer in answers
        ],
    }


def contrasts_text(answers: Sequence[Answer[Declared]], split: str) -> str:
    """A table of the contrasts that have a result (at least one), and what its columns mean."""
    rows, compared, most_seeds = [], [], 1
    for answer in answers:
        comparison, adjusted = answer.comparison, answer.adjusted_p
        if comparison is None or adjusted is None:
            continue
        difference = comparison.headline
        rows.append(
            [
                f"{answer.declared.suite}: {answer.declared.question}",
                answer.declared.a,
                answer.declared.b,
                points(difference.value),
                f"{points(difference.interval.low)} to {points(difference.interval.high)}",
                p_value(comparison.p_value),
                p_value(adjusted),
                *reach_cells(comparison.reach),
            ]
        )
        compared.append(comparison)
        most_seeds = max(most_seeds, *answer.seeds)
    header = ["contrast", "A", "B", "A - B", "95% interval", "p", "Holm's p", "smallest", "seeds a point"]
    scores = " or ".join(dict.fromkeys(HEADLINES[one.score] for one in compared))
    lines = [text_table(header, rows), "", f"A - B: points of {split} {scores}, means over seeds."]
    lines += method_lines(compared, most_seeds > 1)
    lines.append("Holm's p: adjusted for all contrasts of the suite that have a result here.")
    return "\n".join([*lines, *REACH_LINES])


def _load(run: Run, split: str, loaded: dict[Path, Frames]) -> Frames:
    """A run's predictions, read once however many contrasts it is in."""
    if run.path not in loaded:
        loaded[run.path] = read_predictions(run, split)
    return loaded[run.path]
