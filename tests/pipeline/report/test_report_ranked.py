"""What the page shows of a ranking: the rule below which runs have fewer seeds, places, settings that tell rows apart,
and the intervals of macro F1 and of slices."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl
import pytest
from run_factory import FakeFeature, add_suite, make_run
from suite_shell import Shell
from test_report_page import read_page

from features.manifest import read_manifest
from pipeline.comparison.compare import difference_interval, score_interval, score_intervals
from pipeline.pages import words
from pipeline.report import slice_intervals
from pipeline.report.corpus import corpora_of
from pipeline.report.differences import differences_of
from pipeline.report.evidence import with_findings
from pipeline.report.findings import ALL
from pipeline.report.read import read_runs
from pipeline.report.write import write_report
from pipeline.runs.folder import Run
from pipeline.runs.slices import attributes

pytestmark = pytest.mark.usefixtures("without_plots")

SUITE = """
baseline: plain
defaults: {feedforward: {sizes: [4]}, stop: {epochs: 2}, inputs: {text: [sentence]}}
experiments:
  plain: {}
  wide: {feedforward: {sizes: [6]}}
  slow: {optim: {lr: 0.0001}}
contrasts:
  - {question: "Does width help?", A: wide, B: plain}
"""


@pytest.fixture
def shell(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Shell:
    made = Shell(tmp_path, capsys)
    (tmp_path / "tiny.yaml").write_text(SUITE)
    made.ablate("--seeds", 2)
    (tmp_path / "mine.yaml").write_text("inputs: {text: [sentence]}\nfeedforward: {sizes: [9]}\nstop: {epochs: 2}\n")
    return made


def test_a_page_of_real_runs(shell: Shell) -> None:
    (suite,) = shell.folder.glob("runs/suite-*.json")
    assert json.loads(suite.read_text())["seeds"] == 2
    shell.ablate("--seeds", 3, "--only", "plain")
    assert json.loads(suite.read_text())["seeds"] == 2  # of the whole suite; one experiment was given more
    write_report(shell.folder / "runs", shell.folder / "out")
    corpus = with_findings(corpora_of(read_runs(shell.folder / "runs"))[0])
    page = read_page(shell.folder / "out")
    assert corpus.asked == 2
    assert set(corpus.findings.ranks) == {run.folder for run in corpus.ranked}
    board = next(row for row in page.rows if row[:2] == ["Experiment", "dev"])
    assert board[2] == "Places"
    for run in corpus.ranked:
        row = next(row for row in page.rows if row[0].startswith(run.experiment) and len(row) == len(board))
        places = corpus.findings.ranks[run.folder]
        assert row[2] == (f"{places.low} to {places.high}" if places.low < places.high else str(places.low))
    settings = {
        corpus.names[run.folder]: value
        for part in corpus.parts
        for run, value in zip(corpus.runs, part.values, strict=True)
        if part.title == "Other settings"
    }
    assert settings["wide"] == "feedforward.sizes [6]"
    assert settings["slow"] == "optim.lr 0.0001"
    assert settings["plain"] == "–"
    assert "feedforward.sizes [6]" in page.text

    rows = [row[0] for row in page.rows]
    assert "mine" not in rows
    shell.erc("train", shell.folder / "mine.yaml", *shell.place, "--out", shell.folder / "runs" / "mine")
    write_report(shell.folder / "runs", shell.folder / "out")
    rows = [row[0] for row in read_page(shell.folder / "out").rows]
    rule = rows.index("Fewer than 2 seeds, not ranked")
    above, below = rows[rule - 3 : rule], rows[rule + 1]
    assert sorted(name.split()[0].removesuffix("random") for name in above) == ["plain", "slow", "wide"]
    assert below.startswith("mine")


def test_intervals_of_macro_f1_and_of_slices(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slice_intervals, "FEWEST_DIALOGUES", 3)  # dev has four
    corpus = with_findings(corpora_of(read_runs(shell.folder / "runs"))[0])
    selected, baseline = corpus.selected, corpus.baseline
    assert selected is not None
    assert selected.path is not None
    assert baseline is not None
    assert baseline.path is not None
    mine, theirs = (frames_of(run.path) for run in (selected, baseline) if run.path)
    expected = score_intervals(mine, corpus.labels)
    assert corpus.findings.scores["dev"] == expected
    write_report(shell.folder / "runs", shell.folder / "out")
    frame = pl.read_csv(shell.folder / "out" / "leaderboard.csv").filter(pl.col("selected_by_dev"))
    assert frame["macro_f1_low"].to_list() == [expected["macro_f1"].low]
    found = corpus.findings.slices["dev"]
    assert found[ALL].score == expected["headline"]
    table = attributes(read_manifest(shell.folder / "M.parquet"), "dev")
    for group, name in (("emotion-shift", "shift"), ("turn", "1-4")):
        ids = table.filter(pl.col(group) == name)["utterance_id"].to_list()
        own, other = (
            {seed: one.filter(pl.col("utterance_id").is_in(ids)) for seed, one in frames.items()}
            for frames in (mine, theirs)
        )
        assert found[group, name].score == score_interval(own, corpus.labels)
        if baseline is not selected:
            assert found[group, name].difference == difference_interval(own, other, corpus.labels)
        shown = words.interval(found[group, name].score)
        assert any(shown in row for row in read_page(shell.folder / "out").rows if row[0] in (name, "shift"))
    monkeypatch.setattr(slice_intervals, "FEWEST_DIALOGUES", 10)
    corpus = with_findings(corpora_of(read_runs(shell.folder / "runs"))[0])
    assert set(corpus.findings.slices["dev"]) == {ALL}


def test_without_the_manifest_slices_by_input_alone_have_intervals(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slice_intervals, "FEWEST_DIALOGUES", 1)
    (shell.folder / "M.parquet").unlink()
    corpus = with_findings(corpora_of(read_runs(shell.folder / "runs"))[0])
    assert {group for group, _ in corpus.findings.slices["dev"]} == {"", "input"}


def frames_of(path: Path) -> dict[int, pl.DataFrame]:
    run = Run(path)
    return {seed: run.predictions(seed, "dev", dialogues=True) for seed in run.finished_seeds()}


def told(folder: Path) -> dict[str, str]:
    found = read_runs(folder)
    return dict(zip((run.experiment for run in found.runs), differences_of(found.runs, found.suites), strict=True))


def test_settings_that_tell_a_row_are_told_beside_it(tmp_path: Path) -> None:
    other = FakeFeature("text", "sentence", "sentence", "2f3a9c2e" * 8, settings={"pooling": "cls"})
    smooth = {"loss": [{"name": "cross-entropy", "weight": 1, "label_smoothing": 0.1}]}
    make_run(tmp_path, "base", config={"loss": [{"name": "cross-entropy", "weight": 1, "label_smoothing": 0}]})
    make_run(tmp_path, "smooth", config=smooth)
    make_run(tmp_path, "fast", config={"optim": {"lr": 0.01, "weight_decay": 0.01, "warmup": 0.05}})
    make_run(tmp_path, "bare", config={"feedforward": {"sizes": [], "dropout": 0.3}})
    make_run(tmp_path, "gated", config={"fusion": {"name": "gated", "dim": 64}})
    make_run(tmp_path, "cls", features=(other,))
    add_suite(tmp_path, [], baseline="base")
    found = told(tmp_path)
    assert found["smooth"] == "loss.cross-entropy.label_smoothing 0.1"
    assert found["fast"] == "optim.lr 0.01"
    assert found["bare"] == "feedforward.sizes none"
    assert found["cls"].startswith("sentence.pooling cls")
    assert "fingerprint" not in found["cls"]
    assert "fusion.name" not in found["gated"]  # it has a column of its own


def test_equal_words_are_told_apart_by_what_one_of_them_lacks(tmp_path: Path) -> None:
    for name, dim in (("a", None), ("b", 64), ("c", 64)):
        fusion = {"name": "gated"} | ({"dim": dim} if dim else {})
        make_run(tmp_path, name, config={"fusion": fusion})
    assert told(tmp_path) == {"a": "fusion.dim unused", "b": "", "c": ""}


def test_what_another_column_tells_is_not_told_by_settings_that_a_run_lacks(tmp_path: Path) -> None:
    """Three runs that have the commonest settings all: their inputs, losses and fusions are other ones."""
    make_run(tmp_path, "base")
    sound = FakeFeature("audio", "logmel", "logmel", "9c" * 32, settings={"pooling": "statistics"})
    make_run(tmp_path, "sound", features=(sound,))
    make_run(tmp_path, "dice", config={"loss": [{"name": "dice", "weight": 1, "absent": "skip"}]})
    make_run(tmp_path, "gated", config={"fusion": {"name": "gated"}})
    assert not [words for words in told(tmp_path).values() if "unused" in words]
