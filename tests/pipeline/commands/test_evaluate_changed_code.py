"""`erc evaluate` runs no head through other code than it was trained by, unless someone asks for it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from small_corpus import make_manifest, make_store
from suite_shell import Shell

from pipeline.runs.folder import Run

pytestmark = pytest.mark.usefixtures("without_plots")

HOUSE = Path(__file__).resolve().parents[3]


@pytest.fixture
def shell(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Shell:
    found = Shell(tmp_path, capsys)
    assert found.ablate("--seeds", 2, "--only", "text", "--only", "both")[0] == 0
    return found


def run_of(shell: Shell, name: str = "text") -> Run:
    (path,) = (shell.folder / "runs").glob(f"{name}-????????")
    return Run(path)


def change(run: Run, **values: Any) -> None:
    """What every seed recorded of how it was made."""
    for seed in run.finished_seeds():
        file = run.seed_folder(seed) / "result.json"
        file.write_text(json.dumps(json.loads(file.read_text()) | values))


def made_by_other(run: Run, *modules: str) -> None:
    change(run, sources=run.result(0).sources | dict.fromkeys(modules, "0" * 16))


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def evaluate(shell: Shell, *arguments: object, split: str = "dev") -> tuple[int, str, str]:
    return shell.erc("evaluate", shell.folder / "runs", "--split", split, *arguments)


def test_an_edited_activation_is_refused_and_leaves_the_scores(tmp_path: Path) -> None:
    """In copies of the packages, as in use: train, edit, evaluate, undo the edit."""
    code = tmp_path / "code"
    for package in ("features", "heads", "pipeline"):
        shutil.copytree(HOUSE / package, code / package, ignore=shutil.ignore_patterns("__pycache__"))
    make_store(tmp_path / "store", make_manifest(tmp_path / "M.parquet"))
    (tmp_path / "one.yaml").write_text("experiments: {a: {inputs: {text: [sentence]}, stop: {epochs: 2}}}\n")

    def erc(*arguments: str) -> tuple[int, str]:
        done = subprocess.run(
            [sys.executable, "-c", "from pipeline.cli import main; main()", *arguments],
            cwd=tmp_path,
            env=os.environ | {"PYTHONPATH": str(code)},
            capture_output=True,
            text=True,
            check=False,
        )
        return done.returncode, done.stderr

    place = ["--store", "store", "--manifest", "M.parquet", "--jobs", "1", "--seeds", "1", "--quiet"]
    assert erc("ablate", "one.yaml", *place, "--out", "runs") == (0, "")
    before = files(tmp_path / "runs")
    layers = code / "heads" / "feedforward.py"
    text = layers.read_text()
    assert '"relu": nn.ReLU' in text
    layers.write_text(text.replace('"relu": nn.ReLU', '"relu": nn.Tanhshrink'))
    for split in ("dev", "test"):
        status, problem = erc("evaluate", "runs", "--split", split)
        assert status == 1
        assert "since it was trained, the code of heads.feedforward changed" in problem
        assert "train again (the same `erc ablate` or `erc train` does), or give --allow-changed-code" in problem
    assert files(tmp_path / "runs") == before
    layers.write_text(text)
    assert erc("evaluate", "runs", "--split", "dev")[0] == 0


def test_runs_that_share_the_reason_share_the_line(shell: Shell) -> None:
    for name in ("text", "both"):
        made_by_other(run_of(shell, name), "heads.model", "heads.training.trainer")
    status, out, err = evaluate(shell, split="test")
    assert (status, out) == (1, "")
    (line,) = err.splitlines()
    assert line.startswith(f"erc: {run_of(shell, 'both').path.name} and 1 more: since it was trained, the code of ")
    assert "the code of heads.model changed" in line
    assert not (shell.folder / "runs" / "test_reads.jsonl").exists()


@pytest.mark.parametrize(
    "other",
    [
        {"device": "cuda:0", "precision": "bf16"},
        {"versions": {"torch": "1.0", "numpy": "1.0", "erc-feature-store": "0.0", "transformers": "1.0"}},
    ],
)
def test_a_head_of_another_machine_is_scored(shell: Shell, other: dict[str, Any]) -> None:
    run = run_of(shell)
    change(run, **other)
    before = run.metrics("dev")
    status, _, err = evaluate(shell)
    assert (status, err) == (0, "")
    assert Run(run.path).metrics("dev").weighted_f1 == before.weighted_f1


def test_a_head_of_another_trainer_is_scored(shell: Shell) -> None:
    made_by_other(run_of(shell), "heads.training.trainer", "heads.training.adamw", "heads.data.samplers.shuffle")
    assert evaluate(shell, split="test")[::2] == (0, "")


def test_what_is_asked_for_all_the_same_is_kept_apart_and_says_so(shell: Shell) -> None:
    run = run_of(shell)
    made_by_other(run, "heads.feedforward")
    before = files(run.path)
    for split in ("dev", "test"):
        status, out, err = evaluate(shell, "--allow-changed-code", split=split)
        assert (status, err) == (0, "")
        assert "by other code than trained them (the code of heads.feedforward changed since):" in out
        assert f"kept apart from the runs' own scores: {run.path / 'other-code'}" in out
    after = files(run.path)
    assert {name: after[name] for name in before} == before
    added = {Path(name).name for name in after.keys() - before.keys()}
    assert added == {
        f"{what}-{split}.{end}"
        for split in ("dev", "test")
        for what, end in (("metrics", "json"), ("predictions", "parquet"))
    }
    (folder,) = (run.path / "other-code").iterdir()
    record = json.loads((folder / "metrics-test.json").read_text())
    assert record["scored"]["other_code"] == "the code of heads.feedforward"
    assert not (run.path / "metrics-test.json").exists()
    own = json.loads((run_of(shell, "both").path / "metrics-test.json").read_text())
    assert "other_code" not in own["scored"]
    reads = [json.loads(line) for line in (shell.folder / "runs" / "test_reads.jsonl").read_text().splitlines()]
    told = {read["experiment"]: (read["own"], read.get("other_code")) for read in reads}
    assert told == {"text": (True, "the code of heads.feedforward"), "both": (True, None)}
    documents = json.loads(evaluate(shell, "--allow-changed-code", "--json")[1])
    assert {one["experiment"]: one["own"] for one in documents} == {"both": True, "text": False}
    # Its seeds are trained again, and what other code made of them goes with them.
    assert shell.ablate("--seeds", 2, "--only", "text")[0] == 0
    assert not (run.path / "other-code").exists()
    assert (run.path / "earlier-1" / "other-code" / folder.name / "metrics-test.json").is_file()
    assert evaluate(shell)[0] == 0


def test_another_corpus_by_other_code_is_apart_from_both(shell: Shell) -> None:
    run = run_of(shell)
    made_by_other(run, "heads.feedforward")
    given = ["--labels-map", "joy=joy,anger=joy,neutral=neutral", "--allow-changed-code"]
    status, out, err = evaluate(shell, *given)
    assert (status, err) == (0, "")
    assert "on tiny (" in out
    assert list(run.path.glob("other-code/*/other-corpora/tiny-*/metrics-dev.json"))
    assert not (run.path / "other-corpora").exists()
    assert (run_of(shell, "both").path / "other-corpora").exists()


def test_runs_of_before_it_was_recorded_are_scored_with_a_line(shell: Shell) -> None:
    for name in ("text", "both"):
        change(run_of(shell, name), sources={}, versions={}, code=None)
    status, out, err = evaluate(shell)
    assert status == 0
    assert "weighted F1" in out
    first = run_of(shell, "both").path.name
    assert err == f"erc: {first} and 1 more: the code that trained it was not recorded: scored by today's\n"
