"""`erc evaluate`: which runs are scored, what is shown of them, and what it says when something is wrong."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from copied import copied
from small_corpus import LOGMEL, make_manifest, make_store

import pipeline.scoring.evaluation
from features.errors import ConfigError, RunError, UsageError
from features.manifest import read_manifest
from features.store import Feature
from heads.config.suite import read_suite, shipped_suites
from pipeline.cli import erc, run
from pipeline.commands.evaluate import score_table
from pipeline.report.read import read_runs
from pipeline.runs.folder import Run, find_runs
from pipeline.runs.metrics_file import Metrics
from pipeline.runs.set_aside import set_aside
from pipeline.scoring.selection import parse_words, select_runs

SCORES = ("weighted_f1", "macro_f1", "accuracy", "negative_log_likelihood", "calibration_error")

SUITE = """
baseline: text
defaults: {feedforward: {sizes: [8]}, stop: {epochs: 3}}
experiments:
  text: {inputs: {text: [sentence]}}
  both: {inputs: {text: [sentence], audio: [logmel]}}
  sound: {inputs: {audio: [logmel]}}
contrasts:
  - {question: "Does sound help?", A: both, B: text}
"""


class Shell:
    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.capsys = capsys
        copied("runs to evaluate", folder, self._make)
        self.folder, self.runs = folder, folder / "runs"
        self.manifest = read_manifest(folder / "M.parquet")

    def _make(self, folder: Path) -> None:
        self.folder, self.runs = folder, folder / "runs"
        # of the test rows, which begin at 84, two have no sound
        make_store(folder / "store", make_manifest(folder / "M.parquet"), missing=(0, 85, 90))
        self.suite("tiny")

    def suite(self, name: str, text: str = SUITE) -> None:
        (self.folder / f"{name}.yaml").write_text(text)
        place = ["--store", self.folder / "store", "--manifest", self.folder / "M.parquet", "--jobs", 1, "--quiet"]
        status, _, err = self.erc("ablate", self.folder / f"{name}.yaml", *place, "--out", self.runs, "--seeds", 2)
        assert (status, err) == (0, "")

    def erc(self, *arguments: object) -> tuple[int, str, str]:
        self.capsys.readouterr()
        status = run(erc, [str(item) for item in arguments], "erc")
        captured = self.capsys.readouterr()
        return status, captured.out, captured.err

    def folder_of(self, experiment: str) -> Path:
        (found,) = self.runs.glob(f"{experiment}-????????")
        return found

    def set_dev(self, experiment: str, mean: float) -> None:
        path = self.folder_of(experiment) / "metrics-dev.json"
        values = json.loads(path.read_text())
        values["weighted_f1"]["mean"] = mean
        path.write_text(json.dumps(values))

    def reads(self) -> list[str]:
        path = self.runs / "test_reads.jsonl"
        return [json.loads(line)["experiment"] for line in path.read_text().splitlines()] if path.is_file() else []


@pytest.fixture
def shell(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Shell:
    return Shell(tmp_path, capsys)


PROTOCOL = ("--select", "best-dev,baseline")


def test_the_protocol_reads_test_for_the_best_on_dev_and_the_baseline_alone(shell: Shell) -> None:
    shell.set_dev("both", 0.9)
    status, out, err = shell.erc("evaluate", shell.runs, "--split", "test", *PROTOCOL)
    assert (status, err) == (0, "")
    assert shell.reads() == ["both", "text"]
    assert not (shell.folder_of("sound") / "metrics-test.json").exists()
    assert "both: best on dev of 3 (weighted F1 90.0 %)" in out
    assert "text: baseline of suite tiny" in out
    assert "were scored on test" not in out


def test_a_baseline_that_is_best_is_read_once(shell: Shell) -> None:
    shell.set_dev("text", 0.9)
    _, out, _ = shell.erc("evaluate", shell.runs, "--split", "test", *PROTOCOL)
    assert shell.reads() == ["text"]
    assert "text: best on dev of 3 (weighted F1 90.0 %) and baseline of suite tiny" in out


def test_the_baseline_is_found_beside_the_runs_that_are_given(shell: Shell) -> None:
    shell.erc("evaluate", shell.folder_of("sound"), "--split", "test", *PROTOCOL)
    assert shell.reads() == ["sound", "text"]


def test_each_word_alone(shell: Shell) -> None:
    shell.set_dev("sound", 0.9)
    shell.erc("evaluate", shell.runs, "--split", "test", "--select", "best-dev")
    assert shell.reads() == ["sound"]
    shell.erc("evaluate", shell.runs, "--split", "test", "--select", "baseline")
    assert shell.reads() == ["sound", "text"]


def test_baselines_of_suites_that_none_of_the_runs_belong_to_are_left(shell: Shell) -> None:
    shell.suite(
        "other",
        SUITE.replace("sizes: [8]", "sizes: [4]")
        .replace("  text:", "  words:")
        .replace("text\n", "words\n", 1)
        .replace("B: text", "B: words"),
    )
    shell.erc("evaluate", shell.folder_of("text"), "--split", "dev", *PROTOCOL)
    selection = select_runs([Run(shell.folder_of("text"))], ["baseline"])
    assert [chosen.path.name for chosen in selection.runs] == [shell.folder_of("text").name]
    everything = select_runs(find_runs([shell.runs]), ["baseline"])
    assert {chosen.experiment.name for chosen in everything.runs} == {"text", "words"}


def test_runs_without_dev_scores_are_passed_over_and_named(shell: Shell) -> None:
    shell.set_dev("both", 0.9)
    (shell.folder_of("both") / "metrics-dev.json").unlink()
    shell.set_dev("sound", 0.8)
    status, _, err = shell.erc("evaluate", shell.runs, "--split", "test", "--select", "best-dev")
    assert (status, shell.reads()) == (0, ["sound"])
    assert f"1 of 3 runs have no dev scores and are passed over: {shell.folder_of('both').name}" in err


def test_without_a_choice_several_test_scores_are_said_to_be_several(shell: Shell) -> None:
    _, out, _ = shell.erc("evaluate", shell.runs, "--split", "test")
    assert "3 runs were scored on test. The protocol is `--select best-dev,baseline`" in out
    assert "were scored on test" not in shell.erc("evaluate", shell.runs, "--split", "dev")[1]
    assert "were scored on test" not in shell.erc("evaluate", shell.folder_of("text"), "--split", "test")[1]


def test_scores_on_test_rank_nothing() -> None:
    scores = {name: {"mean": 0.5, "std": None, "values": [0.5]} for name in SCORES}
    common = scores | {"slices": [], "seeds": [0], "utterances": 4, "unlabelled": 0, "no_input": 0}
    common |= {
        "labels": ["joy"],
        "support": {"joy": 4},
        "per_class_f1": {"joy": scores["macro_f1"]},
        "confusion": [[4]],
    }
    common["baselines"] = {
        key: {"weighted_f1": 0.1, "macro_f1": 0.1, "accuracy": 0.1} for key in ("class-prior", "always-neutral")
    }
    worse, better = (
        common | {"experiment": name, "weighted_f1": {"mean": mean, "std": None, "values": [mean]}}
        for name, mean in (("chosen", 0.3), ("other", 0.4))
    )
    for split, first in (("test", "chosen"), ("dev", "other")):
        table = score_table([Metrics.model_validate(values | {"split": split}) for values in (worse, better)])
        assert table.splitlines()[1].startswith(first)


def test_words_and_splits_that_do_not_exist(shell: Shell) -> None:
    status, _, err = shell.erc("evaluate", shell.runs, "--split", "test", "--select", "best-dev,basline")
    assert (status, "no choice 'basline': did you mean 'baseline'? known: baseline, best-dev" in err) == (2, True)
    with pytest.raises(UsageError, match="no choice ''"):
        parse_words("best-dev,")
    status, _, err = shell.erc("evaluate", shell.runs, "--split", "tset")
    assert status == 1
    assert err.count("\n") == 1
    assert "and 2 more: no split 'tset'" in err
    assert "known: dev, test, train" in err
    status, _, err = shell.erc("evaluate", shell.runs, "--split", "../test")
    assert (status, "cannot be part of a file's name" in err) == (2, True)
    assert shell.reads() == []


def test_a_baseline_that_is_not_known_is_an_error(shell: Shell) -> None:
    runs = find_runs([shell.runs])
    record = shell.runs / "suite-tiny.json"
    values = json.loads(record.read_text())
    assert values["baseline"] == "text"
    record.write_text(json.dumps(values | {"baseline": None}))
    with pytest.raises(RunError, match="suite tiny declares no baseline: add `baseline: EXPERIMENT`"):
        select_runs(runs, ["baseline"])
    record.write_text(json.dumps(values | {"baseline": "gone"}))
    with pytest.raises(RunError, match="its baseline 'gone' has no run here"):
        select_runs(runs, ["baseline"])
    record.write_text("{")
    with pytest.raises(RunError, match=r"suite-tiny\.json cannot be read: .*: run the suite's `erc ablate` again"):
        select_runs(runs, ["baseline"])
    record.write_text("[]")
    with pytest.raises(RunError, match=r"suite-tiny\.json: Input should be a valid dictionary"):
        select_runs(runs, ["baseline"])
    record.unlink()
    with pytest.raises(RunError, match=r"no suite-NAME\.json beside the runs"):
        select_runs(runs, ["baseline"])


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("metrics-dev.json", "{", "metrics-dev.json cannot be read: Expecting"),
        ("metrics-dev.json", "[]", "metrics-dev.json: Input should be a valid dictionary"),
        ("metrics-dev.json", "{}", "metrics-dev.json: split: Field required"),
        ("features.json", "{}", "features.json: manifest: Field required"),
        ("features.json", '{"manifest": {}, "store": "s", "features": []}', "manifest.dataset: Field required"),
        (
            "features.json",
            '{"manifest": {"dataset": "d"}, "features": []}',
            "manifest.labels: Field required",
        ),
    ],
)
def test_damaged_files_are_named(shell: Shell, name: str, content: str, problem: str) -> None:
    (shell.folder_of("both") / name).write_text(content)
    status, _, err = shell.erc("evaluate", shell.runs, "--split", "test", *PROTOCOL)
    assert (status, err.count("\n"), shell.reads()) == (1, 1, [])
    assert f"{shell.folder_of('both')}/{name}" in err
    assert problem in err
    assert {"metrics-dev.json": "run `erc evaluate", "features.json": "train the experiment again"}[name] in err


def test_a_run_that_recorded_no_store_is_scored_from_one_that_is_given(shell: Shell) -> None:
    path = shell.folder_of("both") / "features.json"
    record = json.loads(path.read_text())
    path.write_text(json.dumps({key: value for key, value in record.items() if key != "store"}))
    status, _, err = shell.erc("evaluate", path.parent, "--split", "dev")
    assert (status, f"{path.parent}: has no record of its store: give --store S" in err) == (1, True)
    assert shell.erc("evaluate", path.parent, "--split", "dev", "--store", shell.folder / "store")[0] == 0


def test_a_damaged_head_fails_alone(shell: Shell) -> None:
    (shell.folder_of("both") / "seed-1" / "head.safetensors").write_bytes(b"not a head")
    status, out, err = shell.erc("evaluate", shell.runs, "--split", "dev", "--json")
    assert status == 1
    assert {item["experiment"] for item in json.loads(out)} == {"text", "sound"}
    assert "seed-1/head.safetensors: is not a whole safetensors file" in err


def test_the_table_shows_rows_with_missing_media_with_and_without(shell: Shell) -> None:
    _, out, _ = shell.erc("evaluate", shell.runs, "--split", "test", "--json")
    scored: list[dict[str, Any]] = json.loads(out)
    assert [next(iter(item)) for item in scored] == ["experiment"] * 3
    by_name = {item["experiment"]: item for item in scored}
    inputs = {item["name"]: item for item in by_name["both"]["slices"] if item["group"] == "input"}
    assert {name: item["utterances"] for name, item in inputs.items()} == {"all there": 22, "audio missing": 2}
    assert by_name["sound"]["no_input"] == 2
    assert by_name["both"]["negative_log_likelihood"].keys() == {"mean", "std", "values"}
    assert len(by_name["both"]["calibration_error"]["values"]) == 2
    assert sum(bin_["count"] for bin_ in by_name["both"]["reliability"]) == 2 * 24
    _, out, _ = shell.erc("evaluate", shell.folder_of("both"), "--split", "test")
    header, line, *_ = out.splitlines()
    assert header.split()[-6:] == ["incomplete", "F1", "of", "the", "complete", "(%)"]
    whole = inputs["all there"]["weighted_f1"]
    assert line.split()[-5:] == ["0", "2", f"{100 * whole['mean']:.1f}", "±", f"{100 * whole['std']:.1f}"]
    _, out, _ = shell.erc("evaluate", shell.folder_of("text"), "--split", "test")
    assert out.splitlines()[0].endswith("no input")


def test_slices_of_training_and_of_evaluating_dev_again_are_the_same(shell: Shell) -> None:
    path = shell.folder_of("both") / "metrics-dev.json"
    before = path.read_bytes()
    groups = {item["group"] for item in json.loads(before)["slices"]}
    assert groups == {"emotion-shift", "turn", "duration", "speaker-in-train", "text-in-train", "input"}
    shell.erc("evaluate", shell.runs, "--split", "dev")
    assert path.read_bytes() == before


def test_a_feature_is_read_once_for_all_runs_and_seeds(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []
    original = Feature.read

    def spy(self: Feature, *arguments: Any, **options: Any) -> Any:
        read.append(self.folder)
        return original(self, *arguments, **options)

    monkeypatch.setattr(Feature, "read", spy)
    runs = find_runs([shell.runs])
    evaluator = pipeline.scoring.evaluation.Evaluator("test")
    together = [evaluator.score(one) for one in runs]
    assert len(read) == len(set(read)) == 2
    alone = [pipeline.scoring.evaluation.Evaluator("test").score(one) for one in runs]
    assert together == alone


def test_the_least_memory_gives_the_same_scores(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    from pipeline.scoring.shared_rows import SharedRows

    runs = find_runs([shell.runs])
    together = [pipeline.scoring.evaluation.Evaluator("test").score(one) for one in runs]
    monkeypatch.setattr(pipeline.scoring.evaluation, "SharedRows", lambda: SharedRows(kept_bytes=0))
    assert [pipeline.scoring.evaluation.Evaluator("test").score(one) for one in runs] == together


def test_a_baseline_must_be_an_experiment_of_the_suite(tmp_path: Path) -> None:
    path = tmp_path / "s.yaml"
    path.write_text(SUITE)
    assert read_suite(str(path)).baseline == "text"
    path.write_text(SUITE.replace("baseline: text", "baseline: txt"))
    with pytest.raises(ConfigError, match="baseline: no experiment 'txt': did you mean 'text'"):
        read_suite(str(path))
    path.write_text(SUITE.replace("baseline: text", "baseline: [text]"))
    with pytest.raises(ConfigError, match="baseline: no experiment"):
        read_suite(str(path))
    path.write_text(SUITE.replace("baseline: text\n", ""))
    assert read_suite(str(path)).baseline is None


def test_the_suites_that_ship_have_baselines_but_for_the_one_of_single_encoders() -> None:
    without = [name for name in shipped_suites() if read_suite(name).baseline is None]
    assert without == ["slips-features"]
    assert read_suite("table4").baseline == read_suite("table4-as-published").baseline == "01-baseline-cce"


def test_of_folders_with_one_fingerprint_the_recorded_one_is_read(shell: Shell) -> None:
    folder, twin = LOGMEL.folder, replace(LOGMEL, alias="twin")
    assert twin.fingerprint == LOGMEL.fingerprint
    make_store(shell.folder / "store", shell.manifest, (twin,))  # lacks nothing
    shell.erc("evaluate", shell.folder_of("sound"), "--split", "test")
    path = shell.folder_of("sound") / "metrics-test.json"
    coverage = json.loads(path.read_text())["coverage"]
    assert {name: item["ok"] for name, item in coverage.items()} == {folder: 22}
    store = make_store(shell.folder / "other", shell.manifest, (twin,))
    assert shell.erc("evaluate", shell.folder_of("sound"), "--split", "test", "--store", store)[0] == 0
    coverage = json.loads(path.read_text())["coverage"]
    assert {name: item["ok"] for name, item in coverage.items()} == {folder: 24}


def test_a_run_that_cannot_be_written_fails_alone(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    own = pipeline.scoring.evaluation.write_model

    def refused(path: Path, model: Any) -> None:
        if path.parent == shell.folder_of("both"):
            raise PermissionError(13, "Permission denied", str(path))
        own(path, model)

    monkeypatch.setattr(pipeline.scoring.evaluation, "write_model", refused)
    status, out, err = shell.erc("evaluate", shell.runs, "--split", "dev", "--json")
    assert status == 1
    assert {item["experiment"] for item in json.loads(out)} == {"text", "sound"}
    assert err.startswith(f"erc: {shell.folder_of('both').name}: PermissionError: ")
    assert err.count("\n") == 1


def test_reads_of_test_are_counted_for_the_run_however_it_is_named(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_folder = shell.folder_of("text")
    set_aside(Run(run_folder), [1])
    assert shell.erc("evaluate", run_folder / "earlier-1", "--split", "test")[0] == 0
    monkeypatch.chdir(run_folder)
    status, out, _ = shell.erc("evaluate", ".", "--split", "test", "--json")
    assert (status, json.loads(out)[0]["run"]) == (0, run_folder.name)
    reads = [json.loads(line) for line in (shell.runs / "test_reads.jsonl").read_text().splitlines()]
    assert [read["run"] for read in reads] == [run_folder.name] * 2
    assert not list(run_folder.glob("test_reads.jsonl"))
    for named in (run_folder, run_folder / "earlier-1"):
        assert [read.run for read in read_runs(named).test_reads] == [run_folder.name] * 2
    older = json.dumps(reads[0] | {"run": "earlier-1"})  # where older versions wrote it
    of_another = json.dumps(reads[0] | {"run": "inner-1a2b3c4d"})  # a run that lies within this one's folder
    (run_folder / "test_reads.jsonl").write_text(f"{older}\n{of_another}\n")
    for named in (shell.runs, run_folder, run_folder / "earlier-1"):
        assert [read.run for read in read_runs(named).test_reads] == [run_folder.name] * 3
