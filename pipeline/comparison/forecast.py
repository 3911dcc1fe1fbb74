"""What a suite will be able to show, before it is run: from runs that are there, else from the size of the split."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice, pairwise
from pathlib import Path
from statistics import median

import numpy as np
import polars as pl

from features.errors import ErcError
from features.manifest import Manifest
from pipeline.comparison.counts import check_same_utterances, read_arm
from pipeline.comparison.permutation import swap_test
from pipeline.comparison.power import LEVEL, MOST_SEEDS, Spread, seeds_needed, smallest_difference
from pipeline.comparison.read import read_declared, read_predictions
from pipeline.runs.folder import Run, find_runs
from pipeline.runs.splits import SELECTION_SPLIT

_PAIRS, _REPLICATES = 6, 500
# Of MELD's text on dev (1,109 labelled utterances, docs/comparison.md): seeds deviate by 0.43 points, and a head by
# 0.59 by its flips; means of 20 seeds each that differ by 1.14 points have p = 0.039, so 2.064 deviations. All these
# variances are taken to shrink with the number of utterances.
_UTTERANCES = 1109
_OF_SEEDS, _OF_FLIPS = 0.0043**2, 0.0059**2
_OF_DIALOGUES = (0.0114 / 2.064) ** 2 - 2 * _OF_SEEDS / 20


@dataclass(frozen=True)
class Forecast:
    """smallest, point_takes, level: as of `compare.Reach`; seeds: of each experiment; contrasts: that are asked
    pairs: of runs that it is from, by the median of their variances; 0 where MELD's are assumed
    utterances: labelled ones of dev
    """

    smallest: float | None
    point_takes: int | None
    level: float
    seeds: int
    contrasts: int
    pairs: int
    utterances: int

    def text(self) -> str:
        """In a sentence or two."""
        basis = (
            f"as the runs that are there vary ({self.pairs} pair{'s' if self.pairs > 1 else ''})"
            if self.pairs
            else f"a rough figure: as MELD's text heads vary, for {self.utterances:,} labelled utterances"
        )
        asked = f"each of {self.contrasts} contrasts" if self.contrasts > 1 else "a contrast"
        shown = "no difference" if self.smallest is None else f"a true difference of {100 * self.smallest:.1f} points"
        takes = (
            f"one point takes more than {MOST_SEEDS} seeds: dev is too small for it"
            if self.point_takes is None
            else f"one point takes {self.point_takes} seeds"
        )
        each = "one seed" if self.seeds == 1 else f"{self.seeds} seeds"
        return f"with {each} an experiment, {asked} shows {shown} in 4 of 5 cases on dev; {takes} ({basis})"


def forecast(runs: Path, manifest: Manifest, seeds: int, contrasts: int) -> Forecast | None:
    """None where dev has no labelled utterance. runs: a folder of runs, which need not be there."""
    dev = manifest.frame.filter(manifest.frame["split"] == SELECTION_SPLIT)
    utterances = dev["label"].count()
    if not utterances:
        return None
    found = list(islice(_spreads(runs, manifest), _PAIRS))
    spread = _median(found) if found else _assumed(dev)
    level = LEVEL / max(1, contrasts)
    if seeds == 1:  # the test is of the very heads then, whose flips are part of what dialogues differ in
        flips = spread.seeds if found else _OF_FLIPS * _UTTERANCES / utterances
        single = Spread(spread.dialogues + 2 * flips, uneven=spread.uneven)
        smallest = smallest_difference(single, (1, 1), level)
    else:
        smallest = smallest_difference(spread, (seeds, seeds), level)
    return Forecast(smallest, seeds_needed(spread, level=level), level, seeds, contrasts, len(found), utterances)


def _median(found: Sequence[Spread]) -> Spread:
    dialogues, seeds, uneven = (
        median(getattr(one, name) for one in found) for name in ("dialogues", "seeds", "uneven")
    )
    return Spread(dialogues, seeds, found[0].freedom, uneven)


def _assumed(dev: pl.DataFrame) -> Spread:
    """MELD's, for as many labelled utterances as dev has."""
    sizes = dev.filter(pl.col("label").is_not_null()).group_by("dialogue_id").len()["len"].to_numpy()
    scale = _UTTERANCES / sizes.sum()
    return Spread(_OF_DIALOGUES * scale, _OF_SEEDS * scale, 2, float(np.square(sizes / sizes.sum()).sum()))


def _spreads(runs: Path, manifest: Manifest) -> Iterator[Spread]:
    """Of the contrasts that suites in the folder declare, else of runs that stand side by side there; of this corpus,
    with two seeds or more. What cannot be compared is passed over."""
    random = np.random.default_rng(0)
    for a, b in _pairs(runs):
        try:
            facts = a.features.manifest
            if facts.dataset != manifest.card.dataset or a.labels != tuple(manifest.card.labels):
                continue
            one, two = (read_arm(read_predictions(run, SELECTION_SPLIT), a.labels, facts.criterion) for run in (a, b))
            check_same_utterances(one, two)
            if min(one.seeds, two.seeds) > 1:
                yield swap_test(one, two, _REPLICATES, random).spread
        except ErcError:
            continue


def _pairs(runs: Path) -> Iterator[tuple[Run, Run]]:
    try:
        declared = read_declared(runs)
    except ErcError:
        declared = []
    found = False
    for contrast in declared:
        try:
            yield contrast.pair()
            found = True
        except ErcError:
            continue
    if not found:
        try:
            yield from pairwise(find_runs([runs]))
        except ErcError:
            return
