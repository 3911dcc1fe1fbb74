"""Runs that other code, libraries or devices made are compared and chosen from with a line that says so, and no gate
judges them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from comparison_factory import random_frames
from run_factory import add_suite
from suite_shell import Shell
from test_compare_command import compared, make

SOURCES = {"heads.model": "0" * 16, "heads.feedforward": "1" * 16}
TRAIN_AGAIN = "the same `erc ablate` or `erc train` trains again what was not made as today"


def record(folder: Path, **values: Any) -> None:
    """What every seed says of how it was made; of a mapping, beside what it said before."""
    for file in folder.glob("seed-*/result.json"):
        content = json.loads(file.read_text())
        for name, value in values.items():
            content[name] = content.get(name, {}) | value if value and isinstance(value, dict) else value
        file.write_text(json.dumps(content))


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    for place, (name, skill) in enumerate([("best", 0.9), ("middle", 0.5), ("alike", 0.5)]):
        record(make(tmp_path, name, random_frames(place, dialogues=60, skill=skill), folder=name), sources=SOURCES)
    return tmp_path


OTHER = [
    ({"sources": {"heads.feedforward": "2" * 16}}, "the code of heads.feedforward"),
    ({"versions": {"torch": "1.0"}}, "torch 1.0 and 2.14.1"),
    ({"device": "cuda:1"}, "the kind of device cpu and cuda"),
    ({"sources": {}, "versions": {}}, "unknown code of middle"),
]


@pytest.mark.parametrize(("other", "told"), OTHER)
def test_a_pair_says_so_and_a_gate_refuses(
    runs: Path, capsys: pytest.CaptureFixture[str], other: dict[str, Any], told: str
) -> None:
    record(runs / "middle", **other)
    pair = (runs / "best", runs / "middle")
    assert compared(*pair) == 0
    line = f"A and B were not made alike ({told}), which the difference holds, too: {TRAIN_AGAIN}."
    assert line in capsys.readouterr().out.splitlines()
    assert compared(*pair, "--json") == 0
    assert json.loads(capsys.readouterr().out)["unlike"] == told
    assert compared(*pair, "--gate", 5) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert f"--gate cannot judge best and middle: they were not made alike ({told}): {TRAIN_AGAIN}" in captured.err


@pytest.mark.parametrize(("other", "told"), OTHER)
def test_declared_contrasts_say_so_and_a_gate_refuses(
    runs: Path, capsys: pytest.CaptureFixture[str], other: dict[str, Any], told: str
) -> None:
    record(runs / "middle", **other)
    add_suite(runs, [("One?", "best", "middle"), ("Two?", "alike", "middle"), ("Three?", "best", "alike")])
    assert compared(runs) == 0
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"erc compare: 'One?' and 1 more: A and B were not made alike ({told}), ")
    assert compared(runs, "--json") == 0
    captured = capsys.readouterr()
    assert [one["unlike"] for one in json.loads(captured.out)["contrasts"]] == [told, told, None]
    assert captured.err.splitlines() == [line]
    assert compared(runs, "--gate", -90) == 1
    assert "they were not made alike" in capsys.readouterr().err


@pytest.mark.parametrize(
    "other",
    [
        {"sources": {"heads.losses.dice": "5" * 16, "heads.losses:dice": "6" * 16}, "precision": "bf16"},
        {"versions": {"transformers": "1.0", "python": "3.9"}, "processor": "another", "commit": "abc"},
    ],
)
def test_another_configuration_is_no_other_code(
    runs: Path, capsys: pytest.CaptureFixture[str], other: dict[str, Any]
) -> None:
    record(runs / "best", sources={"heads.losses.focal": "3" * 16, "heads.losses:focal": "4" * 16})
    record(runs / "middle", **other)
    assert compared(runs / "best", runs / "middle", "--gate", 5) == 0
    captured = capsys.readouterr()
    assert "alike" not in captured.out + captured.err
    assert compared(runs / "best", runs / "middle", "--json") == 0
    assert json.loads(capsys.readouterr().out)["unlike"] is None


def test_runs_of_before_it_was_recorded_are_alike_as_far_as_they_tell(
    runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("best", "middle"):
        record(runs / name, sources={}, versions={})
    assert compared(runs / "best", runs / "middle", "--gate", 5) == 0
    captured = capsys.readouterr()
    assert "not made alike" not in captured.out + captured.err
    record(runs / "middle", device="cuda")
    assert compared(runs / "best", runs / "middle") == 0
    assert "not made alike (the kind of device cpu and cuda)" in capsys.readouterr().out


def test_what_is_mixed_by_request_is_judged_with_the_line(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    record(runs / "middle", device="cuda")
    file = runs / "middle" / "features.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"mixed": True}))
    assert compared(runs / "best", runs / "middle", "--gate", 5) == 0
    captured = capsys.readouterr()
    assert "gate passed" in captured.err
    assert "not made alike (the kind of device cpu and cuda)" in captured.out


def test_a_retrained_arm_beside_an_old_one_in_a_suite(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], without_plots: None
) -> None:
    """Trained, edited, and one of the two trained again: the choice on dev and the comparison say so, until the other
    is trained again, or is kept by request."""
    shell, runs = Shell(tmp_path, capsys), tmp_path / "runs"
    chosen = ["--seeds", 3, "--only", "text", "--only", "both"]
    shell.ablate(*chosen)
    (old,), (new,) = runs.glob("text-????????"), runs.glob("both-????????")
    assert shell.erc("compare", new, old, "--gate", -90)[0] == 0
    record(old, sources={"heads.training.trainer": "0" * 16})
    told = "were not made alike (the code of heads.training.trainer)"
    select = ["evaluate", runs, "--split", "dev", "--select", "best-dev"]
    status, _, err = shell.erc(*select)
    assert (status, err) == (
        0,
        f"erc: the runs to choose from {told}, which their scores on dev hold, too: {TRAIN_AGAIN}\n",
    )
    assert told in shell.erc("compare", runs)[2]
    assert shell.erc("compare", new, old, "--gate", -90)[0] == 1
    shell.ablate(*chosen, "--mix-seeds")
    status, out, _ = shell.erc("compare", new, old, "--gate", -90)
    assert status == 0
    assert told in out
    shell.ablate(*chosen)
    status, out, _ = shell.erc("compare", new, old, "--gate", -90)
    assert (status, "alike" in out) == (0, False)
    assert shell.erc(*select)[::2] == (0, "")


def test_folders_of_one_name_are_two_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """As one suite trained by two versions into two folders gives them."""
    for place, (folder, skill) in enumerate([("before", 0.5), ("after", 0.5)]):
        record(make(tmp_path / folder, "text", random_frames(place, dialogues=60, skill=skill)), sources=SOURCES)
    (name,) = {path.name for path in tmp_path.glob("*/*")}
    pair = (tmp_path / "before" / name, tmp_path / "after" / name)
    assert compared(*pair, "--gate", -90) == 0
    assert f"; {pair[0]})" in capsys.readouterr().out
    record(pair[1], versions={"torch": "1.0"})
    assert compared(*pair, "--gate", -90) == 1
    told = "they were not made alike (torch 1.0 and 2.14.1)"
    assert f"--gate cannot judge {pair[0]} and {pair[1]}: {told}" in capsys.readouterr().err
    record(pair[0], sources={}, versions={})
    assert compared(*pair) == 0
    assert f"(unknown code of {pair[0]})" in capsys.readouterr().out
