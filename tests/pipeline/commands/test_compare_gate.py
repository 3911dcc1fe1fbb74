"""`erc compare --gate MIN`: an exit status for CI, which fewer seeds and unanswered contrasts do not pass."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from comparison_factory import random_frames
from run_factory import add_suite
from test_compare_command import compared, make


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    for place, (name, skill) in enumerate([("best", 0.9), ("middle", 0.5), ("alike", 0.5)]):
        make(tmp_path, name, random_frames(place, dialogues=60, skill=skill), folder=name)
    return tmp_path


def test_a_pair_passes_only_where_the_difference_is_shown(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    best, middle, alike = (runs / name for name in ("best", "middle", "alike"))
    assert compared(best, middle, "--gate", 5) == 0
    assert "gate passed: A is shown to be better than B by more than 5 points" in capsys.readouterr().err
    assert compared(best, middle, "--gate", 60) == 3
    assert compared(middle, alike, "--gate", 0) == 3
    err = capsys.readouterr().err.splitlines()[-1]
    assert "gate not passed: A is not shown to be better than B by more than 0 points: " in err
    assert "points would pass in 4 of 5 cases" in err
    assert compared(middle, best, "--gate", 0) == 3
    assert compared(middle, alike, "--gate", -30) == 0  # not worse by more than 30
    capsys.readouterr()
    assert compared(best, middle, "--gate", 5, "--json") == 0
    gate = json.loads(capsys.readouterr().out)["gate"]
    assert (gate["margin"], gate["passed"], gate["failed"]) == (0.05, True, [])
    assert gate["reaches"] > 0.05
    assert compared(middle, alike) == 0  # without --gate no difference is no failure


def test_a_suite_passes_where_every_contrast_does(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    add_suite(runs, [("One?", "best", "middle"), ("Two?", "best", "alike")])
    assert compared(runs, "--gate", 1) == 0
    assert "A is in all 2 contrasts shown to be better" in capsys.readouterr().err
    add_suite(runs, [("One?", "best", "middle"), ("Null?", "alike", "middle")])
    assert compared(runs, "--gate", 1) == 3
    err = capsys.readouterr().err
    assert "fake, 'Null?': " in err
    assert "One?" not in err
    add_suite(runs, [("One?", "best", "middle"), ("Gone?", "best", "gone")])
    assert compared(runs, "--gate", 1) == 1
    assert "--gate asks for every declared contrast, and fake, 'Gone?' has no answer" in capsys.readouterr().err


def test_what_says_nothing_of_configurations_is_not_judged(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for place, name in enumerate(("one", "single")):
        make(runs, name, random_frames(place, (0,), dialogues=60, skill=0.9 - 0.6 * place), folder=name)
    assert compared(runs / "one", runs / "single", "--gate", 0) == 1
    assert "with one seed each, nothing is known of other trainings" in capsys.readouterr().err
    assert compared(runs / "one", runs / "middle", "--gate", 0) == 1
    assert "one (1 seed) has fewer than the 3 seeds that are asked for" in capsys.readouterr().err
    assert compared(runs / "one", runs / "middle") == 0  # shown, with a line
    assert "one (1 seed) has fewer than the 3 seeds" in capsys.readouterr().out
    add_suite(runs, [("Lucky?", "one", "middle")])
    assert compared(runs) == 0
    assert "one (1 seed) has fewer than the 3 seeds" in capsys.readouterr().err
    assert compared(runs, "--gate", 0) == 1
    assert compared(runs / "one", runs / "middle", "--gate", "much") == 2


def test_what_could_have_been_shown_stands_beside_each_difference(
    runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert compared(runs / "middle", runs / "alike", "--json") == 0
    document = json.loads(capsys.readouterr().out)
    reach = document["reach"]
    assert 0 < reach["smallest"] < 1
    assert document["macro_f1"]["interval"]["low"] < document["macro_f1"]["value"]
    assert compared(runs / "middle", runs / "alike") == 0
    out = capsys.readouterr().out
    assert f"show in 4 of 5 cases: {100 * reach['smallest']:.1f} points." in out
    assert "macro F1 " in out
    add_suite(runs, [("One?", "best", "middle"), ("Two?", "alike", "middle")])
    assert compared(runs) == 0
    out = capsys.readouterr().out
    assert "smallest  seeds a point" in out
    assert compared(runs, "--json") == 0
    one, two = json.loads(capsys.readouterr().out)["contrasts"]
    assert one["comparison"]["reach"]["level"] == two["comparison"]["reach"]["level"] == 0.025
