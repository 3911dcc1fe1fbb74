"""A run folder's files as typed values: older ones still read, damaged ones are named with their mend."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import pytest
from run_factory import SENTENCE, make_run, write_json

from features.errors import RunFileError
from pipeline.runs.features_file import FeaturesFile, Fold, ManifestFacts
from pipeline.runs.folder import Run, find_runs, is_run, looks_like_run
from pipeline.runs.json_files import write_model

OLD_FEATURES = {"manifest": {"dataset": "meld", "labels": ["joy", "anger"]}, "features": []}


def test_a_features_file_of_an_older_form_is_read(tmp_path: Path) -> None:
    write_json(tmp_path / "features.json", OLD_FEATURES | {"of a newer form": 1})
    found = Run(tmp_path).features
    assert (found.run, found.fold, found.store, found.looks_at) == (None, None, None, None)
    assert Run(tmp_path).labels == ("joy", "anger")


def test_a_fold_is_written_only_of_a_run_that_is_one(tmp_path: Path) -> None:
    facts = ManifestFacts(dataset="meld", labels=("joy",))
    write_model(tmp_path / "whole.json", FeaturesFile(manifest=facts, features=()))
    assert list(json.loads((tmp_path / "whole.json").read_text())) == [
        *("run", "manifest", "looks_at", "store", "features", "versions", "command")
    ]
    fold = Fold(number=2, of=5, group="dialogue")
    write_model(tmp_path / "fold.json", FeaturesFile(manifest=facts, features=(), fold=fold))
    assert json.loads((tmp_path / "fold.json").read_text())["fold"] == {"number": 2, "of": 5, "group": "dialogue"}


def test_a_run_is_named_by_its_config_or_else_by_its_folder(tmp_path: Path) -> None:
    run = make_run(tmp_path, "best", folder="best-01234567")
    assert Run(run).name == "best"
    (run / "config.yaml").write_text("name: ' '\n")
    assert Run(run).name == "best-01234567"


def test_seeds_are_started_or_finished(tmp_path: Path) -> None:
    run = Run(make_run(tmp_path, "run", seeds=(0, 10, 2), unfinished=(3,)))
    for odd in ("seed-01", "seed-x", "seed-"):
        (run.path / odd).mkdir()
    (run.path / "seed-7").write_text("no folder")
    assert run.started_seeds() == [0, 2, 3, 10]
    assert run.finished_seeds() == [0, 2, 10]


def test_only_for_a_page_are_control_characters_replaced(tmp_path: Path) -> None:
    run = make_run(tmp_path, "run", features=(SENTENCE,))
    record = json.loads((run / "features.json").read_text())
    record["manifest"]["path"] = "/data/a\x07b"
    (run / "features.json").write_text(json.dumps(record))
    assert Run(run).features.manifest.path == "/data/a\x07b"
    assert Run(run, printable=True).features.manifest.path == "/data/a\ufffdb"


def test_a_damaged_file_is_named_with_its_folder_and_mend_and_for_a_report_without(tmp_path: Path) -> None:
    run = make_run(tmp_path, "run")
    (run / "features.json").write_text("{}")
    (run / "config.yaml").write_text("a: 1\na: 2\n")
    (run / "metrics-dev.json").unlink()
    (run / "seed-1" / "result.json").write_text('{"seed": "one"}')
    run_, train = Run(run), "train the experiment again"
    read = {
        "features.json: manifest: Field required (and 1 more)": (lambda: run_.features, run, train),
        "config.yaml, line 2, column 1: key 'a' is given twice": (lambda: run_.config, run, train),
        "metrics-dev.json is not there": (lambda: run_.metrics("dev"), run, f"run `erc evaluate {run} --split dev`"),
        "result.json: seed: Input should be a valid integer, unable to parse string as an integer": (
            lambda: run_.result(1),
            run / "seed-1",
            f"remove {run / 'seed-1'} and train again",
        ),
    }
    for problem, (reader, folder, mend) in read.items():
        with pytest.raises(RunFileError) as caught:
            reader()
        assert caught.value.problem == problem
        assert str(caught.value) == str(pickle.loads(pickle.dumps(caught.value))) == f"{folder}/{problem}: {mend}"


def test_a_run_that_lost_a_file_is_no_run_to_score_but_one_to_report(tmp_path: Path) -> None:
    whole, lost, other = make_run(tmp_path, "whole"), make_run(tmp_path, "lost"), tmp_path / "other"
    (lost / "features.json").unlink()
    other.mkdir()
    assert [run.path for run in find_runs([whole, tmp_path])] == [whole]
    hidden = make_run(tmp_path, "hidden", folder=".hidden")
    assert [is_run(folder) for folder in (whole, lost, other)] == [True, False, False]
    assert [looks_like_run(folder) for folder in (whole, lost, other, hidden)] == [True, True, False, False]


def test_scores_by_another_headline_than_the_runs_are_named(tmp_path: Path) -> None:
    run = make_run(tmp_path, "text")
    metrics = json.loads((run / "metrics-dev.json").read_text())
    write_json(run / "metrics-dev.json", metrics | {"headline": "accuracy"})
    with pytest.raises(RunFileError, match=r"metrics-dev.json is by accuracy, and features.json by weighted_f1"):
        Run(run).metrics("dev")
    write_json(run / "metrics-dev.json", metrics | {"headline": "binary_accuracy"})
    with pytest.raises(RunFileError, match="binary_accuracy, the headline, has no value"):
        Run(run).metrics("dev")
