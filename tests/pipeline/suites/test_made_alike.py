"""Seeds are kept and averaged where they were made alike: by one code, torch, numpy, kind of device and precision."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from small_corpus import make_manifest, make_store
from suite_shell import Shell

import pipeline.suites.computation
from features.errors import TrainingError
from pipeline.runs.folder import Run
from pipeline.runs.seed_files import SeedResult
from pipeline.suites import workers
from pipeline.suites.training import SeedTask

pytestmark = pytest.mark.usefixtures("without_plots")

HOUSE = Path(__file__).resolve().parents[3]
LOSSES = """
defaults:
  inputs: {text: [sentence]}
  feedforward: {sizes: [4]}
  batch: {size: 16}
  stop: {epochs: 2}
experiments:
  plain: {}
  dice: {loss: [{name: dice}]}
"""


ONE_TRIED = {"configurations_tried": 1}


def failing(task: SeedTask) -> SeedResult:
    raise TrainingError("too hard")


@pytest.fixture
def shell(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Shell:
    return Shell(tmp_path, capsys)


def train(shell: Shell, *arguments: object, seeds: str = "0,1") -> tuple[int, str, str]:
    fixed = ["train", shell.folder / "tiny.yaml", *shell.place, "--only", "text", "--jobs", 1]
    return shell.erc(*fixed, "--out", shell.folder / "runs" / "mine", "--seeds", seeds, *arguments)


def run_of(shell: Shell) -> Run:
    return Run(shell.folder / "runs" / "mine")


def change(seed_folder: Path, **values: Any) -> None:
    """Set keys of a result.json; None removes one."""
    file = seed_folder / "result.json"
    content = json.loads(file.read_text()) | values
    file.write_text(json.dumps({key: value for key, value in content.items() if value is not None}))


def forget(seed_folder: Path) -> None:
    """As older versions wrote it."""
    change(seed_folder, versions=None, code=None, sources=None)


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def report(shell: Shell) -> str:
    shell.erc("report", shell.folder / "runs", "--out", shell.folder / "page")
    return (shell.folder / "page" / "report.md").read_text()


def of_seed(found: dict[str, bytes], seed: int) -> dict[str, bytes]:
    return {name: content for name, content in found.items() if name.startswith(f"seed-{seed}/")}


def test_an_edit_of_the_code_trains_again_what_uses_it_and_nothing_else(tmp_path: Path) -> None:
    """In copies of the packages: an edit of a loss that nothing uses, a remark, then a loss that learns nothing."""
    code = tmp_path / "code"
    for package in ("features", "heads", "pipeline"):
        shutil.copytree(HOUSE / package, code / package, ignore=shutil.ignore_patterns("__pycache__"))
    make_store(tmp_path / "store", make_manifest(tmp_path / "M.parquet"))
    (tmp_path / "losses.yaml").write_text(LOSSES)

    def ablate() -> dict[str, Any]:
        place = ["--store", "store", "--manifest", "M.parquet", "--out", "runs", "--seeds", "1", "--jobs", "1"]
        command = "from pipeline.cli import main; main()"
        done = subprocess.run(
            [sys.executable, "-c", command, "ablate", "losses.yaml", *place, "--json"],
            cwd=tmp_path,
            env=os.environ | {"PYTHONPATH": str(code)},
            capture_output=True,
            text=True,
            check=True,
        )
        values: dict[str, Any] = json.loads(done.stdout)
        return values

    def edit(name: str, old: str, new: str) -> None:
        text = (code / "heads" / "losses" / name).read_text()
        assert old in text
        (code / "heads" / "losses" / name).write_text(text.replace(old, new))

    assert ablate()["trained"] == 2
    edit("focal.py", "return ", "return 0.0 * ")
    edit("dice.py", "return 1 - dice\n", "return (1 - dice)  # a remark\n")
    again = ablate()
    assert (again["trained"], again["kept"], again["notes"]) == (0, 2, [])
    edit("dice.py", "return (1 - dice)", "return 0.0 * dice")
    again = ablate()
    assert (again["trained"], again["kept"]) == (1, 1)
    (note,) = again["notes"]
    assert "1 finished seed of dice was not made as today (the code of heads.losses.dice)" in note
    (run,) = (tmp_path / "runs").glob("dice-*")
    assert Run(run).finished_seeds() == Run(run / "earlier-1").finished_seeds() == [0]
    assert not list((tmp_path / "runs").glob("plain-*/earlier-*"))


def test_a_result_says_what_made_it(shell: Shell) -> None:
    train(shell)
    result = run_of(shell).result(1)
    assert {"torch", "numpy", "erc-feature-store"} <= set(result.versions)
    assert (result.device, result.precision) == ("cpu", "fp32")
    assert {"heads.losses.cross_entropy", "heads.training.trainer", "pipeline.suites.training"} <= set(result.sources)
    assert result.code


@pytest.mark.parametrize(
    ("other", "told"),
    [
        ({"versions": {"torch": "1.0", "numpy": "2.0"}}, "torch 1.0, now "),
        ({"versions": {"torch": version("torch"), "numpy": "1.0"}}, "not made as today (numpy 1.0, now "),
        (
            {"sources": {"heads.model": "0"}},
            "the code of heads.config.experiment, heads.config.registry, heads.config.sections ",
        ),
        ({"device": "cuda:1"}, "device cuda, now cpu"),
        ({"precision": "bf16"}, "precision bf16, now fp32"),
    ],
)
def test_seeds_that_differ_are_set_aside_and_trained_again(shell: Shell, other: dict[str, Any], told: str) -> None:
    train(shell)
    run = run_of(shell)
    shell.erc("evaluate", run.path, *shell.place, "--split", "test")
    change(run.seed_folder(1), **other)
    before = files(run.path)
    _, out, notes = train(shell, seeds="0,1,2")
    assert "1 finished seed of text was not made as today" in notes
    assert told in notes
    after = files(run.path)
    assert of_seed(after, 0) == of_seed(before, 0)
    aside = files(run.path / "earlier-1")
    assert of_seed(aside, 1) == of_seed(before, 1) != of_seed(after, 1)
    assert {name for name in aside if not name.startswith("seed-")} == {
        "config.yaml",
        "features.json",
        "metrics-dev.json",
        "metrics-test.json",
    }
    assert "metrics-test.json" not in after  # it was of a seed that is no more
    assert run_of(shell).metrics("dev").seeds == (0, 1, 2)
    assert "over 3 seed(s)" in out
    again = train(shell, seeds="0,1,2")
    assert "not made as today" not in again[2]
    assert files(run.path).keys() == after.keys()


def test_what_is_set_aside_can_be_read(shell: Shell) -> None:
    train(shell)
    run = run_of(shell)
    change(run.seed_folder(0), device="cuda")
    change(run.seed_folder(1), device="cuda")
    train(shell)
    assert shell.erc("evaluate", run.path / "earlier-1", *shell.place, "--split", "dev")[0] == 0
    assert shell.erc("report", run.path / "earlier-1")[0] == 0
    change(run.seed_folder(0), device="cuda")
    train(shell)
    assert Run(run.path / "earlier-2").finished_seeds() == [0]


def test_seeds_that_were_not_asked_for_are_not_averaged_either(shell: Shell) -> None:
    train(shell, seeds="0,1")
    change(run_of(shell).seed_folder(1), device="cuda")
    _, out, notes = train(shell, seeds="0")
    assert "over 1 seed(s)" in out
    assert "1 finished seed of text" in notes


def test_seeds_of_an_unknown_version_are_kept_alone_and_never_beside_known_ones(shell: Shell) -> None:
    train(shell)
    run = run_of(shell)
    for seed in (0, 1):
        forget(run.seed_folder(seed))
    before = files(run.path)
    _, out, notes = train(shell)
    assert "2 finished seeds of text were made by an unknown version" in notes
    assert "over 2 seed(s)" in out
    assert {name: files(run.path)[name] for name in before} == before
    _, _, page = shell.erc("report", shell.folder / "runs", "--out", shell.folder / "page")
    assert "Which code and libraries made them was not recorded" in (shell.folder / "page" / "report.md").read_text(), (
        page
    )
    _, out, notes = train(shell, seeds="0,1,2")
    assert "2 finished seeds of text were not made as today (code and versions were not recorded)" in notes
    assert Run(run.path / "earlier-1").finished_seeds() == [0, 1]
    assert run_of(shell).metrics("dev").seeds == (0, 1, 2)
    assert "over 3 seed(s)" in out


def test_an_unknown_seed_on_another_device_is_not_kept(shell: Shell) -> None:
    train(shell, seeds="0")
    forget(run_of(shell).seed_folder(0))
    change(run_of(shell).seed_folder(0), device="cuda")
    assert "(code and versions were not recorded; device cuda, now cpu)" in train(shell, seeds="0")[2]


def test_seeds_are_mixed_by_request_alone_and_the_report_says_so(shell: Shell) -> None:
    train(shell)
    run = run_of(shell)
    change(run.seed_folder(1), device="cuda")
    other = shutil.copytree(run.path, shell.folder / "other")
    shutil.rmtree(other / "seed-1")
    for command in (["evaluate", run.path, *shell.place, "--split", "dev"], ["compare", run.path, other]):
        status, _, problem = shell.erc(*command)
        assert status
        assert "its seeds were not made alike (seed 0: torch" in problem
    _, out, notes = train(shell, "--mix-seeds", seeds="0,1,2")
    assert "1 finished seed of text was not made as today and averaged all the same" in notes
    assert "over 3 seed(s)" in out
    assert not (run.path / "earlier-1").exists()
    assert shell.erc("evaluate", run.path, *shell.place, "--split", "dev")[0] == 0
    shell.erc("report", shell.folder / "runs", "--out", shell.folder / "page")
    assert (
        "averages seeds that were not made alike, as --mix-seeds asked"
        in (shell.folder / "page" / "report.md").read_text()
    )
    assert "3 finished" not in train(shell, seeds="0,1,2")[2]
    assert Run(run.path / "earlier-1").finished_seeds() == [1]
    assert not run_of(shell).features.mixed


def test_the_folder_of_another_run_is_left_alone(shell: Shell) -> None:
    train(shell)
    change(run_of(shell).seed_folder(0), device="cuda")
    before = files(run_of(shell).path)
    status, _, problem = train(shell, "optim.lr=0.5")
    assert status
    assert "holds a run of another config" in problem
    assert files(run_of(shell).path) == before


@pytest.mark.parametrize("nested", [False, True])
def test_folds_are_averaged_where_they_were_made_alike(shell: Shell, nested: bool) -> None:
    place = ["--cv", 3, *(["--nested"] if nested else []), "--only", "text", "--seeds", 1, "--jobs", 1]
    shell.ablate(*place)
    folder = shell.folder / "runs" / ("nested-3-dialogue" if nested else "cv-3-dialogue")
    runs = [next((folder / f"fold-{number}").glob("text-*")) for number in (1, 2, 3)]
    change(runs[1] / "seed-0", versions={"torch": "1.0", "numpy": "2.0"})
    _, out, notes = shell.ablate(*place)
    assert "1 heads trained, 2 kept from before" in out
    assert "torch 1.0, now " in notes
    for run in runs[:2]:  # what an older version did of a cross-validation that was stopped
        forget(run / "seed-0")
    shutil.rmtree(runs[2])
    _, out, notes = shell.ablate(*place)
    assert "3 heads trained, 0 kept from before" in out
    assert "2 finished seeds of text" in notes
    for run in runs:
        forget(run / "seed-0")
    _, out, notes = shell.ablate(*place)
    assert "0 heads trained, 3 kept from before" in out
    assert "3 finished seeds of text were made by an unknown version" in notes
    change(runs[1] / "seed-0", device="cuda")
    assert "averaged all the same" in shell.ablate(*place, "--mix-seeds")[2]
    document = json.loads((folder / "summary.json").read_text())
    (entry,) = document["experiments"]
    assert len(entry["mixed"]) == 2
    if nested:
        told = "text averages heads that were not made alike, "
        assert f"{told}as --mix-seeds asked: seed 0: " in report(shell)
        del entry["asked_to_mix"]  # older versions averaged such folds unasked, too
        (folder / "summary.json").write_text(json.dumps(document))
        assert f"{told}and nothing says that it was asked for: train again: seed 0: " in report(shell)


@pytest.mark.parametrize("nested", [False, True])
def test_a_result_over_folds_goes_with_its_heads(shell: Shell, monkeypatch: pytest.MonkeyPatch, nested: bool) -> None:
    """After a head was set aside whose new one fails, pages tell of no old number; until it is trained again."""
    place = ["--cv", 3, *(["--nested"] if nested else []), "--seeds", 1]
    shell.ablate(*place)
    folder = shell.folder / "runs" / ("nested-3-dialogue" if nested else "cv-3-dialogue")
    before = json.loads((folder / "summary.json").read_text())
    (run,) = (folder / "fold-2").glob("text-*")
    change(run / "seed-0", device="cuda")
    with monkeypatch.context() as patch:
        patch.setattr(workers, "train_seed", failing)
        status, _, notes = shell.ablate(*place, "--only", "text")
    assert status == 1
    left = json.loads((folder / "summary.json").read_text())
    assert left["experiments"] == before["experiments"][1:]
    aside = folder / "earlier-1" / "summary.json"
    assert f"text: the result over folds was of heads that are no longer there: moved to {aside}" in notes
    assert json.loads(aside.read_text()) == before | {"experiments": before["experiments"][:1], **ONE_TRIED}
    if nested:
        rows = report(shell).partition("## Over the folds")[2].partition("## Folds")[0]
        assert ("| both |" in rows, "| text |" in rows) == (True, False)
    shell.ablate(*place)
    after = json.loads((folder / "summary.json").read_text())
    assert {one["experiment"]: one["scores"] for one in after["experiments"]} == {
        one["experiment"]: one["scores"] for one in before["experiments"]
    }
    assert not (folder / "earlier-2").exists()


def test_folds_that_come_later_count_too(shell: Shell) -> None:
    """One process trains one fold at a time."""
    place = ["--cv", 3, "--only", "text", "--seeds", 1, "--jobs", 1]
    shell.ablate(*place)
    runs = [next((shell.folder / "runs" / "cv-3-dialogue" / f"fold-{number}").glob("text-*")) for number in (1, 2, 3)]
    forget(runs[0] / "seed-0")
    assert "1 heads trained, 2 kept from before" in shell.ablate(*place)[1]
    assert Run(runs[0]).result(0).sources


def test_a_search_is_not_continued_by_other_code(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    (shell.folder / "space.yaml").write_text("optim.lr: {low: 1e-3, high: 1e-1}\n")
    place = [*shell.place, "--only", "text", "--jobs", 1, "--search", shell.folder / "space.yaml"]

    def search(trials: int) -> tuple[int, str, str]:
        out = ["--out", shell.folder / "search", "--trials", trials]
        return shell.erc("train", shell.folder / "tiny.yaml", *place, *out)

    assert search(2)[0] == 0
    libraries = pipeline.suites.computation.library_versions()
    monkeypatch.setattr(pipeline.suites.computation, "library_versions", lambda: libraries | {"torch": "99"})
    status, _, problem = search(3)
    assert status
    assert "its 2 trials were not made as new ones would be (torch " in problem
    assert ", now 99)" in problem
    assert search(2)[0] == 0  # there is nothing to add


@pytest.mark.parametrize("foreign", [{1}, {0, 1}])
def test_seeds_that_another_process_trains_meanwhile_otherwise_are_not_averaged(
    shell: Shell, monkeypatch: pytest.MonkeyPatch, foreign: set[int]
) -> None:
    own = workers.train_seed

    def both(task: SeedTask) -> SeedResult:
        result = own(task)
        if task.seed in foreign:
            change(task.run / f"seed-{task.seed}", device="cuda")
        return result

    monkeypatch.setattr(workers, "train_seed", both)
    status, _, err = train(shell)
    assert status == 1
    assert "text: not scored, since another process trained seeds there meanwhile by other code" in err
    assert not (run_of(shell).path / "metrics-dev.json").exists()
    monkeypatch.undo()
    assert train(shell)[0] == 0
    assert run_of(shell).metrics("dev").seeds == (0, 1)
    monkeypatch.setattr(workers, "train_seed", both)
    shutil.rmtree(run_of(shell).path)
    assert train(shell, "--mix-seeds")[0] == 0
    assert run_of(shell).metrics("dev").seeds == (0, 1)
    assert run_of(shell).features.mixed


def test_a_seed_tells_the_score_that_the_tables_tell_although_another_one_chose_the_epoch(shell: Shell) -> None:
    """With dropout left on in what is told."""
    assert train(shell, "evaluation.dropout=true", "feedforward.dropout=0.5")[0] == 0
    run = run_of(shell)
    told = [run.result(seed).dev_headline for seed in (0, 1)]
    assert told == pytest.approx(run.metrics("dev").headline_score.values)
    chose = [max(pl.read_parquet(run.seed_folder(seed) / "history.parquet")["dev_weighted_f1"]) for seed in (0, 1)]
    assert told != pytest.approx(chose)
