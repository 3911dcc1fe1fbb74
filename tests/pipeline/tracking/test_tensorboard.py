"""Event files, read back: the numbers of the run folders, once."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from run_factory import make_run
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tracking_factory import expected_numbers, fake_suite, read_json, track

from pipeline.comparison.contrasts import compare_declared
from pipeline.report.read import read_runs
from pipeline.runs.folder import find_runs

pytestmark = pytest.mark.usefixtures("without_plots")


def events(folder: Path) -> EventAccumulator:
    accumulator = EventAccumulator(str(folder))
    accumulator.Reload()
    return accumulator


def scalars(folder: Path) -> dict[str, float]:
    """The last of each."""
    found = events(folder)
    return {name: found.Scalars(name)[-1].value for name in found.Tags()["scalars"]}


def text(folder: Path, name: str) -> str:
    return str(events(folder).Tensors(f"{name}/text_summary")[0].tensor_proto.string_val[0], "utf-8")


def same(found: dict[str, float], wanted: dict[str, float]) -> None:
    """As float32, which is what TensorBoard keeps."""
    assert {name: found[name] for name in wanted} == {name: float(np.float32(value)) for name, value in wanted.items()}


def event_files(runs: Path) -> dict[str, bytes]:
    return {str(path.relative_to(runs)): path.read_bytes() for path in sorted(runs.rglob("events.out.*"))}


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    fake_suite(tmp_path / "runs")
    return tmp_path / "runs"


def test_a_seed_holds_its_curves_its_result_and_what_it_is(runs: Path) -> None:
    assert track(runs, "tensorboard") == 0
    for run in find_runs([runs]):
        for seed in (0, 1):
            folder = runs / "tracking/tensorboard/fake" / run.path.name / f"seed-{seed}"
            history = pl.read_parquet(run.seed_folder(seed) / "history.parquet")
            found = events(folder)
            for name, column in {
                "train/loss": "train_loss",
                "train/learning_rate": "learning_rate",
                "dev/loss": "dev_loss",
                "dev/weighted_f1": "dev_weighted_f1",
            }.items():
                points = found.Scalars(name)
                assert [point.step for point in points] == history["epoch"].to_list()
                assert [point.value for point in points] == history[column].cast(pl.Float32).to_list()
            result = read_json(run.seed_folder(seed) / "result.json")
            same(
                scalars(folder),
                {
                    "best/epoch": result["best_epoch"],
                    "best/dev/weighted_f1": result["dev_weighted_f1"],
                    "train_seconds": result["train_seconds"],
                    "trained_weights": result["parameters"],
                },
            )
            assert "| version/torch | 2.14.1 |" in text(folder, "environment")
            assert "| device | cpu |" in text(folder, "environment")
            assert hyperparameters(folder) >= {"optim.lr": 1e-3, "loss.0.name": "cross-entropy", "seed": seed}.items()


def hyperparameters(folder: Path) -> Any:
    from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

    content = events(folder).SummaryMetadata("_hparams_/session_start_info").plugin_data.content
    told = HParamsPluginData.FromString(content).session_start_info.hparams
    return {name: getattr(value, value.WhichOneof("kind")) for name, value in told.items()}.items()


def test_summaries_hold_means_values_intervals_contrasts_and_the_report(runs: Path) -> None:
    assert track(runs, "tensorboard") == 0
    home = runs / "tracking/tensorboard/fake"
    for run in find_runs([runs]):
        found = scalars(home / run.path.name / "summary")
        same(found, expected_numbers(run))
        assert found["dev/weighted_f1/low"] < found["dev/weighted_f1/mean"] < found["dev/weighted_f1/high"]
        shown = text(home / run.path.name / "summary", "metrics-dev.json")
        assert json.loads(shown.removeprefix("<pre>").removesuffix("</pre>")) == read_json(
            run.path / "metrics-dev.json"
        )
    (answer,) = compare_declared(runs, "dev")
    assert answer.comparison is not None
    assert answer.adjusted_p is not None
    same(
        scalars(home / "suite"),
        {
            "contrasts/wide - linear/difference": answer.comparison.headline.value,
            "contrasts/wide - linear/low": answer.comparison.headline.interval.low,
            "contrasts/wide - linear/high": answer.comparison.headline.interval.high,
            "contrasts/wide - linear/p": answer.comparison.p_value,
            "contrasts/wide - linear/p_holm": answer.adjusted_p,
        },
    )
    assert "Does width help?" in text(home / "suite", "report.md")
    assert "Holm's p" in text(home / "suite", "contrasts.txt")


def test_twice_adds_nothing_and_a_seed_that_changed_is_replaced(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert track(runs, "tensorboard") == 0
    assert "TensorBoard: 7 runs sent, 0 there already" in capsys.readouterr().out
    before = event_files(runs)
    assert len(before) == 7
    assert track(runs, "tensorboard") == 0
    assert "TensorBoard: 0 runs sent, 7 there already" in capsys.readouterr().out
    assert event_files(runs) == before
    file = runs / "linear-1a2b3c4d/seed-1/result.json"
    file.write_text(json.dumps(read_json(file) | {"train_seconds": 99.0}))
    assert track(runs, "tensorboard") == 0
    assert "TensorBoard: 2 runs sent, 5 there already" in capsys.readouterr().out  # the seed, and its experiment
    assert len(event_files(runs)) == 7
    assert scalars(runs / "tracking/tensorboard/fake/linear-1a2b3c4d/seed-1")["train_seconds"] == 99
    shutil.rmtree(runs / "tracking")
    assert track(runs, "tensorboard") == 0
    assert "TensorBoard: 7 runs sent, 0 there already" in capsys.readouterr().out


def test_a_folder_that_was_moved_is_known_again(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert track(runs, "tensorboard") == 0
    moved = runs.rename(runs.with_name("moved"))
    capsys.readouterr()
    assert track(moved, "tensorboard") == 0
    assert "0 runs sent, 7 there already" in capsys.readouterr().out


def test_what_trackers_keep_is_no_run(runs: Path) -> None:
    before = [run.path for run in find_runs([runs])]
    assert track(runs, "tensorboard") == 0
    assert [run.path for run in find_runs([runs])] == before
    assert len(read_runs(runs).runs) == 2
    assert read_runs(runs).notes == ()


def test_a_damaged_run_is_named_and_the_others_are_sent(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (runs / "linear-1a2b3c4d/seed-0/history.parquet").write_bytes(b"PAR1 no more")
    lost = make_run(runs, "lost", seeds=(0,), folder="lost-0")
    (lost / "features.json").write_text("{")
    assert track(runs, "tensorboard") == 1
    told = capsys.readouterr()
    assert told.err.count("not tracked") == 2
    assert "history.parquet cannot be read" in told.err
    assert f"{lost}/features.json cannot be read" in told.err
    assert "6 runs sent" in told.out


def test_a_folder_without_runs_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert track(tmp_path, "tensorboard") == 1
    assert "holds no run" in capsys.readouterr().err
    assert track(tmp_path / "none", "tensorboard") == 1
    assert "no folder" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
