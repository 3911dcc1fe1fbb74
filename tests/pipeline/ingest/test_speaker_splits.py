"""Whole speakers into splits: never parted, drawn by their names and the seed alone."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.errors import UsageError
from pipeline.ingest.speaker_splits import SplitChoice, choose_splits, units_of

TEN = [f"{number:02d}" for number in range(10)]


def choose(choice: SplitChoice, speakers: list[str] = TEN) -> dict[str, str]:
    return choose_splits(speakers, speakers, choice)


def in_split(splits: dict[str, str], name: str) -> list[str]:
    return [speaker for speaker, split in splits.items() if split == name]


def test_shares_and_seeds() -> None:
    splits = choose(SplitChoice(test=0.3, dev=0.2))
    assert (len(in_split(splits, "test")), len(in_split(splits, "dev")), len(in_split(splits, "train"))) == (3, 2, 5)
    assert choose(SplitChoice(test=0.3, dev=0.2), TEN[::-1] * 3) == splits
    assert {tuple(in_split(choose(SplitChoice(seed=seed)), "test")) for seed in range(5)} != {("00", "01")}
    assert len(in_split(choose(SplitChoice(test=0.01, dev=0.01)), "test")) == 1  # at least one
    assert set(choose(SplitChoice(test=0, dev=0)).values()) == {"train"}


def test_named_speakers() -> None:
    splits = choose(SplitChoice(test_speakers=("03", "07"), dev_speakers=("00",)))
    assert (in_split(splits, "test"), in_split(splits, "dev")) == (["03", "07"], ["00"])
    drawn = choose(SplitChoice(test_speakers=("03",), dev=0.2))
    assert (in_split(drawn, "test"), len(in_split(drawn, "dev"))) == (["03"], 2)


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        (SplitChoice(test_speakers=("3",)), "--test-speakers '3' is no speaker: did you mean '03'"),
        (SplitChoice(test_speakers=("03",), dev_speakers=("03",)), "'03' is with a test speaker already"),
        (SplitChoice(test=1.0, dev=-0.1), r"--test \(1\) must be a share .*; --dev \(-0\.1\) must be a share"),
        (SplitChoice(test=0.9, dev=0.5), "too few for train, dev and test: give --dev 0, --test 0"),
    ],
)
def test_choices_that_do_not_fit(choice: SplitChoice, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        choose(choice)


def test_who_speaks_together_stays_together() -> None:
    rows = [
        {"speaker": "ann", "dialogue": "1"},
        {"speaker": "bo", "dialogue": "1"},
        {"speaker": "cy", "dialogue": "2"},
        {"speaker": "bo", "dialogue": "3"},
        {"speaker": "di", "dialogue": "3"},
    ]
    assert units_of(rows) == ["ann", "ann", "cy", "ann", "ann"]
    splits = choose_splits(units_of(rows), [row["speaker"] for row in rows], SplitChoice(test_speakers=("di",), dev=0))
    assert splits == {"ann": "test", "cy": "train"}


names = st.sampled_from(TEN)


@given(st.lists(st.tuples(names, names), min_size=1, max_size=30), st.integers(0, 5))
def test_nothing_that_rows_share_is_ever_parted(pairs: list[tuple[str, str]], seed: int) -> None:
    rows = [{"speaker": speaker, "dialogue": dialogue} for speaker, dialogue in pairs]
    units = units_of(rows)
    try:
        splits = choose_splits(units, [row["speaker"] for row in rows], SplitChoice(seed=seed))
    except UsageError:
        assert len(set(units)) < 3
        return
    for kind in ("speaker", "dialogue"):
        places: dict[str, set[str]] = {}
        for row, unit in zip(rows, units, strict=True):
            places.setdefault(row[kind], set()).add(splits[unit])
        assert all(len(found) == 1 for found in places.values())
    order = list(range(len(rows)))
    random.Random(seed).shuffle(order)
    again = units_of([rows[index] for index in order])
    assert [units[index] for index in order] == again
