"""How many configurations were tried is one number, wherever it is told."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from run_factory import SENTENCE, make_run
from suite_shell import Shell

import pipeline.suites.workers
from features.errors import TrainingError
from pipeline.report import facts
from pipeline.report.corpus import corpora_of
from pipeline.report.read import read_runs
from pipeline.runs.tried import Tried, count_tried
from pipeline.suites.training import SeedTask

pytestmark = pytest.mark.usefixtures("without_plots")

SUITE = """
defaults: {feedforward: {sizes: [4]}, stop: {epochs: 2}, inputs: {text: [sentence]}}
experiments:
  a: {}
  b: {feedforward: {sizes: [5]}}
  c: {feedforward: {sizes: [6]}}
  d: {feedforward: {sizes: [7]}}
"""


@pytest.fixture
def shell(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Shell:
    return Shell(tmp_path, capsys)


@pytest.fixture
def fail(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Lets training of some (size of the hidden layer, seed) fail."""
    original = pipeline.suites.workers.train_seed

    def install(*failing: tuple[int, int]) -> None:
        def train(task: SeedTask) -> Any:
            if (task.experiment.feedforward.sizes[0], task.seed) in failing:
                raise TrainingError("the loss is nan")
            return original(task)

        monkeypatch.setattr(pipeline.suites.workers, "train_seed", train)

    return install


def test_a_configuration_counts_once_and_where_a_score_was_seen() -> None:
    attempts = [("a", True), ("a", True), ("b", False), ("c", False), ("c", True), ("d", False), ("d", False)]
    assert count_tried(attempts) == Tried(scored=2, failed=2)
    assert count_tried([]) == Tried(0, 0)


def test_of_a_failed_ablation_what_was_scored_was_tried_and_what_failed_is_told_apart(
    shell: Shell, fail: Callable[..., None]
) -> None:
    (shell.folder / "tiny.yaml").write_text(SUITE)
    fail((5, 0), (5, 1), (6, 0), (6, 1), (7, 1))  # b and c fail whole, d in its second seed
    assert shell.ablate("--seeds", 2)[0] == 1
    runs = shell.folder / "runs"
    assert len(list(runs.glob("?-????????"))) == 4
    status, out, _ = shell.erc("report", runs, "--out", shell.folder / "report")
    assert status == 0
    assert ", best of 2 configurations on dev, reaches" in out
    text = (shell.folder / "report" / "report.md").read_text()
    assert "Tried: 2 configurations, 2 more failed or not finished" in text
    found = json.loads(shell.erc("report", runs, "--out", shell.folder / "report", "--json")[1])["corpora"][0]
    assert (found["tried"], found["failed"]) == (2, 2)
    _, out, _ = shell.erc("evaluate", runs, "--split", "test", "--select", "best-dev")
    assert "best on dev of 2 (" in out


def test_a_single_configuration_that_did_not_fail_is_not_said_to_be_the_only_one(tmp_path: Path) -> None:
    make_run(tmp_path, "good", features=(SENTENCE,))
    make_run(tmp_path, "bad", features=(SENTENCE,), seeds=(), splits=())
    (corpus,) = corpora_of(read_runs(tmp_path))
    assert facts.headline_text(corpus).startswith("good, the only configuration with scores, reaches")
    assert facts.tried_text(corpus) == "1 configuration, 1 more failed or not finished"


def test_what_a_search_chose_is_said_to_be_so_in_the_first_sentence(tmp_path: Path) -> None:
    tuned = {"tuned": {"configurations_tried": 40, "selected_by": "dev weighted F1, seed 0"}}
    make_run(tmp_path, "found", skill=0.7, config=tuned)
    (corpus,) = corpora_of(read_runs(tmp_path))
    assert facts.headline_text(corpus).startswith("found, chosen by search among 40 configurations, reaches")
    make_run(tmp_path, "other", skill=0.3)
    (corpus,) = corpora_of(read_runs(tmp_path))
    assert facts.headline_text(corpus).startswith(
        "found, best of 2 configurations on dev, chosen by search among 40 configurations, reaches"
    )


def test_a_search_and_a_report_on_its_trials_count_alike(shell: Shell, fail: Callable[..., None]) -> None:
    pytest.importorskip("optuna")
    (shell.folder / "one.yaml").write_text("feedforward: {sizes: [4]}\nstop: {epochs: 2}\ninputs: {text: [sentence]}\n")
    (shell.folder / "space.yaml").write_text("feedforward.sizes: {choices: [[4], [5], [6], [7]]}\n")
    fail((4, 1), (5, 0), (5, 1))  # [4] is scored in one seed of two, [5] in none
    search = ["--out", shell.folder / "search", "--search", shell.folder / "space.yaml", "--trials", 12, "--jobs", 1]
    shell.erc("train", shell.folder / "one.yaml", *shell.place, "--seeds", "0,1", *search)
    record = json.loads((shell.folder / "search" / "search.json").read_text())
    drawn = {trial["parameters"]["feedforward.sizes"][0]: trial["run"] for trial in record["trials"]}
    assert {4, 5} < drawn.keys()
    trials = shell.folder / "search" / "trials"
    (corpus,) = json.loads(shell.erc("report", trials, "--out", shell.folder / "report", "--json")[1])["corpora"]
    assert record["configurations_tried"] == corpus["tried"] == len(drawn) - 1
    assert corpus["failed"] == 1
