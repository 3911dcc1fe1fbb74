"""A corpus that is judged by another score than weighted F1, from its card to the report; and its cross-validation."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import yaml
from click.testing import CliRunner
from run_factory import make_run, write_json
from small_corpus import LABELS, make_manifest, make_store
from suite_shell import TEXT
from test_report_page import read_page

from features.cards import DatasetCard
from features.errors import RunError
from features.manifest import build_manifest, write_manifest
from pipeline.commands.evaluate import score_table
from pipeline.commands.report import command
from pipeline.comparison.read import check_comparable
from pipeline.pages.words import percent, score
from pipeline.report.corpus import corpora_of
from pipeline.report.read import read_runs
from pipeline.report.write import write_report
from pipeline.runs.features_file import FeaturesFile
from pipeline.runs.folder import Run
from pipeline.scoring.selection import select_runs

pytestmark = pytest.mark.usefixtures("without_plots")

NESTED = "nested-leave-one-group-out"


def make_corpus(folder: Path, **card: Any) -> None:
    manifest = make_manifest(folder / "M.parquet")
    number = pl.col("dialogue_id").str.extract(r"dia(\d+)").cast(pl.Int64) % 3
    frame = manifest.frame.with_columns(group=pl.concat_str(pl.lit("<show>"), number.cast(pl.String)))
    polarity = {"negative": ["anger"], "positive": ["joy"]}
    mine = DatasetCard("tiny", title="Tiny <b>", labels=LABELS, neutral="neutral", polarity=polarity, **card)
    write_manifest(build_manifest(frame, mine, manifest.media_root), folder / "M.parquet")
    if not (folder / "store").exists():
        make_store(folder / "store", manifest)
    (folder / "tiny.yaml").write_text(TEXT + "baseline: text\n")


def erc(*arguments: object) -> None:
    from pipeline.cli import erc, run

    assert run(erc, [str(item) for item in arguments], "erc") == 0


def ablate(folder: Path, *more: object) -> None:
    place = ("--store", folder / "store", "--manifest", folder / "M.parquet", "--out", folder / "runs")
    erc("ablate", folder / "tiny.yaml", *place, "--seeds", 2, "--jobs", 1, *more)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two experiments by average recall, scored on test, and their folds."""
    folder = tmp_path_factory.mktemp("judged")
    make_corpus(folder, headline="unweighted_average_recall")
    ablate(folder)
    ablate(folder, "--cv", "groups", "--nested")
    erc("evaluate", folder / "runs", "--split", "test")
    write_report(folder / "runs", folder / "out")
    return folder


def runs_of(folder: Path) -> list[Run]:
    return [Run(path.parent) for path in sorted((folder / "runs").glob("*/features.json"))]


def test_run_folders_tell_the_score_that_chose(corpus: Path) -> None:
    for run in runs_of(corpus):
        assert run.features.manifest.headline == "unweighted_average_recall"
        metrics = run.metrics("test")
        assert metrics.headline == "unweighted_average_recall"
        assert metrics.headline_score == metrics.unweighted_average_recall
        assert metrics.micro_f1_without_neutral is not None
        assert metrics.binary_accuracy is not None
        assert all(one.headline is not None for one in metrics.slices)
        whole = next(one for one in metrics.slices if one.name == "all there")
        assert whole.utterances == 24
        assert whole.headline == metrics.headline_score
        history = pl.read_parquet(run.path / "seed-0" / "history.parquet")
        assert run.result(0).best_epoch == 1 + int(history["dev_headline"].arg_max() or 0)
        assert run.result(0).dev_headline == history["dev_headline"].max()


def test_the_page_leads_with_it_everywhere(corpus: Path) -> None:
    best = max(runs_of(corpus), key=lambda run: run.metrics("dev").headline_score.mean)
    page, text = read_page(corpus / "out"), (corpus / "out" / "report.md").read_text()
    value = score(best.metrics("test").headline_score)
    assert f"reaches an unweighted average recall of {value}" in " ".join("".join(page.words).split())
    assert f"reaches an unweighted average recall of **{value}**" in text
    assert "Unweighted average recall on dev, percent" in page.words
    board = next(place for place, row in enumerate(page.rows) if row[:3] == ["Experiment", "dev", "test"])
    above, header, *rows = page.rows[board - 1 : board + 4]
    assert above[1] == "Unweighted average recall"
    wholes = [header.index(name) for name in ("Weighted F1", "Macro F1", "Accuracy")]
    assert wholes == list(range(wholes[0], wholes[0] + 3))
    for row, run in zip(rows, sorted(runs_of(corpus), key=lambda run: run.path != best.path), strict=False):
        dev = run.metrics("dev")
        assert row[0].startswith(run.name)
        assert row[1].startswith(score(dev.headline_score))
        assert row[2].startswith(score(run.metrics("test").headline_score))
        shown = [percent(one.mean) for one in (dev.weighted_f1, dev.macro_f1, dev.accuracy)]
        assert [row[place] for place in wholes] == shown
    assert "dev unweighted average recall" in page.words
    assert "| Experiment |" in text
    assert "dev unweighted average recall | test unweighted average recall" in text
    assert "Baseline's unweighted average recall" in text or best.name == "text"
    frame = pl.read_csv(corpus / "out" / "leaderboard.csv")
    for run in runs_of(corpus):
        (line,) = frame.filter((pl.col("run") == run.path.name) & (pl.col("split") == "test")).to_dicts()
        assert line["headline"] == "unweighted_average_recall"
        assert line["unweighted_average_recall_mean"] == pytest.approx(run.metrics("test").headline_score.mean)
        assert line["weighted_f1_mean"] == pytest.approx(run.metrics("test").weighted_f1.mean)


def test_a_run_is_judged_by_the_score_that_it_recorded_and_none_are_mixed(corpus: Path, tmp_path: Path) -> None:
    """The card is another now: runs stand apart in the report, and none is chosen from or compared with the others."""
    folder = tmp_path / "again"
    shutil.copytree(corpus, folder)
    make_corpus(folder)
    ablate(folder)
    assert len(runs_of(folder)) == 4
    written = write_report(folder / "runs", tmp_path / "out")
    assert [one.criterion.name for one in written.corpora] == ["weighted_f1", "unweighted_average_recall"]
    assert [len(one.runs) for one in written.corpora] == [2, 2]
    assert "judged" not in written.headlines[0]
    assert "by unweighted average recall" in (tmp_path / "out" / "report.md").read_text()
    ours, theirs = (one.runs[0].folder for one in written.corpora)
    from pipeline.cli import erc as program
    from pipeline.cli import run

    assert run(program, ["compare", str(folder / "runs" / ours), str(folder / "runs" / theirs)], "erc") == 1
    chosen = select_runs(runs_of(folder), ["best-dev"])
    assert len(chosen.runs) == 2
    assert sorted(
        re.split(r" \d", reason.split("(")[1])[0] for found in chosen.reasons.values() for reason in found
    ) == [
        "unweighted average recall",
        "weighted F1",
    ]


def test_folds_have_a_part_of_their_own(corpus: Path) -> None:
    summary = json.loads((corpus / "runs" / NESTED / "summary.json").read_text())
    ranked = sorted(summary["experiments"], key=lambda one: -one["scores"]["unweighted_average_recall"]["mean"])
    page, text = read_page(corpus / "out"), (corpus / "out" / "report.md").read_text()
    said = " ".join("".join(page.words).split())
    best = ranked[0]
    over = best["scores"]["unweighted_average_recall"]
    together = best["pooled"]["unweighted_average_recall"]
    assert f"{percent(over['mean'])} ± {percent(over['std'])} over 3 folds that leave out one group each" in said
    assert f"{percent(together['mean'])} ± {percent(together['std'])} on all folds' predictions together" in said
    (row,) = (row for row in page.rows if row and row[0].startswith(best["experiment"]) and len(row) == 12)
    assert row[3:6] == [percent(value) for value in over["values"]]
    assert [percent(best["scores"]["per_class_f1"][label]["mean"]) for label in LABELS] == [
        cell.split(" ")[0] for cell in row[9:]
    ]
    assert "<show>0" in said
    assert "<show>" not in (corpus / "out" / "report.html").read_text()
    assert "## Over the folds of nested-leave-one-group-out" in text
    assert "&lt;show&gt;0" in text
    assert "chosen by the very folds that score it" in said
    assert (corpus / "out" / "figures" / "2-folds-confusion.svg").is_file()
    frame = pl.read_csv(corpus / "out" / "folds.csv")
    of_best = frame.filter(pl.col("experiment") == best["experiment"])
    assert of_best["fold"].to_list() == ["1", "2", "3", "mean", "std", "pooled"]
    assert of_best["unweighted_average_recall"].to_list() == pytest.approx(
        [*over["values"], over["mean"], over["std"], together["mean"]]
    )
    result = CliRunner().invoke(command, [str(corpus / "runs"), "--out", str(corpus / "out"), "--json"])
    (folded,) = json.loads(result.stdout)["cross_validations"]
    assert (folded["best"], folded["folds"], folded["headline"]) == (best["experiment"], 3, "unweighted_average_recall")


def test_a_corpus_with_nothing_but_folds_has_a_report(corpus: Path, tmp_path: Path) -> None:
    shutil.copytree(corpus / "runs" / NESTED, tmp_path / "runs" / NESTED)
    for place in (tmp_path / "runs", tmp_path / "runs" / NESTED):
        written = write_report(place, tmp_path / "out")
        assert written.csv is None
        assert written.corpora == ()
        assert len(written.headlines) == 1
        page = read_page(tmp_path / "out")
        assert page.open == []
        assert "Leaderboard" not in page.words
        shutil.rmtree(tmp_path / "out")


def test_a_damaged_summary_is_named_and_old_rows_are_left_out(corpus: Path, tmp_path: Path) -> None:
    shutil.copytree(corpus / "runs", tmp_path / "runs")
    file = tmp_path / "runs" / NESTED / "summary.json"
    content = json.loads(file.read_text())
    content["experiments"][0]["rows"] = "0" * 64
    file.write_text(json.dumps(content))
    write_report(tmp_path / "runs", tmp_path / "out")
    said = "".join(read_page(tmp_path / "out").words)
    assert "1 earlier result in nested-leave-one-group-out is of other rows or labels and not shown." in said
    content["experiments"][1]["pooled"]["headline"] = "macro_f1"
    file.write_text(json.dumps(content))
    written = write_report(tmp_path / "runs", tmp_path / "out")
    assert written.folded == ()
    assert "the headline, has no value" in "".join(read_page(tmp_path / "out").words)
    assert "this cross-validation is left out" in (tmp_path / "out" / "report.md").read_text()


def test_files_of_before_there_was_a_choice_mean_weighted_f1(tmp_path: Path) -> None:
    run = Run(make_run(tmp_path, "old"))
    assert run.features.manifest.criterion.name == "weighted_f1"
    assert run.metrics("dev").headline_score == run.metrics("dev").weighted_f1
    assert run.metrics("dev").micro_f1_without_neutral is None
    curve = run.curve(0)
    assert curve is not None
    assert curve.dev_score == curve.dev_weighted_f1
    record = json.loads((run.path / "features.json").read_text())
    record["manifest"]["headline"] = "macro_f2"
    with pytest.raises(ValueError, match="'macro_f2' is no score: did you mean 'macro_f1'"):
        FeaturesFile.model_validate(record)
    assert yaml.safe_load((run.path / "config.yaml").read_text())["name"] == "old"


def judged_run(runs: Path, name: str, weighted_f1: float, macro_f1: float) -> None:
    """A run of a corpus that is judged by macro F1, with these scores on dev."""
    path = make_run(runs, name, folder=name, seeds=(0,))
    record, metrics = (json.loads((path / file).read_text()) for file in ("features.json", "metrics-dev.json"))
    record["manifest"]["headline"] = metrics["headline"] = "macro_f1"
    metrics["weighted_f1"] = {"mean": weighted_f1, "std": None, "values": [weighted_f1]}
    metrics["macro_f1"] = {"mean": macro_f1, "std": None, "values": [macro_f1]}
    write_json(path / "features.json", record)
    write_json(path / "metrics-dev.json", metrics)


def test_runs_are_ranked_and_chosen_by_the_headline(tmp_path: Path) -> None:
    judged_run(tmp_path, "by-f1", 0.8, 0.3)
    judged_run(tmp_path, "by-macro", 0.5, 0.6)
    runs = [Run(tmp_path / name) for name in ("by-f1", "by-macro")]
    selection = select_runs(runs, ["best-dev"])
    assert [run.path.name for run in selection.runs] == ["by-macro"]
    assert list(selection.reasons.values()) == [["best on dev of 2 (macro F1 60.0 %)"]]
    (corpus,) = corpora_of(read_runs(tmp_path))
    assert [run.experiment for run in corpus.runs] == ["by-macro", "by-f1"]
    assert corpus.headlines[0].score.mean == 0.6
    assert [column.title for column in corpus.columns[:2]] == ["Weighted F1", "Accuracy"]
    assert corpus.best["weighted_f1"] == {"by-f1"}
    lines = score_table([run.metrics("dev") for run in runs]).splitlines()
    assert [line.split()[0] for line in lines[1:3]] == ["by-macro", "by-f1"]
    assert [name.strip() for name in lines[0].split("  ") if name.strip()][:4] == [
        "experiment",
        "dev macro F1 (%)",
        "weighted F1 (%)",
        "accuracy (%)",
    ]
    with pytest.raises(RunError, match=r"by-f1 is judged by macro F1, .*plain by weighted F1"):
        check_comparable(runs[0], Run(make_run(tmp_path, "plain", folder="plain")))
