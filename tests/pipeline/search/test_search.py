"""A search for settings: its space is checked whole, it goes on where it stopped, and it never sees test."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from small_corpus import HOG, LOGMEL, SENTENCE, make_store
from suite_shell import Shell

import pipeline.search.run
import pipeline.suites.workers
from features.errors import ConfigError, TrainingError
from features.extras import install_extra
from features.store import Feature
from pipeline.runs.folder import Run
from pipeline.runs.locks import search_lock
from pipeline.runs.seed_files import SeedResult
from pipeline.search.space import override_of, read_space
from pipeline.suites.training import SeedTask

SPACE = """
optim.lr: {low: 1e-3, high: 1e-1, log: true}
feedforward.sizes: {choices: [[4], [4, 3], []]}
batch.size: {low: 8, high: 24, step: 8}
"""


class SearchShell(Shell):
    def search(self, trials: int, *arguments: object, space: str = SPACE, out: str = "search") -> tuple[int, str, str]:
        (self.folder / "space.yaml").write_text(space)
        fixed = ["train", self.folder / "tiny.yaml", *self.place, "--only", "text", "--jobs", 1]
        chosen = ["--out", self.folder / out, "--search", self.folder / "space.yaml", "--trials", trials]
        return self.erc(*fixed, *chosen, *arguments)

    def record(self, out: str = "search") -> dict[str, Any]:
        values: dict[str, Any] = json.loads((self.folder / out / "search.json").read_text())
        return values


@pytest.fixture
def shell(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> SearchShell:
    return SearchShell(tmp_path, capsys)


def problems_of(folder: Path, text: str) -> str:
    (folder / "space.yaml").write_text(text)
    with pytest.raises(ConfigError) as caught:
        read_space(folder / "space.yaml")
    return str(caught.value)


def test_a_space_is_read(tmp_path: Path) -> None:
    (tmp_path / "space.yaml").write_text(SPACE)
    rate, sizes, batch = read_space(tmp_path / "space.yaml")[0]
    assert rate.outermost() == [1e-3, 1e-1]
    assert sizes.outermost() == [[4], [4, 3], []]
    assert [sizes.value(sizes.drawn(value)) for value in sizes.outermost()] == [[4], [4, 3], []]
    assert type(batch.distribution()).__name__ == "IntDistribution"


def test_all_problems_of_a_space_come_at_once(tmp_path: Path) -> None:
    found = problems_of(
        tmp_path,
        """
        optim.lr: {low: 0.1, high: 0.01}
        optim.weight_decay: {low: 0, high: 0.1, log: true}
        optim.warmup: {low: 0.0, high: 0.5, step: 0.2}
        batch.size: {choices: []}
        batch.unit: {choices: [utterances, utterances]}
        stop.epochs: {low: 2, hihg: 4}
        stop.patience: {low: true, high: x}
        fusion: {name: concat}
        fusion.dim: {low: 1, high: 4, log: true, step: 1}
        speakers.dim: 5
        """,
    )
    assert "13 problems" in found
    for expected in (
        "optim.lr: low (0.1) must be below high (0.01)",
        "optim.weight_decay.low: must be above 0 where log is true, not 0",
        "optim.warmup.step: of 0.2 leads from 0 to 0.4, not to 0.5",
        "batch.size.choices: must be a list of at least one value",
        "batch.unit.choices: 'utterances' is named more than once",
        "stop.epochs.hihg: unknown key: did you mean 'high'?",
        "stop.epochs.high: is missing",
        "stop.patience.low: must be a number, not True",
        "stop.patience.high: must be a number, not 'x'",
        "fusion: must be {choices: [...]} or {low: ..., high: ...}",
        "fusion.dim.step: does not go with log: true",
        "speakers.dim: must be {choices: [...]} or {low: ..., high: ...}",
        "fusion.dim: lies within fusion, which is searched, too",
    ):
        assert expected in found
    assert "must be a mapping of settings" in problems_of(tmp_path, "[]")


def test_ends_and_choices_are_tried_on_the_experiment_first(shell: SearchShell) -> None:
    space = (
        "optim.ls: {low: 0.1, high: 1}\nnormalise: {choices: [l2, standardize]}\nfeedforward.dropout: {low: 0, high: 1}"
    )
    status, _, err = shell.search(2, space=space)
    assert status == 2
    assert "4 problems" in err
    assert "optim.ls=0.1" in err
    assert "did you mean 'lr'?" in err
    assert "normalise=standardize" in err
    assert "feedforward.dropout=1:" in err
    assert not (shell.folder / "search").exists()


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1e-05, "x=1.0e-05"),
        ([256, 128], "x=[256, 128]"),
        ({"name": "mean", "dim": 4}, "x={name: mean, dim: 4}"),
        (None, "x=null"),
        ("yes", "x='yes'"),
        (True, "x=true"),
    ],
)
def test_overrides_are_yaml(value: Any, text: str) -> None:
    assert override_of("x", value) == text
    assert yaml.safe_load(text.partition("=")[2]) == value


def test_a_search_leaves_its_trials_and_the_best(shell: SearchShell) -> None:
    status, out, err = shell.search(12, "--seeds", "0,1", "stop.epochs=2")
    assert (status, err) == (0, "")
    record = shell.record()
    assert [trial["number"] for trial in record["trials"]] == list(range(12))
    assert record["seeds"] == [0, 1]
    runs = {trial["run"] for trial in record["trials"]}
    assert record["configurations_tried"] == len(runs)
    best = record["best"]
    assert best["value"] == max(trial["value"] for trial in record["trials"])
    for trial in record["trials"]:
        (folder,) = shell.folder.glob(f"search/trials/text-{trial['run'][:8]}")
        values = [Run(folder).result(seed).dev_weighted_f1 for seed in (0, 1)]
        assert trial["values"] == pytest.approx(values)
        assert trial["value"] == pytest.approx(sum(values) / 2)
        settings = Run(folder).experiment
        assert settings.optim.lr == trial["parameters"]["optim.lr"]
        assert list(settings.feedforward.sizes) == trial["parameters"]["feedforward.sizes"]
        assert settings.batch.size == trial["parameters"]["batch.size"]
        assert settings.stop.epochs == 2
    assert not list(shell.folder.rglob("*.safetensors"))
    with (shell.folder / "search" / "trials.csv").open(newline="") as file:
        lines = list(csv.DictReader(file))
    assert list(lines[0]) == ["number", "state", "value", "optim.lr", "feedforward.sizes", "batch.size", "problem"]
    assert [float(line["value"]) for line in lines] == [trial["value"] for trial in record["trials"]]
    shown = out.splitlines()
    assert shown[0].split()[:3] == ["trial", "weighted", "F1"]
    assert shown[1].split()[0] == str(best["number"])
    assert len(shown) == 1 + 10 + 2
    assert f"12 trials, 0 of them failed; {len(runs)} different configurations" in out


def test_the_best_is_ready_for_train_and_tells_how_it_was_found(shell: SearchShell) -> None:
    shell.search(3)
    best = shell.folder / "search" / "best.yaml"
    assert best.read_text().startswith("# Trial ")
    target = shell.folder / "run"
    status, _, err = shell.erc("train", best, *shell.place, "--out", target, "--jobs", 1)
    assert (status, err) == (0, "")
    assert Run(target).result(0).dev_weighted_f1 == shell.record()["best"]["value"]
    tuned = Run(target).experiment.tuned
    assert tuned is not None
    assert tuned.configurations_tried == shell.record()["configurations_tried"] == 3
    assert tuned.selected_by == "dev weighted F1, seed 0"


def test_a_search_that_was_stopped_goes_on_as_if_it_had_not_been(
    shell: SearchShell, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Past the ten trials that TPE draws blindly, so that later trials depend on the values of earlier ones."""
    shell.search(14, "stop.epochs=1", out="whole")
    original = pipeline.suites.workers.train_seed
    count = 0

    def interrupted(task: SeedTask) -> dict[str, Any]:
        nonlocal count
        count += 1
        if count in (4, 12):
            raise KeyboardInterrupt
        return original(task)

    monkeypatch.setattr(pipeline.suites.workers, "train_seed", interrupted)
    assert shell.search(14, "stop.epochs=1")[0] == 130
    assert len(shell.record()["trials"]) == 3
    assert shell.search(14, "stop.epochs=1")[0] == 130
    assert len(shell.record()["trials"]) == 10
    assert shell.search(13, "stop.epochs=1")[0] == 0
    assert shell.search(14, "stop.epochs=1")[0] == 0
    assert shell.record() == shell.record("whole")
    count = 20
    assert shell.search(14, "stop.epochs=1")[0] == 0
    assert count == 20
    other = shell.search(2, "stop.epochs=1", "--search-seed", 1, out="other")
    assert other[0] == 0
    assert shell.record("other")["trials"][0]["parameters"] != shell.record()["trials"][0]["parameters"]


def test_another_search_or_a_run_in_the_folder_is_refused(shell: SearchShell) -> None:
    shell.search(1)
    for changed in (["--seeds", "1"], ["optim.clip=2"], ["--search-seed", 3], ["--cv", 2]):
        status, _, err = shell.search(2, *changed)
        assert (status, "holds a search of another space" in err) == (1, True)
    train = ["train", shell.folder / "tiny.yaml", *shell.place, "--only", "text", "--jobs", 1]
    shell.erc(*train, "--out", shell.folder / "run")
    status, _, err = shell.search(2, out="run")
    assert (status, "holds a run, not a search" in err) == (1, True)
    status, _, err = shell.erc(*train, "--out", shell.folder / "run", "--trials", 3)
    assert (status, "add --search SPACE.yaml" in err) == (2, True)


def test_a_search_is_of_the_file_as_it_was_when_it_began(shell: SearchShell, monkeypatch: pytest.MonkeyPatch) -> None:
    original = pipeline.suites.workers.train_seed

    def edited_meanwhile(task: SeedTask) -> SeedResult:
        text = (shell.folder / "tiny.yaml").read_text()
        (shell.folder / "tiny.yaml").write_text(text.replace("epochs: 3", "epochs: 1"))
        return original(task)

    monkeypatch.setattr(pipeline.suites.workers, "train_seed", edited_meanwhile)
    assert shell.search(3)[0] == 0
    runs = [Run(folder) for folder in shell.folder.glob("search/trials/text-*")]
    assert [run.experiment.stop.epochs for run in runs] == [3, 3, 3]
    assert yaml.safe_load((shell.folder / "search" / "best.yaml").read_text())["stop"]["epochs"] == 3


def test_a_search_whose_trials_read_other_features_is_not_continued(shell: SearchShell) -> None:
    """Also where the experiment that is varied does not name the features that changed."""
    space = "inputs.visual: {choices: [[hog-colour]]}\noptim.lr: {low: 1e-3, high: 1e-1}"
    assert shell.search(2, "stop.epochs=1", space=space)[0] == 0
    shutil.rmtree(shell.folder / "store")
    make_store(shell.folder / "store", shell.manifest, missing=(0, 61, 85))
    status, _, err = shell.search(3, "stop.epochs=1", space=space)
    assert (status, "trial" in err, "read other features than the store has now" in err) == (1, True, True)
    assert len(shell.record()["trials"]) == 2
    assert shell.search(2, "stop.epochs=1", space=space)[0] == 0  # there is nothing to add
    shutil.rmtree(shell.folder / "store")
    make_store(shell.folder / "store", shell.manifest, (SENTENCE,))
    status, _, err = shell.search(3, "stop.epochs=1", space=space)
    assert (status, "trial" in err, "lacks visual/hog-colour (make it with" in err) == (1, True, True), err


def test_a_failing_trial_is_recorded_and_the_next_follows(shell: SearchShell, monkeypatch: pytest.MonkeyPatch) -> None:
    original = pipeline.suites.workers.train_seed
    count = 0

    def failing(task: SeedTask) -> dict[str, Any]:
        nonlocal count
        count += 1
        if count == 2:
            raise TrainingError("the loss is nan")
        return original(task)

    monkeypatch.setattr(pipeline.suites.workers, "train_seed", failing)
    status, out, err = shell.search(4)
    assert status == 0
    assert err == "erc: trial 1: seed 0: the loss is nan\n"
    assert "4 trials, 1 of them failed; 3 different configurations" in out
    failed = shell.record()["trials"][1]
    assert (failed["state"], failed["value"], failed["problem"]) == ("failed", None, "seed 0: the loss is nan")
    assert shell.search(5)[0] == 0
    assert [trial["state"] for trial in shell.record()["trials"]] == ["complete", "failed"] + ["complete"] * 3


def test_a_configuration_that_was_tried_is_not_trained_again_although_it_has_no_head(
    shell: SearchShell, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = pipeline.suites.workers.train_seed
    trained = []

    def counting(task: SeedTask) -> dict[str, Any]:
        trained.append(task.seed)
        return original(task)

    monkeypatch.setattr(pipeline.suites.workers, "train_seed", counting)
    space = "batch.size: {choices: [8, 16]}"
    status, out, err = shell.search(5, "stop.epochs=1", space=space)
    assert (status, err) == (0, "")
    assert "5 trials, 0 of them failed; 2 different configurations" in out
    assert len(trained) == 2
    (run,) = (shell.folder / "search" / "trials").glob(f"text-{shell.record()['best']['run'][:8]}")
    assert Run(run).finished_seeds() == [0]
    # The same configuration outside the search keeps its head, and so is trained again where it lies.
    best = shell.folder / "search" / "best.yaml"
    assert shell.erc("train", best, *shell.place, "--out", run, "--jobs", 1)[0] == 0
    assert len(trained) == 3
    assert (run / "seed-0" / "head.safetensors").is_file()


def test_settings_that_do_not_fit_each_other_fail_that_trial_alone(shell: SearchShell) -> None:
    space = "batch.unit: {choices: [utterances, dialogues]}\nbatch.sampler: {choices: [shuffle, class-balanced]}"
    status, _, err = shell.search(8, "batch.size=15", space=space)
    assert status == 0
    states = {
        (trial["parameters"]["batch.unit"], trial["parameters"]["batch.sampler"]): trial["state"]
        for trial in shell.record()["trials"]
    }
    assert states.pop(("dialogues", "class-balanced")) == "failed"
    assert set(states.values()) == {"complete"}
    assert "only shuffle fits" in err
    assert shell.record()["configurations_tried"] == len(states)


def test_folds_are_the_objective_and_dev_and_test_are_not_read(
    shell: SearchShell, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.rmtree(shell.folder / "store")
    make_store(shell.folder / "store", shell.manifest.select_splits(["train"]), (SENTENCE, LOGMEL, HOG))
    asked: list[str] = []
    original = Feature.read

    def spy(self: Feature, ids: list[str], out: Any = None) -> Any:
        asked.extend(ids)
        return original(self, ids, out)

    monkeypatch.setattr(Feature, "read", spy)
    status, out, err = shell.search(3, "--cv", 2, "--json")
    assert (status, err) == (0, "")
    record = json.loads(out)
    assert record == shell.record()
    assert record["objective"] == "weighted F1 over 2 folds of train, by dialogue, seed 0"
    assert all(len(trial["values"]) == 2 for trial in record["trials"])
    assert {item.split("/")[1] for item in asked} == {"train"}
    assert len(asked) == 2 * 60  # normalised once a fold, for all trials
    assert len(list(shell.folder.glob("search/trials/cv-2-dialogue/fold-2/text-*"))) == 3


def test_a_plain_search_reads_no_test_and_its_trials_cannot_be_scored_on_it(
    shell: SearchShell, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    original = Feature.read

    def spy(self: Feature, ids: list[str], out: Any = None) -> Any:
        asked.extend(ids)
        return original(self, ids, out)

    monkeypatch.setattr(Feature, "read", spy)
    shell.search(2)
    assert {item.split("/")[1] for item in asked} == {"train", "dev"}
    status, _, err = shell.erc("evaluate", shell.folder / "search" / "trials", "--split", "test")
    assert (status, "trials of a search keep none" in err) == (1, True)
    assert not list(shell.folder.rglob("test_reads.jsonl"))


def test_without_optuna_it_says_how_to_get_it(shell: SearchShell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipeline.search.run, "find_spec", lambda name: None)
    status, _, err = shell.search(1)
    assert (status, err) == (2, f"erc: --search needs Optuna: {install_extra('tuning')}\n")


def test_a_missing_feature_ends_the_search_before_it_begins(shell: SearchShell) -> None:
    shutil.rmtree(shell.folder / "store" / SENTENCE.folder)
    status, _, err = shell.search(2)
    assert (status, "lacks text/sentence (make it with `erc extract" in err) == (1, True)
    assert not (shell.folder / "search").exists()


def test_one_process_searches_in_a_folder(shell: SearchShell) -> None:
    with search_lock(shell.folder / "search") as held:
        assert held
        status, _, err = shell.search(1)
        assert status == 1
        assert f"{shell.folder / 'search'}: a search is at work there: wait for it, or choose another --out" in err
        assert not (shell.folder / "search" / "search.json").exists()
    assert shell.search(1)[0] == 0
    assert not list(shell.folder.glob("search/.*"))


def test_parts_that_a_search_varies_need_not_fit_before(shell: SearchShell) -> None:
    """Three classes do not divide a batch of 16."""
    space = "batch.size: {choices: [9, 12]}"
    status, _, err = shell.search(2, "batch.sampler=class-balanced", space=space)
    assert (status, err) == (0, "")
    assert [trial["state"] for trial in shell.record()["trials"]] == ["complete"] * 2
    shell.search(1, "batch.sampler=class-balanced", space="batch.size: {choices: [10]}", out="other")
    (trial,) = shell.record("other")["trials"]
    assert "must be a multiple of the 3 classes" in trial["problem"]
