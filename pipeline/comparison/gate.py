"""A comparison as a gate: passed only where A is shown to be better than B by more than a margin.

The chance to pass although A is better by no more than that is at most 5%. Where several contrasts are to pass, all of
them must, each at 5%: a suite with one that should not pass passes at most as often (Berger 1982, intersection-union).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from features.errors import RunError
from pipeline.comparison.compare import Comparison
from pipeline.comparison.contrasts import Answer
from pipeline.comparison.power import LEVEL, smallest_difference
from pipeline.comparison.read import Declared
from pipeline.pages.words import p_value, points
from pipeline.runs.folder import Run, told_apart
from pipeline.runs.ranking import asked_beside, fewer_text
from pipeline.runs.unlike import unlike_text

NOT_PASSED = 3
"""The exit status of a gate that was judged and not passed."""


@dataclass(frozen=True)
class Verdict:
    """margin: as a fraction; reaches: the true difference that passes in four of five cases, the hardest contrast's;
    failed: names of the contrasts that did not pass, with their differences and p-values"""

    margin: float
    failed: tuple[tuple[str, float, float], ...]
    contrasts: int
    reaches: float | None

    @property
    def passed(self) -> bool:
        return not self.failed

    def document(self) -> dict[str, object]:
        """Differences as fractions."""
        failed = [{"contrast": name, "value": value, "p": p} for name, value, p in self.failed]
        return {"margin": self.margin, "passed": self.passed, "failed": failed, "reaches": self.reaches}

    def text(self) -> str:
        """What came of it, in a sentence or two."""
        what = f"better than B by more than {100 * self.margin:g} points"
        if self.passed:
            which = "A is" if self.contrasts == 1 else f"A is in all {self.contrasts} contrasts"
            return f"gate passed: {which} shown to be {what} (one-sided p at most {LEVEL:g})"
        told = "; ".join(
            f"{name}{points(value)} points, one-sided p = {p_value(p)}" for name, value, p in self.failed[:4]
        )
        more = f" and {len(self.failed) - 4} more" if len(self.failed) > 4 else ""
        reach = (
            "no true difference would pass in 4 of 5 cases"
            if self.reaches is None
            else f"a true difference of {100 * self.reaches:.1f} points would pass in 4 of 5 cases"
        )
        return f"gate not passed: A is not shown to be {what}: {told}{more}; with this split and these seeds {reach}"


def judge_pair(a: Run, b: Run, seeds: tuple[int, int], comparison: Comparison, margin: float) -> Verdict:
    """Raises RunError where it cannot be judged."""
    check_judged(a, b, seeds)
    return _verdict([("", comparison, seeds)], margin)


def judge_contrasts(answers: Sequence[Answer[Declared]], margin: float) -> Verdict:
    """Of every declared contrast. Raises RunError where one cannot be judged, be it that it has no answer."""
    found = []
    for answer in answers:
        name = f"{answer.declared.suite}, {answer.declared.question!r}"
        if answer.comparison is None:
            raise RunError(f"--gate asks for every declared contrast, and {name} has no answer: {answer.problem}")
        check_judged(*answer.declared.pair(), answer.seeds)
        found.append((f"{name}: ", answer.comparison, answer.seeds))
    return _verdict(found, margin)


def check_judged(a: Run, b: Run, seeds: tuple[int, int]) -> None:
    """Raises RunError where a gate would say nothing of configurations: one seed each, one of fewer seeds than the
    suite beside the runs has, by the rule of `pipeline.runs.ranking`, or runs that were not made alike, unless one of
    them keeps by request what was not made as today (`--mix-seeds`). seeds: that were compared"""
    names = told_apart([a, b])
    if max(seeds) == 1:
        raise RunError(
            f"--gate cannot judge {names[0]} and {names[1]}: with one seed each, nothing is known of other"
            " trainings: train both with three seeds or more"
        )
    asked = asked_beside([a, b])
    few = [(name, number) for name, number in zip(names, seeds, strict=True) if number < asked]
    if few:
        raise RunError(f"--gate cannot judge these two: {fewer_text(few, asked)}")
    unlike = unlike_text([a, b])
    if unlike and not (a.features.mixed or b.features.mixed):
        raise RunError(
            f"--gate cannot judge {names[0]} and {names[1]}: they were not made alike ({unlike}): the same `erc ablate`"
            " or `erc train` trains again what was not made as today, or keeps it by request with --mix-seeds"
        )


def _verdict(found: Sequence[tuple[str, Comparison, tuple[int, int]]], margin: float) -> Verdict:
    failed, reaches = [], []
    for name, comparison, seeds in found:
        p = 1.0 if comparison.p_below is None else comparison.p_below
        if p > LEVEL:
            failed.append((name, comparison.headline.value, p))
        reaches.append(smallest_difference(comparison.reach.spread, seeds, 2 * LEVEL))  # one-sided
    known = [one for one in reaches if one is not None]
    return Verdict(margin, tuple(failed), len(found), margin + max(known) if len(known) == len(reaches) else None)
