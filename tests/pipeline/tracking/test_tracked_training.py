"""`--track` while heads are trained: seeds as they end, each once, and a tracker that fails takes nothing with it."""

from __future__ import annotations

import sys
from pathlib import Path

import polars as pl
import pytest
from suite_shell import Shell
from tracking_factory import Recorder, read_json, recorder_as

import pipeline.suites.workers
from features.errors import TrainingError
from features.extras import install_extra
from pipeline.runs.folder import Run, find_runs
from pipeline.suites.training import SeedTask
from pipeline.tracking.choice import TRACKERS

pytestmark = pytest.mark.usefixtures("without_plots")


@pytest.fixture
def shell(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Shell:
    return Shell(tmp_path, capsys)


@pytest.fixture
def recorder(monkeypatch: pytest.MonkeyPatch) -> Recorder:
    return recorder_as("mlflow", monkeypatch)


def runs_of(shell: Shell) -> dict[str, Run]:
    return {run.name: run for run in find_runs([shell.folder / "runs"])}


def check_numbers(recorder: Recorder, run: Run, seeds: tuple[int, ...]) -> None:
    """Those of result.json, history.parquet and metrics-dev.json, bit for bit."""
    where = f"tiny: {run.path.name}"
    for seed in seeds:
        content = recorder.content(f"{where}/seed-{seed}")
        result = run.result(seed)
        assert content.numbers["best/dev/weighted_f1"] == result.dev_weighted_f1
        assert content.numbers["train_seconds"] == result.train_seconds
        assert content.parameters["seed"] == seed
        assert content.environment["version/torch"] == result.versions["torch"]
        assert content.environment["code"] == result.code
        history = pl.read_parquet(run.seed_folder(seed) / "history.parquet")
        names = ("train/loss", "dev/loss", "dev/weighted_f1", "train/learning_rate")
        columns = ("train_loss", "dev_loss", "dev_weighted_f1", "learning_rate")
        found = [(point.epoch, *(point.values[name] for name in names)) for point in content.points]
        assert found == list(history.select("epoch", *columns).iter_rows())
    numbers = recorder.content(f"{where}/summary").numbers
    score = read_json(run.path / "metrics-dev.json")["weighted_f1"]
    assert numbers["dev/weighted_f1/mean"] == score["mean"]
    assert [numbers[f"dev/weighted_f1/seed-{seed}"] for seed in seeds] == score["values"]
    assert numbers["dev/weighted_f1/low"] <= numbers["dev/weighted_f1/high"]


def test_seeds_go_as_they_end_and_the_suite_when_all_have(
    shell: Shell, recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    heads_before = []
    train = pipeline.suites.workers.train_seed

    def noted(task: SeedTask) -> object:
        heads_before.append(len(recorder.sent))
        return train(task)

    monkeypatch.setattr(pipeline.suites.workers, "train_seed", noted)
    status, _, said = shell.ablate("--seeds", 2, "--track", "mlflow")
    assert status == 0
    assert heads_before == [0, 1, 2, 3]
    assert "MLflow: 7 runs sent, 0 there already: https://tracker.example" in said
    both, text = (runs_of(shell)[name] for name in ("both", "text"))
    suite = "tiny: suite"
    assert sorted(recorder.names) == sorted(
        [suite, *(f"tiny: {run.path.name}/{part}" for run in (both, text) for part in ("seed-0", "seed-1", "summary"))]
    )
    assert recorder.names[-1] == suite
    assert len(recorder.opened) == 3  # for the seeds that ended before them
    assert recorder.replaced == []
    for run in (both, text):
        check_numbers(recorder, run, (0, 1))
        summary = f"tiny: {run.path.name}/summary"
        assert recorder.parents[f"tiny: {run.path.name}/seed-1"] == summary
        assert recorder.parents[summary] == suite
    contrast = read_json(shell.folder / "runs/tracking/contrasts/tiny/contrasts.json")["contrasts"][0]
    assert recorder.content(suite).numbers["contrasts/both - text/p_holm"] == contrast["adjusted_p"]
    assert recorder.content(suite).files.keys() >= {"report.html", "report.md", "suite-tiny.json", "contrasts.txt"}

    status, said, _ = shell.erc("track", shell.folder / "runs", "--to", "mlflow")
    assert status == 0
    assert "0 runs sent, 7 there already" in said
    status, _, said = shell.ablate("--seeds", 3, "--track", "mlflow", "--only", "text")
    assert "3 runs sent, 2 there already" in said  # a seed more, its experiment and the suite anew
    assert len(recorder.names) == 10
    assert recorder.replaced == [f"tiny: {text.path.name}/summary", suite]


def test_seeds_of_before_are_sent_once_and_those_of_other_processes_too(shell: Shell, recorder: Recorder) -> None:
    assert shell.ablate("--seeds", 1)[0] == 0
    assert recorder.sent == []
    assert not list(shell.folder.glob("runs/**/track*"))
    status, told, said = shell.ablate("--seeds", 2, "--track", "mlflow", "--jobs", 2)
    assert status == 0
    assert "2 heads trained, 2 kept from before" in told
    assert "MLflow: 7 runs sent, 0 there already" in said
    for run in runs_of(shell).values():
        check_numbers(recorder, run, (0, 1))


def test_shards_send_nothing_twice(shell: Shell, recorder: Recorder) -> None:
    for part in ("1/2", "2/2", "1/2"):
        assert shell.ablate("--seeds", 2, "--track", "mlflow", "--shard", part)[0] == 0
    seeds = [name for name in recorder.names if "seed-" in name]
    assert len(seeds) == len(set(seeds)) == 4
    for run in runs_of(shell).values():
        last = [content for item, content in recorder.sent if item.name == f"{run.path.name}/summary"][-1]
        assert last.numbers["dev/seeds"] == 2


def test_a_tracker_that_fails_costs_a_line_and_what_it_missed_can_be_sent(shell: Shell, recorder: Recorder) -> None:
    recorder.fails = True
    status, told, said = shell.ablate("--seeds", 2, "--track", "mlflow")
    assert status == 0
    assert "4 heads trained" in told
    (line,) = [line for line in said.splitlines() if "MLflow" in line]
    assert "MLflow failed, and is left alone now (ConnectionError: nobody answers)" in line
    assert f"`erc track {shell.folder / 'runs'} --to mlflow` sends what is missing" in line
    assert all((run.path / "metrics-dev.json").is_file() for run in runs_of(shell).values())
    assert shell.erc("track", shell.folder / "runs", "--to", "mlflow")[0] == 1
    recorder.fails = False
    status, told, _ = shell.erc("track", shell.folder / "runs", "--to", "mlflow")
    assert status == 0
    assert "7 runs sent" in told
    assert len(recorder.names) == len(set(recorder.names)) == 7


def test_a_head_that_fails_is_not_sent(shell: Shell, recorder: Recorder, monkeypatch: pytest.MonkeyPatch) -> None:
    train = pipeline.suites.workers.train_seed

    def failing(task: SeedTask) -> object:
        if task.experiment.name == "both":
            raise TrainingError("no numbers")
        return train(task)

    monkeypatch.setattr(pipeline.suites.workers, "train_seed", failing)
    status, _, said = shell.ablate("--seeds", 1, "--track", "mlflow")
    assert status == 1
    assert "both: seed 0: no numbers" in said
    assert "not tracked" not in said
    assert len(recorder.names) == 3
    assert not any("both" in name for name in recorder.names)


def test_one_head_is_tracked_in_its_own_folder(shell: Shell, recorder: Recorder) -> None:
    out = shell.folder / "mine"
    fixed = ["train", shell.folder / "tiny.yaml", *shell.place, "--only", "text", "--jobs", 1, "--out", out]
    assert shell.erc(*fixed, "--track", "mlflow", "--track", "mlflow")[0] == 0
    assert recorder.names == ["tiny: mine/seed-0", "tiny: mine/summary", "tiny: suite"]
    assert "report.html" in recorder.content("tiny: suite").files
    status, told, _ = shell.erc("track", shell.folder, "--to", "mlflow", "--json")  # the folder above knows of it
    assert status == 0
    assert '"sent": 1, "kept": 2' in told


@pytest.mark.parametrize("nested", [False, True])
def test_folds_are_parts_of_their_experiment(shell: Shell, recorder: Recorder, nested: bool) -> None:
    options = ["--cv", 2, *(["--nested"] if nested else [])]
    assert shell.ablate("--seeds", 1, "--only", "text", "--track", "mlflow", *options)[0] == 0
    name = "nested-2-dialogue" if nested else "cv-2-dialogue"
    entry = read_json(shell.folder / "runs" / name / "summary.json")["experiments"][0]
    seeds = [f"tiny/{name}: {fold['run']}/seed-0" for fold in entry["folds"]]
    summary = recorder.names[2]
    assert summary.startswith(f"tiny/{name}: text-")
    assert recorder.names[:2] == seeds
    assert recorder.names[3:] == ([f"tiny/{name}: suite"] if nested else [])
    assert [recorder.parents[seed] for seed in seeds] == [summary, summary]
    numbers = recorder.content(summary).numbers
    score = entry["scores"]["weighted_f1"]
    assert [numbers[f"over_folds/weighted_f1/{part}"] for part in ("mean", "fold-1", "fold-2")] == [
        score["mean"],
        *score["values"],
    ]
    assert ("pooled/weighted_f1/mean" in numbers) is nested
    status, told, _ = shell.erc("track", shell.folder / "runs", "--to", "mlflow")
    assert status == 0
    assert f"0 runs sent, {len(recorder.names)} there already" in told
    for place, known in ((name, 3), (f"{name}/{entry['folds'][0]['run']}", 1)):  # by itself
        status, told, said = shell.erc("track", shell.folder / "runs" / place, "--to", "mlflow")
        assert (status, said) == (0, "")
        assert f"0 runs sent, {known} there already" in told


def test_nothing_of_a_tracker_is_imported_when_off(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("tensorboard", "torch.utils.tensorboard", "wandb", "mlflow"):
        monkeypatch.setitem(sys.modules, name, None)  # an import of it fails
    ours = {f"pipeline.tracking.{name}" for name in TRACKERS}
    for name in ours & set(sys.modules):
        monkeypatch.delitem(sys.modules, name)
    assert shell.ablate("--seeds", 1)[0] == 0
    assert not ours & set(sys.modules)


def test_what_cannot_be_tracked_is_refused_before_training(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    fixed = ["train", shell.folder / "tiny.yaml", *shell.place, "--only", "text", "--out", shell.folder / "mine"]
    status, _, said = shell.erc(*fixed, "--search", shell.folder / "tiny.yaml", "--track", "mlflow")
    assert (status, len(said.splitlines())) == (2, 1)
    assert "a search keeps none" in said
    status, _, said = shell.ablate("--list", "--track", "mlflow")
    assert status == 2
    assert "leave --track out" in said
    monkeypatch.setattr("pipeline.tracking.choice.find_spec", lambda name: None)
    for name, title in (("tensorboard", "TensorBoard"), ("wandb", "W&B"), ("mlflow", "MLflow")):
        status, _, said = shell.ablate("--track", name)
        assert status == 2
        assert f"{title} is not installed: {install_extra(name)}" in said
    assert not (shell.folder / "runs").exists()
    assert shell.ablate("--track", "tensorbord")[0] == 2
