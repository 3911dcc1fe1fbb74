"""`erc compare`: two run folders, or the contrasts of a folder of runs."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from comparison_factory import LABELS, random_frames
from run_factory import add_suite, make_run
from sklearn.metrics import f1_score

from features.digests import sha256_file
from features.errors import RunError
from pipeline.cli import erc, run
from pipeline.comparison.compare import compare
from pipeline.comparison.contrasts import compare_declared
from pipeline.comparison.holm import holm

ROOT = Path(__file__).resolve().parents[3]
SUPPORT = dict.fromkeys(("train", "dev", "test"), (5, 5, 5))


def compared(*arguments: object) -> int:
    return run(erc, ["compare", *map(str, arguments)], "erc")


def make(runs: Path, name: str, frames: Mapping[int, pl.DataFrame], split: str = "dev", **settings: Any) -> Path:
    """A run folder whose predictions are these."""
    settings = {"labels": LABELS, "support": SUPPORT, "neutral": None, "seeds": tuple(frames)} | settings
    path = make_run(runs, name, **settings)
    for seed, table in frames.items():
        table.write_parquet(path / f"seed-{seed}" / f"predictions-{split}.parquet")
    return path


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Path, Path]:
    good, bad = random_frames(1, dialogues=30, skill=0.8), random_frames(2, dialogues=30, skill=0.3)
    return make(tmp_path, "good", good), make(tmp_path, "bad", bad)


def test_two_runs_as_json(pair: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    assert compared(*pair, "--json", "--replicates", 300, "--mcnemar", "--flipped", 3) == 0
    document = json.loads(capsys.readouterr().out)
    a, b = random_frames(1, dialogues=30, skill=0.8), random_frames(2, dialogues=30, skill=0.3)
    expected = compare(a, b, LABELS, replicates=300)
    assert document["weighted_f1"]["value"] == expected.weighted_f1.value
    assert document["weighted_f1"]["interval"] == {
        "low": expected.weighted_f1.interval.low,
        "high": expected.weighted_f1.interval.high,
    }
    assert document["p_value"] == expected.p_value
    assert document["a"]["experiment"] == "good"
    assert document["b"]["seeds"] == [0, 1, 2]
    first = a[0].filter(pl.col("gold").is_not_null())
    assert document["a"]["weighted_f1"]["values"][0] == pytest.approx(
        f1_score(first["gold"].to_list(), first["predicted"].to_list(), average="weighted", zero_division=0)
    )
    assert document["support"] == {label: int((first["gold"] == label).sum()) for label in LABELS}
    assert document["mcnemar"]["only_a"] == document["flipped"]["only_a"]
    assert document["mcnemar"]["assumes"] == "independent utterances"
    changes = [abs(row["change"]) for row in document["flipped"]["utterances"]]
    assert len(changes) == 3
    assert changes == sorted(changes, reverse=True)


def test_two_runs_as_text(pair: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    assert compared(*pair, "--replicates", 300) == 0
    text = capsys.readouterr().out
    assert re.search(r"A  good: dev weighted F1 [\d.]+ ± [\d.]+ %", text)
    assert "(3 seeds; bad-" in text
    a, b = random_frames(1, dialogues=30, skill=0.8), random_frames(2, dialogues=30, skill=0.3)
    assert f" points, p = {compare(a, b, LABELS, replicates=300).p_value:.3f}" in text
    for label in LABELS:
        assert f"F1 of {label}" in text
    assert "utterances that only A gets right" in text
    assert "p: the means over seeds" in text
    assert "McNemar" not in text
    assert compared(*pair, "--replicates", 300, "--mcnemar", "--flipped", 0) == 0
    text = capsys.readouterr().out
    assert "It assumes independent utterances" in text
    assert "u00" not in text


def test_comparing_loads_nothing_that_takes_seconds(pair: tuple[Path, Path]) -> None:
    code = f"from pipeline.cli import erc, run; run(erc, ['compare', {str(pair[0])!r}, {str(pair[1])!r}], 'erc')"
    code += "\nimport sys; print([name for name in ('torch', 'scipy', 'sklearn') if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize("ending", ["parquet", "csv"])
def test_all_flipped_utterances_are_written(
    pair: tuple[Path, Path], tmp_path: Path, ending: str, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "new" / f"flipped.{ending}"
    assert compared(*pair, "--out", out, "--json", "--flipped", 1) == 0
    document = json.loads(capsys.readouterr().out)
    table = pl.read_parquet(out) if ending == "parquet" else pl.read_csv(out)
    assert table.height == document["flipped"]["only_a"] + document["flipped"]["only_b"] > 1
    right_a, right_b = table["predicted_a"] == table["gold"], table["predicted_b"] == table["gold"]
    assert (right_a != right_b).all()
    assert int(right_a.sum()) == document["flipped"]["only_a"]


def test_another_ending_is_refused_before_any_work(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert compared("no-run", "no-other", "--out", tmp_path / "flipped.txt") == 2
    assert "flipped utterances are written as .parquet or .csv" in capsys.readouterr().err


def test_texts_come_from_the_manifest_if_it_is_the_same(
    pair: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = random_frames(1, dialogues=30)[0]
    manifest = tmp_path / "manifest.csv"
    pl.DataFrame(
        {
            "utterance_id": table["utterance_id"],
            "dataset": "meld",
            "split": "dev",
            "dialogue_id": table["dialogue_id"],
            "turn": range(table.height),
            "speaker": "Ross",
            "text": [f"words of {name}" for name in table["utterance_id"]],
        }
    ).write_csv(manifest)
    record = json.loads((pair[0] / "features.json").read_text())
    record["manifest"] |= {"path": str(manifest), "sha256": sha256_file(manifest)}
    (pair[0] / "features.json").write_text(json.dumps(record))
    assert compared(*pair, "--flipped", 2, "--json") == 0
    shown = json.loads(capsys.readouterr().out)["flipped"]["utterances"]
    assert [(row["speaker"], row["text"]) for row in shown] == [
        ("Ross", f"words of {row['utterance_id']}") for row in shown
    ]
    assert compared(*pair, "--flipped", 2) == 0
    assert "Ross: words of u" in capsys.readouterr().out
    manifest.write_text(manifest.read_text() + "\n")
    assert compared(*pair, "--flipped", 2) == 0
    assert "words of" not in capsys.readouterr().out


def test_only_finished_seeds_are_compared(pair: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    (pair[0] / "seed-2" / "result.json").unlink()
    assert compared(*pair, "--json") == 0
    assert json.loads(capsys.readouterr().out)["a"]["seeds"] == [0, 1]


def test_one_seed_each_is_said_to_be_of_those_trainings(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runs = [make(tmp_path, name, random_frames(seed, (0,))) for seed, name in enumerate("ab")]
    assert compared(*runs) == 0
    assert "with one seed each, nothing is known of other trainings" in capsys.readouterr().out


def refused(capsys: pytest.CaptureFixture[str], *arguments: object, status: int = 1) -> str:
    """The one line on stderr."""
    assert compared(*arguments) == status
    captured = capsys.readouterr()
    assert captured.out == ""
    (line,) = captured.err.splitlines()
    return line


def test_runs_that_do_not_belong_together_are_refused_in_one_line(
    pair: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    a = pair[0]
    assert "is both A and B" in refused(capsys, a, a)
    other_corpus = make(tmp_path, "emory", random_frames(1, dialogues=30), dataset="emorynlp")
    assert "was trained on meld and" in refused(capsys, a, other_corpus)
    turned = make(tmp_path, "turned", random_frames(1, dialogues=30), labels=LABELS[::-1])
    assert "has the labels joy, anger, fear" in refused(capsys, a, turned)
    other = make(tmp_path, "other", random_frames(1, dialogues=30, corpus=5))
    assert "other labelled utterances" in refused(capsys, a, other)
    assert f"run `erc evaluate {a} --split test`" in refused(capsys, a, pair[1], "--split", "test")
    assert not list(tmp_path.rglob("*test*"))
    unfinished = make_run(tmp_path, "unfinished", seeds=(), unfinished=(0,), splits=(), labels=LABELS, support=SUPPORT)
    assert "no seed is finished" in refused(capsys, a, unfinished)
    assert "no run folder at" in refused(capsys, a, tmp_path / "nowhere")
    assert "is a folder of runs: give one of them, such as bad-" in refused(capsys, a, tmp_path, status=2)
    assert "3 runs are given" in refused(capsys, a, a, a, status=2)
    assert "one run is given" in refused(capsys, a, status=2)
    assert "--mcnemar compares two runs" in refused(capsys, tmp_path, "--mcnemar", status=2)


def test_predictions_without_dialogues_name_the_command_that_makes_them(
    pair: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    a, b = pair
    file = b / "seed-1" / "predictions-dev.parquet"
    pl.read_parquet(file).drop("dialogue_id").write_parquet(file)
    line = refused(capsys, a, b)
    assert f"{file}: has no column dialogue_id: run `erc evaluate {b} --split dev`" in line


# The contrasts of a suite


@pytest.fixture
def suite(tmp_path: Path) -> Path:
    runs = tmp_path / "runs"
    for place, (name, skill) in enumerate([("best", 0.9), ("middle", 0.6), ("worst", 0.3)]):
        make(runs, name, random_frames(place, dialogues=40, skill=skill))
    make(runs, "unscored", {0: random_frames(9)[0]}, split="train")
    return runs


def test_every_declared_contrast_is_in_one_table_with_holms_p(suite: Path, capsys: pytest.CaptureFixture[str]) -> None:
    contrasts = [("Is best better?", "best", "middle"), ("Or the worst?", "worst", "middle"), ("And?", "best", "worst")]
    add_suite(suite, contrasts)
    assert compared(suite, "--json", "--replicates", 500) == 0
    found = json.loads(capsys.readouterr().out)["contrasts"]
    assert [(one["question"], one["A"], one["B"]) for one in found] == contrasts
    p_values = [one["comparison"]["p_value"] for one in found]
    assert [one["adjusted_p"] for one in found] == pytest.approx(holm(p_values))
    assert found[1]["comparison"]["weighted_f1"]["value"] < 0 < found[0]["comparison"]["weighted_f1"]["value"]
    assert compared(suite, "--replicates", 500) == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    table = [line for line in captured.out.splitlines() if line.startswith("fake: ")]
    assert [line.split("  ")[0] for line in table] == [f"fake: {question}" for question, _, _ in contrasts]
    assert "Holm's p: adjusted for all contrasts of the suite" in captured.out
    assert "resamples of dialogues and one seed an arm" in captured.out
    assert [one["seeds"] for one in found] == [[3, 3]] * 3


def test_a_contrast_without_its_runs_is_named_and_left_out(suite: Path, capsys: pytest.CaptureFixture[str]) -> None:
    add_suite(
        suite,
        [
            ("Here?", "best", "middle"),
            ("Not trained?", "best", "absent"),
            ("Not scored?", "unscored", "best"),
            ("Equal?", "best", "twin"),
        ],
        duplicates={"twin": "best"},
    )
    assert compared(suite) == 0
    captured = capsys.readouterr()
    (row,) = [line for line in captured.out.splitlines() if line.startswith("fake: ")]
    assert row.startswith("fake: Here?")
    lines = captured.err.splitlines()
    assert len(lines) == 3
    assert "left out 'Not trained?': no run of absent: train it with `erc ablate fake --only absent`" in lines[0]
    assert "left out 'Not scored?'" in lines[1]
    assert "--split dev`" in lines[1]
    assert "best and twin are the same run" in lines[2]
    answers = compare_declared(suite, "dev")
    assert [answer.comparison is not None for answer in answers] == [True, False, False, False]
    assert answers[0].comparison is not None
    assert answers[0].adjusted_p == answers[0].comparison.p_value  # what is left out is not in Holm's family


def test_suites_that_say_nothing_are_refused(suite: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "holds no suite-*.json" in refused(capsys, suite)
    add_suite(suite, [])
    assert "declares no contrasts" in refused(capsys, suite)
    add_suite(suite, [("Not scored?", "unscored", "best")])
    with pytest.raises(RunError, match="none of the 1 declared contrasts can be compared; of the first"):
        compare_declared(suite, "dev")
    (suite / "suite-fake.json").write_text('{"suite": "fake"}')
    assert "suite-fake.json: runs: Field required: run the suite's `erc ablate` again" in refused(capsys, suite)
