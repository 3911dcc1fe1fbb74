"""Comparisons: scikit-learn scores the resamples, enumeration the swaps, and nothing depends on the order of rows."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import polars as pl
import pytest
from comparison_factory import LABELS, frame, random_frames
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, f1_score

from features.errors import RunError, UsageError
from pipeline.comparison.bootstrap import draw_dialogues, draw_seeds, resampled_scores
from pipeline.comparison.compare import compare, margin_interval, score_interval
from pipeline.comparison.counts import Frames, read_arm
from pipeline.comparison.flips import ONLY_A, ONLY_B, average_predictions, flipped, mcnemar
from pipeline.comparison.holm import holm
from pipeline.comparison.permutation import shuffled_variance, swap_p_value, swapped_differences

SKLEARN: dict[str, Any] = {"labels": list(LABELS), "zero_division": 0}


def labelled(table: pl.DataFrame) -> pl.DataFrame:
    return table.filter(pl.col("gold").is_not_null())


def sklearn_f1(table: pl.DataFrame, average: str | None = "weighted") -> Any:
    return f1_score(table["gold"].to_list(), table["predicted"].to_list(), average=average, **SKLEARN)


def resample(table: pl.DataFrame, names: list[str], times: np.ndarray) -> pl.DataFrame:
    """The rows themselves, each dialogue as often as it was drawn."""
    parts = [
        table.filter(pl.col("dialogue_id") == name) for name, k in zip(names, times, strict=True) for _ in range(int(k))
    ]
    return pl.concat(parts)


@given(seed=st.integers(0, 10_000), dialogues=st.integers(1, 6), skill=st.floats(0, 1), unlabelled=st.floats(0, 0.9))
@settings(max_examples=60, deadline=None)
def test_each_replicate_scores_as_scikit_learn_on_the_drawn_rows(
    seed: int, dialogues: int, skill: float, unlabelled: float
) -> None:
    frames = random_frames(seed, (3, 5), dialogues, skill, corpus=seed, unlabelled=unlabelled)
    arm = read_arm(frames, LABELS)
    random = np.random.default_rng(seed)
    weights = draw_dialogues(arm.dialogues, 5, random)
    seeds = draw_seeds(arm, 5, random)
    values = resampled_scores(arm, weights, seeds)
    assert weights.sum(axis=1).tolist() == [arm.dialogues] * 5
    for row in range(5):
        table = labelled(frames[(3, 5)[seeds[row]]])
        drawn = resample(table, sorted(table["dialogue_id"].unique()), weights[row])
        assert values.weighted_f1[row] == pytest.approx(sklearn_f1(drawn), abs=1e-12)
        assert values.class_f1[row] == pytest.approx(sklearn_f1(drawn, None), abs=1e-12)
        accuracy = accuracy_score(drawn["gold"].to_list(), drawn["predicted"].to_list())
        assert values.accuracy[row] == pytest.approx(accuracy, abs=1e-12)


@given(seed=st.integers(0, 10_000))
@settings(max_examples=20, deadline=None)
def test_the_difference_is_that_of_scikit_learns_means(seed: int) -> None:
    a, b = random_frames(seed, (0, 1, 2), corpus=seed), random_frames(seed + 1, (4, 9), corpus=seed)
    found = compare(a, b, LABELS, replicates=50)
    means = [np.mean([sklearn_f1(labelled(table)) for table in frames.values()]) for frames in (a, b)]
    classes = [np.mean([sklearn_f1(labelled(table), None) for table in frames.values()], axis=0) for frames in (a, b)]
    assert found.weighted_f1.value == pytest.approx(means[0] - means[1], abs=1e-12)
    assert [one.value for one in found.per_class_f1.values()] == pytest.approx(list(classes[0] - classes[1]), abs=1e-12)
    assert list(found.per_class_f1) == list(LABELS)
    assert found.utterances == labelled(a[0]).height
    assert found.dialogues == labelled(a[0])["dialogue_id"].n_unique()


def test_a_class_that_a_resample_lacks_scores_0_and_does_not_weigh() -> None:
    # Fear occurs in the second dialogue alone.
    arm = read_arm({0: frame([0, 0, 1], [0, 1, 2], [0, 1, 2])}, LABELS)
    values = resampled_scores(arm, np.array([[2.0, 0.0]]), np.array([0]))
    assert values.class_f1.tolist() == [[1.0, 1.0, 0.0]]
    assert values.weighted_f1.tolist() == [1.0]


def test_the_interval_is_of_paired_dialogues_and_one_seed_an_arm() -> None:
    """Enumerated: two dialogues, two seeds of A, one of B."""
    a = {0: frame([0, 0, 1, 1], [0, 1, 0, 1], [0, 1, 0, 0]), 1: frame([0, 0, 1, 1], [0, 1, 0, 1], [0, 0, 1, 1])}
    b = {0: frame([0, 0, 1, 1], [0, 1, 0, 1], [1, 1, 0, 1])}
    possible = []
    for drawn, seed in itertools.product(itertools.product("01", repeat=2), (0, 1)):
        tables = [pl.concat([t.filter(pl.col("dialogue_id") == f"d00{one}") for one in drawn]) for t in (a[seed], b[0])]
        possible.append(sklearn_f1(tables[0]) - sklearn_f1(tables[1]))
    found = compare(a, b, LABELS, replicates=4000).weighted_f1.interval
    # Each of the eight has chance 1/8, so the bounds of the middle 95% are the smallest and the largest.
    assert found.low == pytest.approx(min(possible), abs=1e-12)
    assert found.high == pytest.approx(max(possible), abs=1e-12)


def test_every_seed_of_both_arms_is_drawn() -> None:
    """All dialogues are alike, so that only the seeds' draw makes a difference."""
    right, wrong = frame(range(5), [0] * 5, [0] * 5), frame(range(5), [0] * 5, [1] * 5)
    found = compare({0: right, 1: wrong}, {0: right, 1: wrong}, LABELS, replicates=400).weighted_f1
    assert (found.value, found.interval.low, found.interval.high) == (0, -1, 1)


def test_equal_input_gives_equal_numbers_whatever_the_order_of_rows_and_seeds() -> None:
    a, b = random_frames(1), random_frames(2)
    expected = compare(a, b, LABELS, replicates=200)
    assert compare(a, b, LABELS, replicates=200) == expected
    assert compare(a, b, LABELS, replicates=200, seed=1) != expected
    mixed_a = {seed: a[seed].sample(fraction=1, shuffle=True, seed=seed) for seed in reversed(a)}
    mixed_b = {seed: b[seed].reverse() for seed in b}
    assert compare(mixed_a, mixed_b, LABELS, replicates=200) == expected


def test_unlabelled_rows_and_dialogues_without_labels_are_as_if_they_were_not_there() -> None:
    a, b = random_frames(1, unlabelled=0.0), random_frames(2, unlabelled=0.0)
    expected = compare(a, b, LABELS, replicates=200)

    def with_more(frames: Frames) -> Frames:
        more = {}
        for seed, table in frames.items():
            extra = frame([0, 90, 90], [None, None, None], [0, 1, 2]).with_columns(
                utterance_id=pl.Series(["a", "x", "y"])
            )
            more[seed] = pl.concat([table, extra])
        return more

    assert compare(with_more(a), with_more(b), LABELS, replicates=200) == expected


def test_a_run_against_itself_differs_by_nothing() -> None:
    one = {0: random_frames(1)[0]}
    found = compare(one, one, LABELS, replicates=200)
    assert found.weighted_f1.value == 0
    assert (found.weighted_f1.interval.low, found.weighted_f1.interval.high) == (0, 0)
    assert found.p_value == 1
    three = random_frames(1)
    assert compare(three, three, LABELS, replicates=200).p_value == 1


def test_a_large_difference_is_found() -> None:
    found = compare(random_frames(1, skill=0.9, dialogues=40), random_frames(2, skill=0.3, dialogues=40), LABELS)
    assert found.weighted_f1.interval.low > 0.2
    assert found.p_value < 0.01
    reverse = compare(random_frames(2, skill=0.3, dialogues=40), random_frames(1, skill=0.9, dialogues=40), LABELS)
    assert reverse.weighted_f1.value == -found.weighted_f1.value
    assert reverse.p_value < 0.01


# The p-value


def swapped_by_hand(a: Frames, b: Frames, names: list[str], swapped: tuple[int, ...]) -> float:
    """The difference of means where the rows of some dialogues have changed arms, for every pair of seeds."""
    moved = [name for name, swap in zip(names, swapped, strict=True) if swap]
    differences = []
    for one, other in itertools.product(a.values(), b.values()):
        one, other = labelled(one), labelled(other)
        there = pl.col("dialogue_id").is_in(moved)
        first = pl.concat([one.filter(~there), other.filter(there)])
        second = pl.concat([other.filter(~there), one.filter(there)])
        differences.append(sklearn_f1(first) - sklearn_f1(second))
    return float(np.mean(differences))


@pytest.mark.parametrize(("seeds_a", "seeds_b"), [((0,), (0,)), ((0, 1, 2), (5, 6))])
def test_swaps_are_those_of_rows(seeds_a: tuple[int, ...], seeds_b: tuple[int, ...]) -> None:
    a, b = random_frames(1, seeds_a, 5), random_frames(2, seeds_b, 5)
    arm_a, arm_b = read_arm(a, LABELS), read_arm(b, LABELS)
    names = sorted(labelled(a[0])["dialogue_id"].unique())
    every = list(itertools.product((0, 1), repeat=len(names)))
    found = swapped_differences(arm_a, arm_b, np.array(every, dtype=bool))
    assert found == pytest.approx([swapped_by_hand(a, b, names, swapped) for swapped in every], abs=1e-12)


def test_the_p_value_of_one_seed_each_is_that_of_all_possible_swaps() -> None:
    a, b = random_frames(3, (0,), 6, skill=0.7), random_frames(4, (0,), 6, skill=0.4)
    arm_a, arm_b = read_arm(a, LABELS), read_arm(b, LABELS)
    names = sorted(labelled(a[0])["dialogue_id"].unique())
    null = [swapped_by_hand(a, b, names, swapped) for swapped in itertools.product((0, 1), repeat=len(names))]
    exact = np.mean(np.abs(null) >= abs(null[0]) - 1e-12)
    assert 0.02 < exact < 0.9
    drawn = swap_p_value(arm_a, arm_b, 20_000, np.random.default_rng(0))
    assert drawn == pytest.approx(exact, abs=0.015)


def test_the_smallest_p_value_is_one_in_replicates_and_one() -> None:
    right, wrong = frame(range(40), [0] * 40, [0] * 40), frame(range(40), [0] * 40, [1] * 40)
    assert compare({0: right}, {0: wrong}, LABELS, replicates=99).p_value == 0.01


def test_seeds_that_agree_add_nothing_to_the_swaps() -> None:
    """Three equal heads of an arm are as one."""
    a, b = random_frames(3, (0,), 30, skill=0.6), random_frames(4, (0,), 30, skill=0.4)
    arms = [read_arm(dict.fromkeys(range(3), frames[0]), LABELS) for frames in (a, b)]
    single = [read_arm(frames, LABELS) for frames in (a, b)]
    assert shuffled_variance(arms[0], np.random.default_rng(0)) == pytest.approx(0, abs=1e-20)
    three, one = (swap_p_value(first, second, 5000, np.random.default_rng(0)) for first, second in (arms, single))
    assert three == pytest.approx(one, abs=0.002)


def test_trainings_that_differ_everywhere_make_a_difference_unsure() -> None:
    """Two of A's three trainings are good in every dialogue, as one of B's is: swaps alone would call that certain."""
    dialogues, gold = list(range(200)), [0] * 200
    good, bad = frame(dialogues, gold, [0] * 180 + [1] * 20), frame(dialogues, gold, [0] * 120 + [1] * 80)
    arm_a, arm_b = read_arm({0: good, 1: good, 2: bad}, LABELS), read_arm({0: good, 1: bad, 2: bad}, LABELS)
    swaps = swapped_differences(arm_a, arm_b, np.random.default_rng(0).random((2000, 200)) < 0.5)
    observed = arm_a.seed_scores().weighted_f1.mean() - arm_b.seed_scores().weighted_f1.mean()
    assert (np.abs(swaps) >= observed).mean() < 0.001
    assert swap_p_value(arm_a, arm_b, 2000, np.random.default_rng(0)) > 0.3


def test_seeds_shuffled_within_dialogues_vary_as_their_dialogues_do() -> None:
    """Of accuracy-like counts: n dialogues of one utterance, of which each seed has its own half right."""
    random = np.random.default_rng(0)
    frames = {seed: frame(range(300), [0] * 300, list(random.integers(2, size=300))) for seed in range(4)}
    arm = read_arm(frames, LABELS)
    right = arm.hits[:, :, 0]
    per_dialogue = right.var(axis=0, ddof=1).sum() / 300**2  # of the accuracy, if dialogues are independent
    accuracy = right.mean()
    slope = 2 / (1 + accuracy) ** 2  # weighted F1 here is 2 accuracy / (1 + accuracy)
    assert shuffled_variance(arm, random) == pytest.approx(slope**2 * per_dialogue, rel=0.2)


# Holm


@pytest.mark.parametrize(
    ("p_values", "adjusted"),
    [
        ([], []),
        ([0.03], [0.03]),
        # 0.005 * 4 = 0.02; 0.01 * 3 = 0.03; 0.03 * 2 = 0.06; 0.04 * 1 = 0.04, at least its predecessor's 0.06
        ([0.01, 0.04, 0.03, 0.005], [0.03, 0.06, 0.06, 0.02]),
        ([0.5, 0.9], [1.0, 1.0]),
        ([0.02, 0.02, 0.02], [0.06, 0.06, 0.06]),
    ],
)
def test_holm_by_hand(p_values: list[float], adjusted: list[float]) -> None:
    assert holm(p_values) == pytest.approx(adjusted)


def test_holm_refuses_what_is_no_p_value() -> None:
    with pytest.raises(UsageError, match=r"a p-value lies between 0 and 1, not at 1\.2"):
        holm([0.1, 1.2])
    with pytest.raises(UsageError, match="not at nan"):
        holm([float("nan")])


# One run


def test_a_runs_interval_holds_its_mean_and_narrows_with_dialogues() -> None:
    few, many = random_frames(1, dialogues=20, skill=0.5), random_frames(1, dialogues=320, skill=0.5)
    widths = []
    for frames in (few, many):
        found = score_interval(frames, LABELS)
        mean = np.mean([sklearn_f1(labelled(table)) for table in frames.values()])
        assert found.low < mean < found.high
        widths.append(found.high - found.low)
    assert 2.5 < widths[0] / widths[1] < 6  # about the root of 16


def test_the_margin_over_a_constant_is_the_comparison_with_it() -> None:
    frames = random_frames(1, dialogues=30)
    table = labelled(frames[0])
    constant = table.with_columns(predicted=pl.lit("anger"))
    margin = margin_interval(frames, "anger", LABELS)
    assert margin.value == pytest.approx(compare(frames, {0: constant}, LABELS).weighted_f1.value, abs=1e-12)
    # With one seed nothing but dialogues is drawn: bounds are those of compare, which draws the same dialogues.
    one = {0: frames[0]}
    assert margin_interval(one, "anger", LABELS) == compare(one, {0: constant}, LABELS).weighted_f1
    with pytest.raises(UsageError, match="no label 'angr': did you mean 'anger'"):
        margin_interval(frames, "angr", LABELS)


# Flips


def test_flips_are_of_the_seeds_mean_probabilities() -> None:
    def two(chances: list[float]) -> pl.DataFrame:
        return pl.DataFrame(
            {
                "utterance_id": ["u1", "u2", "u3"],
                "dialogue_id": ["d1", "d1", "d2"],
                "gold": ["joy", "anger", "joy"],
                "predicted": ["joy" if chance > 0.5 else "anger" for chance in chances],
                "p_joy": chances,
                "p_anger": [1 - chance for chance in chances],
            }
        )

    # u1: two of A's three seeds say anger, but the mean says joy.
    a = {0: two([0.45, 0.2, 0.9]), 1: two([0.45, 0.2, 0.9]), 2: two([0.95, 0.2, 0.9])}
    b = {0: two([0.3, 0.9, 0.2]).reverse()}
    averages = average_predictions(a, b, ["joy", "anger"])
    assert averages["utterance_id"].to_list() == ["u1", "u2", "u3"]
    assert averages["flip"].to_list() == [ONLY_A, ONLY_A, ONLY_A]
    assert averages["predicted_a"].to_list() == ["joy", "anger", "joy"]
    assert averages["change"].to_list() == pytest.approx([0.6167 - 0.3, 0.8 - 0.1, 0.9 - 0.2], abs=1e-4)
    assert flipped(averages)["utterance_id"].to_list()[-1] == "u1"
    assert average_predictions(b, a, ["joy", "anger"])["flip"].to_list() == [ONLY_B] * 3


def test_mcnemar_by_hand() -> None:
    # 6 utterances that only A gets right and 1 that only B does: two-sided binomial, 2 * (1 + 7) / 2**7.
    gold = [0] * 9
    a = {0: frame(range(9), gold, [0] * 6 + [1, 0, 1])}
    b = {0: frame(range(9), gold, [1] * 6 + [0, 0, 1])}
    found = mcnemar(average_predictions(a, b, LABELS))
    assert (found.only_a, found.only_b) == (6, 1)
    assert found.p_value == pytest.approx(0.125)
    assert mcnemar(average_predictions(a, a, LABELS)).p_value == 1


# What cannot be compared


def refused(a: Frames, b: Frames, message: str) -> None:
    with pytest.raises(RunError, match=message):
        compare(a, b, LABELS, replicates=100)


def test_what_cannot_be_compared_is_refused_in_one_line() -> None:
    a = random_frames(1)
    refused({}, a, "no predictions to compare")
    without = {seed: table.drop("dialogue_id") for seed, table in a.items()}
    refused(a, without, "seed 0 have no column dialogue_id: make them again with `erc evaluate RUN --split SPLIT`")
    refused(a, random_frames(1, corpus=7), r"other labelled utterances \(\d+ only in A, \d+ only in B, such as 'u")
    other_dialogues = {seed: table.with_columns(dialogue_id=pl.lit("d")) for seed, table in a.items()}
    refused(a, other_dialogues, r"other dialogues for \d+ utterances, such as 'u0\d+' \('d00\d' and 'd'\)")
    turned = {"joy": "fear", "fear": "joy", "anger": "anger"}
    other_labels = {
        seed: table.with_columns(pl.col("gold").replace_strict(turned, return_dtype=pl.String))
        for seed, table in a.items()
    }
    refused(a, other_labels, "other labels for .* score both with one manifest")
    refused({0: a[0], 1: other_labels[1]}, a, "seed 1 are for other utterances or labels than those of seed 0")
    refused(
        a, {0: a[0].with_columns(predicted=pl.lit("glee"))}, "the label 'glee', which is not one of: joy, anger, fear"
    )
    refused(a, {0: a[0].with_columns(gold=pl.lit(None, pl.String))}, "no utterance is labelled")
    with pytest.raises(UsageError, match=r"replicates \(0\) must be at least 1"):
        compare(a, a, LABELS, replicates=0)
