"""What a suite says while it trains: train.log, a line a finished experiment, each epoch with -v, nothing with -q."""

from __future__ import annotations

import json
import re
from pathlib import Path

import polars as pl
import pytest
from small_corpus import make_manifest, make_store

from pipeline.cli import erc, run
from pipeline.runs.folder import Run
from pipeline.runs.seed_log import LogReader

SUITE = """
defaults: {stop: {epochs: 3, patience: 3}, feedforward: {sizes: [4]}, inputs: {text: [sentence]}}
experiments:
  one: {}
  two: {optim: {lr: 0.01}}
"""


@pytest.fixture
def given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    monkeypatch.chdir(tmp_path)
    manifest = make_manifest(tmp_path / "M.parquet")
    make_store(tmp_path / "store", manifest, missing=(0, 3))
    Path("suite.yaml").write_text(SUITE, encoding="utf-8")
    return ["ablate", "suite.yaml", "--manifest", "M.parquet", "--out", "runs", "--seeds", "2"]


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_each_finished_experiment_has_a_line_with_its_score(
    given: list[str], jobs: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(erc, [*given, "--jobs", jobs], "erc") == 0
    told = capsys.readouterr()
    lines = [line for line in told.err.splitlines() if ": dev weighted F1" in line]
    assert [line.rpartition(" (")[2] for line in lines] == ["1 of 2)", "2 of 2)"]
    shown = dict(re.split(r"\s{2,}", line)[:2] for line in told.out.splitlines()[1:3])
    for line in lines:
        name, score = re.match(r"(\w+): dev weighted F1 ([\d.]+ ± [\d.]+) %, 2 heads", line).groups()  # type: ignore[union-attr]
        assert shown[name] == score
    assert "epoch" not in told.err


def test_verbose_says_each_epoch_and_the_log_has_what_the_history_has(
    given: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(erc, [*given, "--jobs", "1", "-v"], "erc") == 0
    said = [line for line in capsys.readouterr().err.splitlines() if ": epoch" in line]
    for path in Path("runs").glob("*-*/"):
        for seed in (0, 1):
            folder = Run(path).seed_folder(seed)
            history = pl.read_parquet(folder / "history.parquet")
            log = (folder / "train.log").read_text().splitlines()
            epochs = [line for line in log if " of 3: dev weighted F1" in line]
            found = [float(re.search(r"F1 ([\d.]+) %", line)[1]) for line in epochs]  # type: ignore[index]
            assert found == pytest.approx([100 * value for value in history["dev_weighted_f1"]], abs=0.05)
            best = max(history["dev_weighted_f1"])
            assert f"best {100 * best:.1f}, epoch {Run(path).result(seed).best_epoch}" in epochs[-1]
            name = path.name.partition("-")[0]
            own = [line for line in said if line.startswith(f"{name}, seed {seed}: epoch")]
            assert [line.partition("epoch")[2] for line in own if " of 3: " in line] == [
                line.partition("epoch")[2] for line in epochs
            ]


def test_quiet_says_nothing_but_the_result(given: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(erc, [*given, "--jobs", "1", "--quiet"], "erc") == 0
    told = capsys.readouterr()
    assert told.err == ""
    assert told.out.startswith("experiment")
    assert run(erc, [*given, "--quiet", "--verbose"], "erc") == 2
    assert "--quiet and --verbose: give one of them" in capsys.readouterr().err
    assert run(erc, [*given, "--jobs", "1", "--json"], "erc") == 0  # quiet is of one command alone
    assert json.loads(capsys.readouterr().out)["kept"] == 4


def test_a_log_is_read_on_and_one_begun_anew_from_its_start(tmp_path: Path) -> None:
    reader = LogReader(tmp_path)
    assert reader.new_lines() == []
    path = tmp_path / "train.log"
    path.write_text("a\nbcd\nhalf")
    assert reader.new_lines() == ["a", "bcd"]
    with path.open("a") as file:
        file.write(" a line\n")
    assert reader.new_lines() == ["half a line"]
    path.write_text("new\n")
    assert reader.new_lines() == ["new"]
