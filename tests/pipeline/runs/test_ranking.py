"""Runs of fewer seeds than the suite's are ranked nowhere: one rule, wherever a run is chosen or shown as the best."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from run_factory import add_suite, make_run, write_json

from pipeline.report import facts
from pipeline.report.corpus import Corpus, corpora_of
from pipeline.report.leaderboard_csv import leaderboard_csv
from pipeline.report.markdown import markdown_report
from pipeline.report.provenance import notes_on
from pipeline.report.read import read_runs
from pipeline.runs.folder import Run, find_runs
from pipeline.runs.ranking import ONE_SEED, Candidate, asked_beside, rank, seeds_asked
from pipeline.runs.suite_record import SuiteRecord, read_suite_record
from pipeline.scoring.selection import select_runs


def suite(*members: str, seeds: int | None = None) -> SuiteRecord:
    return SuiteRecord(suite="s", runs={f"of {name}": name for name in members}, seeds=seeds)


@pytest.mark.parametrize(
    ("seeds", "suites", "asked"),
    [
        ({"mine": 1, "a": 3, "b": 3}, [suite("a", "b", seeds=3)], 3),
        ({"mine": 1, "a": 3, "b": 3}, [suite("a", "b")], 3),  # a record of before it said
        ({"mine": 20, "a": 3, "b": 3}, [suite("a", "b", seeds=3)], 3),  # more is enough
        ({"mine": 1, "a": 10, "b": 3}, [suite("a", "b", seeds=3)], 3),  # one was given more later
        ({"mine": 1, "a": 2, "b": 2}, [suite("a", "b", seeds=5)], 2),  # the suite is not finished
        ({"mine": 1, "a": 1, "b": 1}, [suite("a", "b", seeds=1)], 1),
        ({"a": 3, "b": 5}, [suite("a", seeds=3), suite("b", seeds=5)], 5),
        ({"mine": 1, "other": 4}, [suite("a", seeds=3)], 4),  # the suite has no run here
        ({"mine": 1, "other": 4}, [], 4),
        ({"mine": 1, "other": 1, "unscored": 0}, [], 1),
        ({"unscored": 0}, [suite("unscored", seeds=3)], 0),
        ({}, [], 0),
    ],
)
def test_the_number_of_seeds_that_is_asked_for(seeds: dict[str, int], suites: list[SuiteRecord], asked: int) -> None:
    assert seeds_asked(seeds, suites) == asked


def test_runs_are_ranked_by_score_then_name_and_fewer_seeds_stand_apart() -> None:
    runs = [("c", 0.5, 3), ("a", 0.5, 3), ("lucky", 0.9, 1), ("none", None, 0), ("best", 0.6, 4), ("poor", 0.1, 2)]
    found = rank([Candidate(name, name, score, seeds) for name, score, seeds in runs], 3)
    assert found.ranked == ("best", "a", "c")
    assert found.fewer == ("lucky", "poor")
    assert found.unscored == ("none",)
    assert found.all == ("best", "a", "c", "lucky", "poor", "none")


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """README's own: a suite of three seeds, and `erc train --out runs/mine` of one, which scores highest."""
    folder = tmp_path / "runs"
    make_run(folder, "linear", skill=0.4)
    make_run(folder, "wide", skill=0.5)
    add_suite(folder, [("Does width help?", "wide", "linear")], baseline="linear")
    make_run(folder, "wide", skill=0.8, seeds=(0,), folder="mine", config={"optim": {"lr": 0.01}})
    return folder


def corpus_in(folder: Path) -> Corpus:
    (corpus,) = corpora_of(read_runs(folder))
    return corpus


def test_one_seed_takes_nothing_from_a_suite_of_three(runs: Path) -> None:
    corpus = corpus_in(runs)
    assert [run.folder.partition("-")[0] for run in corpus.runs] == ["wide", "linear", "mine"]
    assert corpus.selected is corpus.runs[0]
    assert corpus.asked == 3
    assert [run.folder for run in corpus.fewer] == ["mine"]
    assert [corpus.names[run.folder] for run in corpus.runs] == [
        "wide",
        "linear",
        "mine",
    ]
    assert corpus.baseline is corpus.runs[1]
    assert all("mine" not in folders for folders in corpus.best.values())
    assert facts.headline_text(corpus).startswith("wide, best of 3 configurations on dev")
    note = "mine (1 seed) has fewer than the 3 seeds that are asked for, and is not ranked: train its other seeds"
    assert any(note in line for line in notes_on(corpus))


def test_best_dev_reads_test_for_the_run_that_the_report_selects(runs: Path) -> None:
    selection = select_runs(find_runs([runs]), ["best-dev", "baseline"])
    assert [run.name for run in selection.runs] == ["wide", "linear"]
    assert selection.runs[0].path.name != "mine"
    assert any("not chosen from: mine (1 seed)" in note for note in selection.notes)
    # where nothing else is given it is the best of what is, and a line says what that is worth
    alone = select_runs([Run(runs / "mine")], ["best-dev"])
    assert [run.path.name for run in alone.runs] == ["mine"]
    assert any("fewer than the 3 seeds of the suite beside them" in note for note in alone.notes)
    assert asked_beside([Run(runs / "mine")]) == 3


def test_with_as_many_seeds_it_is_ranked_and_the_baseline_stays_beside_it(runs: Path) -> None:
    make_run(runs, "wide", skill=0.9, folder="more")
    corpus = corpus_in(runs)
    assert next(run.folder for run in corpus.ranked) == "more"
    assert corpus.names["more"] == "more"
    assert corpus.baseline is not None
    assert corpus.baseline.experiment == "linear"
    assert [run.path.name for run in select_runs(find_runs([runs]), ["best-dev"]).runs] == ["more"]


def test_a_folder_that_is_called_as_another_experiment_is_told_apart(runs: Path) -> None:
    make_run(runs, "linear", skill=0.3, folder="linear", features=())
    names = corpus_in(runs).names
    assert len(set(names.values())) == len(names)
    assert names["linear"] == "linear (in linear/)"


def test_a_rule_on_every_page_sets_fewer_seeds_apart(runs: Path) -> None:
    corpus = corpus_in(runs)
    text = markdown_report([corpus])
    board = text[text.index("## Leaderboard") :].splitlines()
    rows = [line.split("|")[1].strip() for line in board if line.startswith("| ")]
    assert rows[:6] == ["Experiment", "---", "wide", "linear", "Fewer than 3 seeds, not ranked:", "mine"]
    lines = leaderboard_csv([corpus]).splitlines()
    place = lines[0].split(",").index("ranked")
    assert [line.split(",")[place] for line in lines[1:]] == ["true", "true", "false"]


def test_runs_of_one_seed_are_ranked_and_a_sentence_says_what_that_is_worth(tmp_path: Path) -> None:
    for name, skill in (("a", 0.3), ("b", 0.6)):
        make_run(tmp_path, name, skill=skill, seeds=(0,))
    corpus = corpus_in(tmp_path)
    assert [run.experiment for run in corpus.ranked] == ["b", "a"]
    assert ONE_SEED in notes_on(corpus)
    selection = select_runs(find_runs([tmp_path]), ["best-dev"])
    assert [run.name for run in selection.runs] == ["b"]
    assert ONE_SEED in selection.notes


def test_an_experiment_of_the_suite_that_lost_a_seed_is_not_ranked_either(tmp_path: Path) -> None:
    make_run(tmp_path, "whole", skill=0.3)
    make_run(tmp_path, "lost", skill=0.8, seeds=(0, 2), unfinished=(1,))
    add_suite(tmp_path, [])
    corpus = corpus_in(tmp_path)
    assert [run.experiment for run in corpus.ranked] == ["whole"]


def test_records_without_seeds_read_and_later_ones_keep_the_most_asked(tmp_path: Path) -> None:
    make_run(tmp_path, "a")
    add_suite(tmp_path, [])
    file = tmp_path / "suite-fake.json"
    assert read_suite_record(file).seeds is None
    write_json(file, json.loads(file.read_text()) | {"seeds": 3})
    assert read_suite_record(file).seeds == 3
