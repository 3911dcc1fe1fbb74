"""`erc train`, `erc ablate`, `erc evaluate` as typed."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from small_corpus import LOGMEL, SENTENCE, edited, embeddings, make_store
from suite_shell import TEXT, Shell

from features.store import write_feature
from pipeline.runs.seed_files import SeedResult
from pipeline.suites import workers
from pipeline.suites.training import SeedTask


@pytest.fixture
def shell(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Shell:
    return Shell(tmp_path, capsys)


def test_list_works_without_a_store_and_begins_with_the_name(shell: Shell) -> None:
    nowhere = shell.folder / "none"
    status, out, _ = shell.erc("ablate", shell.folder / "tiny.yaml", "--list", "--store", nowhere)
    assert status == 0
    assert [line.split()[0] for line in out.splitlines()] == ["text", "both", "same-as-text"]
    assert f"{nowhere} lacks text/sentence, audio/logmel" in out.splitlines()[1]
    status, out, _ = shell.erc("ablate", shell.folder / "tiny.yaml", "--list", *shell.place)
    assert " text: sentence + audio: logmel " in out.splitlines()[1]
    assert out.splitlines()[1].endswith("(its features are there)")
    assert not (shell.folder / "runs").exists()


def test_a_damaged_result_of_a_seed_is_named_and_its_scores_stand_without_seconds(shell: Shell) -> None:
    assert shell.ablate("--seeds", 1, "--only", "text")[0] == 0
    (result,) = shell.folder.glob("runs/text-*/seed-0/result.json")
    result.write_text("{")
    status, out, err = shell.ablate("--seeds", 1, "--only", "text")
    assert status == 1
    name, score, seeds = out.splitlines()[1].split()
    assert (name, seeds) == ("text", "1")
    assert re.fullmatch(r"\d\d?\.\d", score)
    assert f"{result} cannot be read: Expecting" in err
    assert f"remove {result.parent} and train again" in err


def test_heads_are_counted_where_their_scores_cannot_be_read(shell: Shell) -> None:
    shell.ablate("--seeds", 1, "--only", "text")
    (predictions,) = shell.folder.glob("runs/text-*/seed-0/predictions-dev.parquet")
    predictions.write_bytes(b"damaged")
    status, out, _ = shell.ablate("--seeds", 2, "--only", "text")
    assert status == 1
    assert "1 heads trained, 1 kept from before" in out
    document = json.loads(shell.ablate("--seeds", 2, "--only", "text", "--json")[1])
    assert (document["trained"], document["kept"]) == (0, 2)


def test_ablate_prints_a_table_and_what_was_the_same(shell: Shell) -> None:
    status, out, err = shell.ablate("--seeds", 2)
    assert (status, err) == (0, "")
    lines = out.splitlines()
    assert lines[0].split() == ["experiment", "dev", "weighted", "F1", "(%)", "seeds", "seconds", "a", "seed"]
    assert lines[1].startswith("text ")
    assert " ± " in lines[1]
    assert "same-as-text is the same as text (equal config and features): run once" in out
    assert "4 heads trained, 0 kept from before" in out
    assert (shell.folder / "runs" / "suite-tiny.json").is_file()
    assert "0 heads trained, 4 kept from before" in shell.ablate("--seeds", 2)[1]


def test_the_record_of_a_suite_keeps_what_was_trained_before(shell: Shell) -> None:
    record = shell.folder / "runs" / "suite-tiny.json"
    shell.ablate("--seeds", 1, "--only", "both")
    assert list(json.loads(record.read_text())["runs"]) == ["both"]
    shell.ablate("--seeds", 1, "--only", "same-as-text")
    runs = json.loads(record.read_text())["runs"]
    assert set(runs) == {"text", "both", "same-as-text"}
    assert runs["text"] == runs["same-as-text"]
    assert runs["text"].startswith("same-as-text-")


def test_ablate_runs_what_it_can_and_fails_for_the_rest(shell: Shell) -> None:
    shutil.rmtree(shell.folder / "store" / LOGMEL.folder)
    status, out, err = shell.ablate("--seeds", 1)
    assert status == 1
    assert out.splitlines()[1].startswith("text ")
    assert err.startswith("erc: both: ")
    assert "erc extract --modality audio --encoder logmel" in err
    assert err.count("\n") == 1


def test_wrong_usage_is_status_2(shell: Shell) -> None:
    status, _, err = shell.ablate("--only", "txt")
    assert status == 2
    assert "has no experiment 'txt': did you mean 'text'?" in err
    assert shell.erc("ablate", "meld-txt", "--list")[0] == 2
    assert shell.ablate("--device", "cuba")[0] == 2
    status, _, err = shell.ablate("--device", "cuda:99")
    assert (status, "CUDA devices: use cpu" in err) == (2, True)
    assert shell.erc("train", shell.folder / "tiny.yaml", "--out", shell.folder / "run", "--seeds", "a")[0] == 2


def test_train_makes_one_run_with_overrides(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["/somewhere/bin/erc", "train", "a config.yaml"])
    (shell.folder / "one.yaml").write_text("inputs: {text: [sentence]}\nfeedforward: {sizes: [4]}\nstop: {epochs: 2}\n")
    target = shell.folder / "my-run"
    arguments = ["train", shell.folder / "one.yaml", *shell.place, "--out", target, "--jobs", 1]
    status, out, err = shell.erc(*arguments, "--seeds", "0,4", "optim.lr=0.01", "stop.epochs=3")
    assert (status, err) == (0, "")
    assert re.match(r"one: dev weighted F1 \d\d\.\d( ± \d+\.\d)? % over", out)
    assert "over 2 seed(s)" in out
    assert json.loads((target / "seed-4" / "result.json").read_text())["epochs"] == 3
    assert "lr: 0.01" in (target / "config.yaml").read_text()
    assert json.loads((target / "features.json").read_text())["command"] == "erc train 'a config.yaml'"
    status, _, err = shell.erc(*arguments, "optim.lr=0.02")
    assert status == 1
    assert "holds a run of another config" in err


def test_train_takes_one_experiment_of_a_suite(shell: Shell) -> None:
    arguments = ["train", shell.folder / "tiny.yaml", *shell.place, "--out", shell.folder / "run"]
    status, _, err = shell.erc(*arguments)
    assert (status, "has 3 experiments: choose one with --only NAME" in err) == (2, True)
    status, _, err = shell.erc(*arguments, "--only", "bth")
    assert (status, "did you mean 'both'?" in err) == (2, True)
    status, out, _ = shell.erc(*arguments, "--only", "both")
    assert status == 0
    assert out.startswith("both: dev weighted F1")
    assert (shell.folder / "run" / "metrics-dev.json").is_file()


def test_train_refuses_stale_rows(shell: Shell) -> None:
    changed = shell.folder / "changed.parquet"
    edited(shell.manifest, changed, "tiny/train/dia0_utt2", text="new")
    arguments = ["train", shell.folder / "tiny.yaml", "--only", "text", "--store", shell.folder / "store"]
    status, _, err = shell.erc(*arguments, "--manifest", changed, "--out", shell.folder / "run")
    assert status == 1
    assert "1 of 84 utterances were extracted from other input" in err
    assert not (shell.folder / "run").exists()
    assert shell.erc(*arguments, "--manifest", changed, "--out", shell.folder / "run", "--allow-stale")[0] == 0


def test_evaluate_scores_test_writes_it_down_and_counts_the_read(shell: Shell) -> None:
    shell.ablate("--seeds", 2)
    runs = shell.folder / "runs"
    status, out, err = shell.erc("evaluate", runs, "--split", "test", "--json")
    assert (status, err) == (0, "")
    scored: list[dict[str, Any]] = json.loads(out)
    assert {item["experiment"] for item in scored} == {"text", "both"}
    for item in scored:
        assert item["split"] == "test"
        assert item["utterances"] == 24
        for name in ("weighted_f1", "macro_f1", "accuracy"):
            assert item[name].keys() == {"mean", "std", "values"}
            assert len(item[name]["values"]) == 2
        assert list(item["per_class_f1"]) == ["joy", "anger", "neutral"]
        assert item["per_class_f1"]["joy"].keys() == {"mean", "std", "values"}
    (folder,) = runs.glob("both-*")
    assert json.loads((folder / "metrics-test.json").read_text())["coverage"][LOGMEL.folder]["missing"] == {
        "no-file": 1
    }
    assert (folder / "seed-1" / "predictions-test.parquet").is_file()
    shell.erc("evaluate", folder, "--split", "test")
    shell.erc("evaluate", folder, "--split", "dev")
    reads = [json.loads(line) for line in (runs / "test_reads.jsonl").read_text().splitlines()]
    assert [item["experiment"] for item in reads] == ["both", "text", "both"]
    whose = {"dataset", "manifest", "digest", "own"}
    assert reads[0].keys() == {"time", "experiment", "run", "seeds", "split"} | whose
    assert {(read["dataset"], read["own"]) for read in reads} == {("tiny", True)}
    assert (reads[2]["run"], reads[2]["seeds"], reads[2]["split"]) == (folder.name, [0, 1], "test")


def test_evaluating_dev_again_gives_what_training_wrote(shell: Shell) -> None:
    shell.ablate("--seeds", 2)
    runs = shell.folder / "runs"
    before = {path: path.read_bytes() for path in runs.rglob("*dev*")}
    status, out, _ = shell.erc("evaluate", runs, "--split", "dev")
    assert status == 0
    assert len(before) == 2 * 3
    assert all(path.read_bytes() == content for path, content in before.items())
    assert not (runs / "test_reads.jsonl").exists()
    assert "(always-neutral)" in out
    assert "(class-prior)" in out


def test_evaluate_needs_nothing_of_train_and_dev(shell: Shell) -> None:
    shell.ablate("--seeds", 1, "--only", "text")
    _, out, _ = shell.erc("evaluate", shell.folder / "runs", "--split", "test", "--json")
    alone = shell.folder / "alone"
    test = shell.manifest.select_splits(["test"])
    write_feature(alone, SENTENCE, test, embeddings(shell.manifest, SENTENCE, seed=0))
    _, again, _ = shell.erc("evaluate", shell.folder / "runs", "--split", "test", "--json", "--store", alone)
    assert json.loads(again)[0]["weighted_f1"] == json.loads(out)[0]["weighted_f1"]


def test_evaluate_says_that_a_feature_is_damaged_and_not_that_it_is_absent(shell: Shell) -> None:
    shell.ablate("--seeds", 1, "--only", "text")
    (spec,) = (shell.folder / "store" / "text").glob("*/spec.json")
    spec.write_bytes(spec.read_bytes().replace(b"sentence", b"sentense"))
    status, _, err = shell.erc("evaluate", shell.folder / "runs", "--split", "test")
    assert status == 1
    assert "which cannot be read: " in err
    assert str(spec) in err
    assert "does not have" not in err


def test_evaluate_refuses_another_store_other_labels_and_stale_rows(shell: Shell) -> None:
    shell.ablate("--seeds", 1, "--only", "text")
    runs = shell.folder / "runs"
    other = shell.folder / "other"
    make_store(other, shell.manifest, (LOGMEL,))
    status, out, err = shell.erc("evaluate", runs, "--split", "test", "--store", other, "--json")
    assert (status, out) == (1, "[]\n")
    assert "which " + str(other) + " does not have" in err
    changed = shell.folder / "changed.parquet"
    edited(shell.manifest, changed, "tiny/test/dia0_utt2", text="new")
    status, _, err = shell.erc("evaluate", runs, "--split", "test", "--manifest", changed)
    assert (status, "were extracted from other input" in err) == (1, True)
    assert shell.erc("evaluate", runs, "--split", "dev", "--manifest", changed)[0] == 0
    status, _, err = shell.erc("evaluate", runs, "--split", "valid")
    assert (status, "no split 'valid'" in err) == (1, True)
    shutil.rmtree(next(runs.glob("text-*")) / "seed-0")
    status, _, err = shell.erc("evaluate", runs, "--split", "test")
    assert (status, "no seed is finished" in err) == (1, True)
    assert not (runs / "test_reads.jsonl").exists()


def gone(group: int, within_s: float) -> bool:
    """Whether every process of a group ends in that time."""
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.1)
    return False


def test_ctrl_c_ends_an_ablation_and_its_workers_at_once(shell: Shell) -> None:
    (shell.folder / "long.yaml").write_text(
        "experiments: {long: {inputs: {text: [sentence]}, stop: {epochs: 100000, patience: 100000}}}"
    )
    command = [sys.executable, "-c", "from pipeline.cli import main; main()", "ablate", shell.folder / "long.yaml"]
    process = subprocess.Popen(
        [*command, *shell.place, "--out", shell.folder / "runs", "--seeds", "2", "--jobs", "2"],
        cwd=Path(__file__).parents[3],
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    deadline = time.monotonic() + 120
    while not list(shell.folder.glob("runs/long-*/features.json")) and time.monotonic() < deadline:
        time.sleep(0.1)
    time.sleep(1)
    os.killpg(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 130
    stopped = [line for line in err.splitlines() if "stopped" in line]
    assert stopped == ["erc: stopped: finished heads are kept; run the same command again to train the others"]
    assert "Traceback" not in err
    assert gone(process.pid, within_s=120)


@pytest.mark.slow  # test_slices_of_a_suite.py kills one and goes on
def test_a_killed_ablation_goes_on_to_the_same_bits(shell: Shell) -> None:
    """SIGKILL in the middle of two processes' work, then the same command; against one process, never interrupted."""
    (shell.folder / "tiny.yaml").write_text(TEXT.replace("epochs: 3", "epochs: 60, patience: 60"))
    command = [sys.executable, "-c", "from pipeline.cli import main; main()", "ablate", shell.folder / "tiny.yaml"]
    command += [*shell.place, "--out", shell.folder / "runs", "--seeds", "3", "--jobs", "2"]
    process = subprocess.Popen(
        command, cwd=Path(__file__).parents[3], stdout=subprocess.DEVNULL, start_new_session=True
    )
    deadline = time.monotonic() + 120
    while not list(shell.folder.glob("runs/*/seed-*/result.json")) and time.monotonic() < deadline:
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert gone(process.pid, within_s=120)
    finished = {path: path.stat().st_mtime_ns for path in shell.folder.glob("runs/*/seed-*/result.json")}
    assert 0 < len(finished) < 6
    resumed = subprocess.run(command, cwd=Path(__file__).parents[3], check=True, capture_output=True, text=True)
    assert f"{6 - len(finished)} heads trained, {len(finished)} kept from before" in resumed.stdout
    assert all(path.stat().st_mtime_ns == written for path, written in finished.items())
    assert shell.ablate("--seeds", 3, "--out", shell.folder / "whole")[0] == 0
    whole = {path.relative_to(shell.folder / "whole"): path for path in (shell.folder / "whole").rglob("*-dev.*")}
    assert len(whole) == 2 * (3 + 1)
    for name, path in whole.items():
        assert (shell.folder / "runs" / name).read_bytes() == path.read_bytes(), name


def test_train_makes_no_run_of_a_folder_of_runs(shell: Shell) -> None:
    """It would hide them from whoever reads the folder."""
    train = ["train", shell.folder / "tiny.yaml", "--only", "text", *shell.place, "--jobs", 1]
    shell.ablate("--seeds", 1, "--only", "both")
    shell.erc(*train, "--cv", 3, "--out", shell.folder / "folds")
    for out in (shell.folder / "runs", shell.folder / "folds", shell.folder / "folds" / "cv-3-dialogue"):
        before = sorted(path.name for path in out.iterdir())
        status, _, err = shell.erc(*train, "--out", out)
        assert status == 1
        assert f"{out}: holds runs, not a run: give a folder within it, such as {out / 'text'}" in err
        assert sorted(path.name for path in out.iterdir()) == before
    runs = shell.folder / "runs"
    assert shell.erc(*train, "--out", runs / "text")[0] == 0
    assert shell.erc(*train, "--out", runs / "text", "--seeds", "0,1")[0] == 0


def test_scores_without_seconds_are_in_the_json_too(shell: Shell) -> None:
    """As older versions left them."""
    shell.ablate("--seeds", 1, "--only", "text")
    (result,) = shell.folder.glob("runs/text-*/seed-0/result.json")
    content = json.loads(result.read_text())
    del content["train_seconds"]
    result.write_text(json.dumps(content))
    (found,) = json.loads(shell.ablate("--seeds", 1, "--only", "text", "--json")[1])["experiments"]
    assert (found["experiment"], found["seconds"]) == ("text", None)
    assert found["weighted_f1"]["mean"] > 0


def test_seeds_beyond_what_torch_takes_are_told_at_once(shell: Shell) -> None:
    train = ["train", shell.folder / "tiny.yaml", "--only", "text", *shell.place, "--jobs", 1]
    largest = (1 << 64) - 1
    assert shell.erc(*train, "--out", shell.folder / "run", "--seeds", largest)[0] == 0
    status, _, err = shell.erc(*train, "--out", shell.folder / "other", "--seeds", largest + 1)
    assert (status, f"{largest + 1} is too large a seed: give one below 2^64" in err) == (2, True)
    assert not (shell.folder / "other").exists()


MISFITS = """
defaults: {inputs: {text: [sentence]}, feedforward: {sizes: [4]}, batch: {size: 16}, stop: {epochs: 2}}
experiments:
  fits: {}
  heads: {inputs: {text: [sentence], audio: [logmel]}, fusion: {name: attention, dim: 8, heads: 3}}
  lengths: {batch: {size: 16, sampler: bucketed}}
  classes: {batch: {size: 16, sampler: class-balanced}}
  queue: {loss: [{name: spcl, items: 9, queue: 8}]}
"""


def test_parts_that_do_not_fit_the_corpus_are_told_before_training(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    (shell.folder / "tiny.yaml").write_text(MISFITS)
    trained, own = [], workers.train_seed

    def noted(task: SeedTask) -> SeedResult:
        trained.append(task.experiment.name)
        return own(task)

    monkeypatch.setattr(workers, "train_seed", noted)
    status, _, err = shell.ablate("--seeds", 2)
    assert (status, trained) == (1, ["fits", "fits"])
    assert "heads: fusion.heads (3) must divide dim (8)" in err
    assert "lengths: the sampler bucketed puts examples of like length together, and no input" in err
    assert "classes: batch.size (16) must be a multiple of the 3 classes" in err
    assert "queue: loss spcl: items (9) must be at most queue (8)" in err
    assert not list(shell.folder.glob("runs/heads-*"))
    listed = json.loads(shell.ablate("--list", "--no-estimate", "--json")[1])["experiments"]
    assert [item["experiment"] for item in listed if item["problem"]] == ["heads", "lengths", "classes", "queue"]
