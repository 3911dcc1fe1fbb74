"""MLflow's local store, read back through its client: equal numbers, a tree of runs, nothing twice."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl
import pytest
from mlflow import MlflowClient
from mlflow.entities import Run as Kept
from tracking_factory import expected_numbers, fake_suite, read_json, track

from features.digests import digest_of
from features.errors import UsageError
from pipeline.comparison.contrasts import compare_declared
from pipeline.runs.folder import Run
from pipeline.tracking.mlflow import MlflowTracker, _keys

pytestmark = pytest.mark.usefixtures("without_plots")

PARENT = "mlflow.parentRunId"


def read_back(runs: Path) -> tuple[MlflowClient, dict[str, Kept]]:
    """The client, and the suite's runs by name."""
    client = MlflowClient(tracking_uri=f"sqlite:///{runs / 'tracking/mlflow/mlflow.db'}")
    experiment = client.get_experiment_by_name("fake")
    found = client.search_runs([experiment.experiment_id])
    assert len({run.info.run_name for run in found}) == len(found)
    return client, {run.info.run_name: run for run in found}


def more_than_mlflow_takes(run: Path) -> None:
    """Long values, odd names, and more parameters than it takes at once."""
    with (run / "config.yaml").open("a", encoding="utf-8") as file:
        file.write(f"note: {'x' * 9000}\nsöme#thing: y\nparts: {list(range(150))}\n")
    (run / "features.json").write_text(json.dumps(read_json(run / "features.json") | {"command": "z" * 9000}))


def check_seed(client: MlflowClient, kept: Kept, run: Run, seed: int) -> None:
    history = pl.read_parquet(run.seed_folder(seed) / "history.parquet")
    for name, column in {
        "train/loss": "train_loss",
        "dev/weighted_f1": "dev_weighted_f1",
        "dev/loss": "dev_loss",
    }.items():
        points = sorted(client.get_metric_history(kept.info.run_id, name), key=lambda point: point.step)
        assert [(point.step, point.value) for point in points] == list(history.select("epoch", column).iter_rows())
    result = read_json(run.seed_folder(seed) / "result.json")
    assert kept.data.metrics["best/dev/weighted_f1"] == result["dev_weighted_f1"]
    assert kept.data.metrics["best/epoch"] == result["best_epoch"]
    assert kept.data.params["seed"] == str(seed)
    assert kept.data.params["optim.lr"] == "0.001"
    assert kept.data.params["inputs.text.0"] == "sentence"
    assert kept.data.tags["erc.version/torch"] == "2.14.1"
    assert kept.data.tags["erc.device"] == "cpu"
    assert kept.info.status == "FINISHED"
    assert kept.info.end_time - kept.info.start_time == pytest.approx(1000 * result["train_seconds"], abs=2)


def test_the_store_holds_the_numbers_of_the_run_folders_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    runs = tmp_path / "with #, ü and blanks" / "runs"
    linear, wide = fake_suite(runs)
    more_than_mlflow_takes(wide.path)
    assert track(runs, "mlflow") == 0
    assert "MLflow: 7 runs sent, 0 there already" in capsys.readouterr().out
    client, kept = read_back(runs)
    assert len(kept) == 7
    suite = kept["suite"]
    for run in (linear, wide):
        summary = kept[f"{run.path.name}/summary"]
        assert summary.data.metrics.items() >= expected_numbers(run).items()
        assert summary.data.metrics["dev/weighted_f1/low"] < summary.data.metrics["dev/weighted_f1/mean"]
        assert summary.data.tags[PARENT] == suite.info.run_id
        for seed in (0, 1):
            one = kept[f"{run.path.name}/seed-{seed}"]
            check_seed(client, one, run, seed)
            assert one.data.tags[PARENT] == summary.info.run_id
    odd = kept["wide-1a2b3c4d/seed-0"].data
    assert odd.params["note"] == "x" * 6000
    assert [odd.params[f"parts.{number}"] for number in range(150)] == [str(number) for number in range(150)]
    assert odd.params["söme_thing"] == "y"
    assert odd.tags["erc.command"] == "z" * 5000
    (answer,) = compare_declared(runs, "dev")
    assert answer.comparison is not None
    assert suite.data.metrics["contrasts/wide - linear/p_holm"] == answer.adjusted_p
    assert suite.data.metrics["contrasts/wide - linear/difference"] == answer.comparison.headline.value
    attached = {file.path for file in client.list_artifacts(suite.info.run_id)}
    assert attached >= {"report.html", "report.md", "suite-fake.json", "contrasts.txt", "contrasts.json"}
    report = client.download_artifacts(suite.info.run_id, "report.html", str(tmp_path))
    assert Path(report).read_bytes() == (runs / "tracking/report/report.html").read_bytes()

    capsys.readouterr()
    assert track(runs, "mlflow") == 0
    assert "0 runs sent, 7 there already" in capsys.readouterr().out
    again = read_back(runs)[1]
    assert {name: run.info.run_id for name, run in again.items()} == {
        name: run.info.run_id for name, run in kept.items()
    }
    assert len(client.get_metric_history(again["linear-1a2b3c4d/seed-0"].info.run_id, "train/loss")) == len(
        pl.read_parquet(linear.seed_folder(0) / "history.parquet")
    )

    # Other seeds make another summary: it takes the place of the first, and the seeds stand below it.
    file = linear.path / "metrics-dev.json"
    file.write_text(json.dumps(read_json(file) | {"no_input": 1}))
    assert track(runs, "mlflow") == 0
    assert "2 runs sent, 5 there already" in capsys.readouterr().out  # and the suite
    after = read_back(runs)[1]
    assert len(after) == 7
    summary, old = after["linear-1a2b3c4d/summary"], kept["linear-1a2b3c4d/summary"]
    assert summary.info.run_id != old.info.run_id
    assert after["linear-1a2b3c4d/seed-0"].data.tags[PARENT] == summary.info.run_id
    assert summary.data.tags[PARENT] == after["suite"].info.run_id
    assert client.get_run(old.info.run_id).info.lifecycle_stage == "deleted"


def test_a_server_that_is_away_costs_a_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://somebody:secret@127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    runs = tmp_path / "runs"
    fake_suite(runs)
    assert track(runs, "mlflow", "tensorboard") == 1
    told = capsys.readouterr()
    (line,) = told.err.splitlines()
    assert "MLflow failed" in line
    assert f"`erc track {runs} --to mlflow` sends what is missing" in line
    assert "secret" not in told.err
    assert "TensorBoard: 7 runs sent" in told.out


def test_secrets_of_an_address_are_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "https://somebody:secret@tracker.example:5000/x")
    assert MlflowTracker(tmp_path).destination == "https://tracker.example:5000/x"


def test_a_folder_that_no_address_can_name_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    with pytest.raises(UsageError, match="cannot lie in a folder with % or"):
        MlflowTracker(tmp_path / "50%20" / "mlflow")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "https://tracker.example")
    MlflowTracker(tmp_path / "50%20" / "mlflow")


@pytest.mark.parametrize(
    "names", [("高兴", "悲伤"), ("a+b", "a&b"), ("a_b", "a&b"), ("x" * 251 + "1", "x" * 251 + "2")]
)
def test_names_stay_apart(names: tuple[str, str]) -> None:
    from mlflow.utils.validation import _validate_metric_name

    whole = [f"dev/f1/{name}/mean" for name in names]
    keys = _keys(whole)
    assert len({*keys.values()}) == 2
    alone = {name: key for one in whole for name, key in _keys([one]).items()}
    assert all(keys[name] in (key, f"{key[:241]}-{digest_of('key', name)[:8]}") for name, key in alone.items())
    for key in keys.values():
        _validate_metric_name(key)
        assert len(key) <= 250
