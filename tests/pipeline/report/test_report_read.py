"""Reading run folders: what is there is read as it is, what is damaged is named and never guessed at."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from run_factory import LOGMEL, SENTENCE, add_suite, add_test_read, make_run, write_json

from features.errors import RunError
from pipeline.report.read import read_runs


def edit(file: Path, change: Callable[[dict[str, Any]], object]) -> None:
    values = json.loads(file.read_text(encoding="utf-8"))
    change(values)
    file.write_text(json.dumps(values), encoding="utf-8")


def test_a_run_is_read_as_its_files_say(tmp_path: Path) -> None:
    folder = make_run(tmp_path, "both", features=(SENTENCE, LOGMEL), splits=("dev", "test"), unfinished=(7,))
    (run,) = read_runs(tmp_path).runs
    dev = json.loads((folder / "metrics-dev.json").read_text())
    assert run.experiment == "both"
    assert run.folder == folder.name
    assert sorted(run.metrics) == ["dev", "test"]
    assert run.dev is not None
    assert run.dev.weighted_f1.model_dump(mode="json") == dev["weighted_f1"]
    assert run.dev.per_class["fear"].recall.model_dump(mode="json") == dev["per_class"]["fear"]["recall"]
    assert [list(row) for row in run.dev.confusion] == dev["confusion"]
    assert [result.seed for result in run.results] == [0, 1, 2]
    assert run.unfinished == (7,)
    seconds = [json.loads((folder / f"seed-{seed}" / "result.json").read_text())["train_seconds"] for seed in (0, 1, 2)]
    assert run.seconds_per_seed == pytest.approx(sum(seconds) / 3)
    history = pl.read_parquet(folder / "seed-1" / "history.parquet")
    curve = next(curve for curve in run.curves if curve.seed == 1)
    assert list(curve.dev_weighted_f1) == history["dev_weighted_f1"].to_list()
    assert list(curve.train_loss) == history["train_loss"].to_list()


def test_no_runs_is_one_line_with_the_mend(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"no folder .*nowhere: train heads with `erc ablate SUITE --out"):
        read_runs(tmp_path / "nowhere")
    (tmp_path / "notes").mkdir()
    (tmp_path / ".half-written").mkdir()
    (tmp_path / ".half-written" / "config.yaml").write_text("name: x")
    with pytest.raises(RunError, match=r"no runs in .*: train heads with `erc ablate"):
        read_runs(tmp_path)


def test_one_run_folder_may_be_given_itself(tmp_path: Path) -> None:
    chosen, other = make_run(tmp_path, "chosen"), make_run(tmp_path, "other")
    add_test_read(tmp_path, "chosen", chosen.name)
    add_test_read(tmp_path, "other", other.name)
    found = read_runs(chosen)
    assert [run.experiment for run in found.runs] == ["chosen"]
    assert [read.experiment for read in found.test_reads] == ["chosen"]


DAMAGE: list[tuple[str, Callable[[Path], object], str]] = [
    ("no config", lambda run: (run / "config.yaml").unlink(), "config.yaml is not there"),
    ("config is a list", lambda run: (run / "config.yaml").write_text("- a"), "config.yaml is not a mapping"),
    (
        "config is not YAML",
        lambda run: (run / "config.yaml").write_text("a: [1"),
        "config.yaml, line 1, column 6: expected ',' or '\\]'",
    ),
    ("no features", lambda run: (run / "features.json").unlink(), "features.json is not there"),
    (
        "cut JSON",
        lambda run: (run / "metrics-dev.json").write_text('{"split":'),
        "metrics-dev.json cannot be read: Expecting",
    ),
    (
        "not UTF-8",
        lambda run: (run / "features.json").write_bytes(b"\xff\xfe"),
        "features.json cannot be read: .*utf-8",
    ),
    (
        "no manifest",
        lambda run: edit(run / "features.json", lambda v: v.pop("manifest")),
        "features.json: manifest: Field required",
    ),
    (
        "percent, not fractions",
        lambda run: edit(run / "metrics-dev.json", lambda v: v["weighted_f1"].update(mean=56.3)),
        "metrics-dev.json: weighted_f1.mean: Input should be less than or equal to 1",
    ),
    (
        "not a number",
        lambda run: edit(run / "metrics-dev.json", lambda v: v["macro_f1"].update(mean=float("nan"))),
        "metrics-dev.json: macro_f1.mean: Input should be a finite number",
    ),
    (
        "a value a seed",
        lambda run: edit(run / "metrics-dev.json", lambda v: v["accuracy"]["values"].pop()),
        "metrics-dev.json: a score does not have one value for each of the 3 seeds",
    ),
    (
        "confusion of another size",
        lambda run: edit(run / "metrics-dev.json", lambda v: v["confusion"].pop()),
        "metrics-dev.json: confusion is not 7 by 7",
    ),
    (
        "a label lost",
        lambda run: edit(run / "metrics-dev.json", lambda v: v["support"].pop("fear")),
        "metrics-dev.json: support does not have exactly the labels",
    ),
    (
        "labels of another corpus",
        lambda run: edit(run / "features.json", lambda v: v["manifest"].update(labels=["a", "b"])),
        "metrics-dev.json has other labels than features.json",
    ),
    (
        "another split's scores",
        lambda run: (run / "metrics-dev.json").rename(run / "metrics-test.json"),
        "metrics-test.json holds the scores of split 'dev'",
    ),
]


@pytest.mark.parametrize(("damage", "message"), [case[1:] for case in DAMAGE], ids=[case[0] for case in DAMAGE])
def test_a_damaged_run_is_named_and_skipped(tmp_path: Path, damage: Callable[[Path], object], message: str) -> None:
    good, bad = make_run(tmp_path, "good"), make_run(tmp_path, "bad")
    damage(bad)
    found = read_runs(tmp_path)
    assert [run.folder for run in found.runs] == [good.name]
    (skipped,) = found.unreadable
    assert skipped.folder == bad.name
    assert "\n" not in skipped.problem
    with pytest.raises(RunError, match=message):
        raise RunError(skipped.problem)


def test_only_damaged_runs_is_an_error_that_names_the_first(tmp_path: Path) -> None:
    (make_run(tmp_path, "a", folder="a") / "features.json").unlink()
    (make_run(tmp_path, "b", folder="b") / "config.yaml").unlink()
    with pytest.raises(RunError, match=r"none of the 2 runs in .* can be read; a: features.json is not there"):
        read_runs(tmp_path)


def test_a_damaged_seed_counts_as_unfinished_and_a_damaged_history_costs_its_curve(tmp_path: Path) -> None:
    folder = make_run(tmp_path, "run")
    (folder / "seed-1" / "result.json").write_text("{}")
    (folder / "seed-2" / "history.parquet").write_bytes(b"PAR1 no more")
    found = read_runs(tmp_path)
    assert found.runs[0].unfinished == (1,)
    assert [curve.seed for curve in found.runs[0].curves] == [0]
    assert len(found.notes) == 2
    assert "seed-1: result.json: seed: Field required; this seed counts as unfinished." in found.notes[0]
    assert "seed-2: history.parquet cannot be read" in found.notes[1]


def test_a_test_read_that_cannot_be_understood_still_counts(tmp_path: Path) -> None:
    folder = make_run(tmp_path, "run")
    add_test_read(tmp_path, "run", folder.name)
    with (tmp_path / "test_reads.jsonl").open("a") as file:
        file.write('{"time": \n[1]\n\n{"experiment": "run", "split": "train"}\n')
    found = read_runs(tmp_path)
    assert len(found.test_reads) == 3
    assert found.test_reads[0].seeds == (0, 1, 2)
    assert found.notes == ("test_reads.jsonl: 2 lines cannot be read; each is counted as a read of the test split.",)


def test_suite_records_are_read_and_a_damaged_one_is_noted(tmp_path: Path) -> None:
    make_run(tmp_path, "a")
    make_run(tmp_path, "b")
    add_suite(tmp_path, [("Is a better?", "a", "b")], {"c": "a"})
    write_json(tmp_path / "suite-odd.json", {"suite": "odd", "runs": {}, "contrasts": [{"question": "?"}]})
    found = read_runs(tmp_path)
    (suite,) = found.suites
    assert (suite.contrasts[0].a, suite.contrasts[0].b) == ("a", "b")
    assert suite.duplicates == {"c": "a"}
    assert "suite-odd.json: contrasts.0.A: Field required" in found.notes[0]


def test_control_characters_and_lone_surrogates_become_replacement_characters(tmp_path: Path) -> None:
    folder = make_run(tmp_path, "run", features=(SENTENCE,))
    edit(folder / "features.json", lambda v: v["features"][0].update(name="a\x00b\ud800c"))
    (run,) = read_runs(tmp_path).runs
    assert run.features[0].name == "a\ufffdb\ufffdc"
