"""How often intervals hold the truth and p-values are wrong, over simulated corpora with dialogues and trainings."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from comparison_factory import World, draw

from pipeline.comparison.bootstrap import draw_dialogues, draw_seeds, resampled_scores
from pipeline.comparison.counts import Arm
from pipeline.comparison.permutation import swap_p_value, swapped_differences

pytestmark = pytest.mark.slow

REPLICATES = 400


def true_difference(world: World) -> float:
    """Of the configurations, from 60,000 dialogues. There it makes no odds that weighted F1 is no mean."""
    a, b = draw(replace(world, dialogues=60_000, seeds=1, of_training=0.0), np.random.default_rng(99)).arms()
    return observed_difference(a, b)


def observed_difference(a: Arm, b: Arm) -> float:
    return float(a.seed_scores().weighted_f1.mean() - b.seed_scores().weighted_f1.mean())


def holds(arms: list[Arm], truth: float, random: np.random.Generator) -> bool:
    weights = draw_dialogues(arms[0].dialogues, REPLICATES, random)
    first, second = (resampled_scores(arm, weights, draw_seeds(arm, REPLICATES, random)) for arm in arms)
    low, high = np.quantile(first.weighted_f1 - second.weighted_f1, [0.025, 0.975])
    return bool(low <= truth <= high)


def test_the_interval_holds_the_truth_and_one_of_utterances_does_not() -> None:
    """Each arm finds other dialogues easy, so that utterances of one dialogue flip together."""
    world = World(seeds=1, of_arm=1.0, gain=0.3, dialogues=280)
    truth, random, times = true_difference(world), np.random.default_rng(5), 500
    assert truth > 0.02
    found = np.zeros((times, 2))
    for place in range(times):
        drawn = draw(world, random)
        found[place] = holds(drawn.arms(), truth, random), holds(drawn.arms_of_utterances(), truth, random)
    of_dialogues, of_utterances = found.mean(axis=0)
    print(f"coverage: dialogues {of_dialogues:.3f}, utterances {of_utterances:.3f}")
    assert 0.92 <= of_dialogues <= 0.98
    assert of_utterances < 0.85


def test_with_several_seeds_the_interval_is_of_one_training_and_wide_for_the_mean() -> None:
    world = World(seeds=5, of_arm=1.0, of_training=0.05, gain=0.3)
    truth, random = true_difference(world), np.random.default_rng(6)
    of_dialogues = np.mean([holds(draw(world, random).arms(), truth, random) for _ in range(300)])
    print(f"coverage of the configurations' difference: {of_dialogues:.3f}")
    assert of_dialogues >= 0.95


@pytest.mark.parametrize(
    "world",
    [
        World(seeds=1),
        World(seeds=2),
        World(seeds=3, of_training=0.05),
        World(seeds=5),
        World(seeds=5, of_training=0.05),
        World(seeds=5, of_training=0.3),
        World(seeds=5, of_arm=0.5, of_training=0.1),
        World(seeds=5, of_arm=1.0),
    ],
    ids=lambda world: f"{world.seeds}-seeds-arm-{world.of_arm}-training-{world.of_training}",
)
def test_false_positives_stay_near_five_in_a_hundred(world: World) -> None:
    random = np.random.default_rng(11)
    p_values = [swap_p_value(*draw(world, random).arms(), REPLICATES, random) for _ in range(500)]
    rate = float(np.mean(np.array(p_values) <= 0.05))
    print(f"false positives: {rate:.3f}")
    assert 0.02 <= rate <= 0.075


def test_swaps_alone_would_be_fooled_by_what_trainings_do_to_all_dialogues() -> None:
    """Why the p-value adds what seeds differ in."""
    world, random, found = World(seeds=5, of_training=0.1), np.random.default_rng(12), []
    for _ in range(200):
        a, b = draw(world, random).arms()
        null = swapped_differences(a, b, random.random((REPLICATES, a.dialogues)) < 0.5)
        found.append((np.abs(null) >= abs(observed_difference(a, b))).mean() <= 0.05)
    print(f"false positives of swaps alone: {np.mean(found):.3f}")
    assert np.mean(found) > 0.12


def test_a_real_difference_is_found() -> None:
    """Of about three points, at MELD's size."""
    world, random = World(seeds=5, of_arm=0.5, of_training=0.02, gain=0.3), np.random.default_rng(13)
    assert 0.02 < true_difference(world) < 0.04
    found = np.mean([swap_p_value(*draw(world, random).arms(), REPLICATES, random) <= 0.05 for _ in range(200)])
    print(f"power: {found:.3f}")
    assert found > 0.6
