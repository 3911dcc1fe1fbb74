"""How often a difference is found beside the power that is stated, and how often a gate lets through what it should
not, over simulated corpora with dialogues and trainings."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from comparison_factory import World, draw

from pipeline.comparison.permutation import SwapTest, swap_test
from pipeline.comparison.power import LEVEL, power, smallest_difference

pytestmark = pytest.mark.slow

TIMES = {1: 1500, 2: 750, 3: 600, 5: 501}  # suites of so many seeds; a rate of 0.8 is known to 1 to 2 points
REPLICATES = 400


def simulated(world: World, seed: int) -> list[SwapTest]:
    random = np.random.default_rng(seed)
    return [swap_test(*draw(world, random).arms(), REPLICATES, random) for _ in range(TIMES[world.seeds])]


WORLDS = [
    World(seeds=1, gain=0.34),
    World(seeds=2, of_training=0.05, gain=0.6),
    World(seeds=3, of_arm=0.3, of_training=0.1, gain=0.45),
    World(seeds=5, of_arm=0.5, of_training=0.05, gain=0.3),
]


@pytest.mark.parametrize("world", WORLDS, ids=lambda world: f"{world.seeds}-seeds")
def test_stated_power_is_within_three_points_of_the_simulated_one(world: World) -> None:
    """Each suite states it from its own predictions; the truth is how often such suites find the difference. A gate
    whose margin is that very difference passes at most as often as it says."""
    tests, seeds = simulated(world, 21), (world.seeds, world.seeds)
    truth = float(np.mean([test.observed for test in tests]))
    found = float(np.mean([test.p_value <= LEVEL for test in tests]))
    stated = float(np.mean([power(truth, test.spread, seeds) for test in tests]))
    smallest = np.median([smallest_difference(test.spread, seeds) or 1.0 for test in tests])
    passed = float(np.mean([test.p_below(truth) <= LEVEL for test in tests]))
    print(f"difference {truth:.4f}: found {found:.3f}, stated {stated:.3f}; smallest {smallest:.4f}; gate {passed:.3f}")
    assert 0.7 < found < 0.9
    assert abs(found - stated) <= 0.03
    assert passed <= 0.065  # 5% and one and a half standard errors


@pytest.mark.parametrize(
    "world",
    [World(seeds=2, of_training=0.05), World(seeds=3, of_arm=0.5, of_training=0.2), World(seeds=5, of_arm=1.0)],
    ids=lambda world: f"{world.seeds}-seeds",
)
def test_a_null_suite_passes_the_gate_at_most_as_often_as_said(world: World) -> None:
    """A suite of three questions passes where all three do; one question by itself is the worst case."""
    tests = simulated(replace(world, gain=0.0), 22)
    alone = np.array([test.p_below(0.0) <= LEVEL for test in tests])
    suites = alone.reshape(-1, 3).all(axis=1)
    print(f"passed: one question {alone.mean():.3f}, suites of three {suites.mean():.3f}")
    assert 0.01 < alone.mean() <= 0.065
    assert suites.mean() <= 0.01
