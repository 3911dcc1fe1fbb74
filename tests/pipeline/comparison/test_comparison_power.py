"""What a comparison could show: against the noncentral t where one is exact, and what follows from it."""

from __future__ import annotations

from math import sqrt
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import numpy as np
import polars as pl
import pytest
from comparison_factory import LABELS, random_frames
from scipy.stats import nct, norm, t

from features.manifest import Manifest
from pipeline.comparison.compare import compare
from pipeline.comparison.counts import read_arm
from pipeline.comparison.forecast import forecast
from pipeline.comparison.places import Places, places_of
from pipeline.comparison.power import LEVEL, Spread, power, seeds_needed, smallest_difference


@pytest.mark.parametrize("seeds", [2, 3, 5, 20])
@pytest.mark.parametrize("level", [0.05, 0.05 / 20])
def test_where_seeds_alone_vary_it_is_the_power_of_a_t_test(seeds: int, level: float) -> None:
    freedom, error = 2 * seeds - 2, 0.005 * sqrt(2 / seeds)
    bound = t.ppf(1 - level / 2, freedom)
    for difference in (0.0, 0.004, 0.01, 0.03):
        below = nct.cdf(-bound, freedom, difference / error)  # nan where it is next to nothing
        exact = nct.sf(bound, freedom, difference / error) + np.nan_to_num(below)
        assert power(difference, Spread(0.0, 0.005**2, freedom), (seeds, seeds), level) == pytest.approx(
            exact, abs=2e-3
        )


def test_where_dialogues_alone_vary_it_is_the_power_of_a_normal_test() -> None:
    spread = Spread(5e-5)
    exact = (norm.ppf(0.975) + norm.ppf(0.8)) * sqrt(5e-5)
    assert smallest_difference(spread, (1, 1)) == pytest.approx(exact, rel=1e-3)
    assert power(exact, spread, (1, 1)) == pytest.approx(0.8, abs=1e-3)
    assert power(-exact, spread, (1, 1)) == power(exact, spread, (1, 1))
    assert seeds_needed(spread) is None  # one seed each says nothing of others


def test_both_together_against_drawn_suites() -> None:
    spread, seeds, random = Spread(5e-5, 2e-5, 4), 3, np.random.default_rng(4)
    within = spread.seeds * 2 / seeds
    estimates = within * random.chisquare(4, 300) / 4
    normal, student = random.normal(size=20_000), random.standard_t(4, size=20_000)
    null = np.abs(sqrt(spread.dialogues) * normal + np.sqrt(estimates)[:, None] * student)
    bounds = np.quantile(null, 1 - LEVEL, axis=1)
    drawn = 0.02 + sqrt(spread.dialogues + within) * random.normal(size=(300, 2000))
    assert power(0.02, spread, (3, 3)) == pytest.approx((np.abs(drawn) > bounds[:, None]).mean(), abs=0.01)


def test_seeds_needed_are_the_fewest_that_suffice_and_none_where_dialogues_are_too_few() -> None:
    spread = Spread(1e-6, 4e-5, 8)
    needed = seeds_needed(spread, 0.01)
    assert needed is not None
    assert power(0.01, spread, (needed, needed)) >= 0.8 > power(0.01, spread, (needed - 1, needed - 1))
    assert (smallest_difference(spread, (needed, needed)) or 1.0) <= 0.01
    assert seeds_needed(Spread(2e-5, 4e-5, 8), 0.01) is None
    stricter = smallest_difference(spread, (5, 5), LEVEL / 10)
    assert (stricter or 0.0) > 1.3 * (smallest_difference(spread, (5, 5)) or 1.0)


def test_identical_heads_have_no_reach_to_tell_and_one_sided_p_moves_with_the_margin() -> None:
    a, b = random_frames(1, dialogues=60, skill=0.7), random_frames(2, dialogues=60, skill=0.3)
    found = [compare(a, b, LABELS, replicates=500, margin=margin).p_below for margin in (-0.1, 0.0, 0.3, 0.9)]
    assert None not in found
    assert (found[1] or 1.0) < 0.05 < (found[2] or 0.0)
    assert found == sorted(found, key=lambda p: p or 0.0)
    assert found[3] == 1.0
    assert compare(a, b, LABELS, replicates=500).p_below is None
    same = compare(a, a, LABELS, replicates=200)
    assert same.headline.value == 0
    assert same.reach.smallest is not None


def test_places_are_those_of_resampled_scores() -> None:
    skills = {"best": 0.95, "middle": 0.5, "alike": 0.5, "worst": 0.02}
    arms = {
        name: read_arm(random_frames(place, dialogues=80, skill=skill), LABELS)
        for place, (name, skill) in enumerate(skills.items())
    }
    found = places_of(arms, replicates=500)
    assert found["best"] == Places(1, 1)
    assert found["worst"] == Places(4, 4)
    assert found["middle"] == found["alike"] == Places(2, 3)
    assert places_of(arms, replicates=500) == found


def test_without_runs_a_forecast_goes_by_the_size_of_dev(tmp_path: Path) -> None:
    def smallest(dialogues: int, seeds: int, contrasts: int = 1) -> float:
        rows = {"split": ["dev"] * (10 * dialogues), "label": ["joy"] * (10 * dialogues)}
        frame = pl.DataFrame(rows | {"dialogue_id": [f"d{number // 10}" for number in range(10 * dialogues)]})
        found = forecast(tmp_path, cast(Manifest, SimpleNamespace(frame=frame)), seeds, contrasts)
        assert found is not None
        assert (found.pairs, found.utterances) == (0, 10 * dialogues)
        return found.smallest or 1.0

    assert smallest(111, 5) == pytest.approx(0.018, abs=0.001)  # MELD's own size
    assert smallest(444, 5) == pytest.approx(smallest(111, 5) / 2, rel=0.05)
    assert smallest(111, 2) > smallest(111, 5) < smallest(111, 5, contrasts=10)
