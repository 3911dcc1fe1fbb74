"""Utterances without labels are predicted, and scored by nothing."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl
import pytest
from far_corpus import Shell, extract, far_manifest

from features.manifest import build_manifest, write_manifest

pytestmark = pytest.mark.usefixtures("without_plots")


@pytest.fixture
def shell(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Shell:
    return Shell(tmp_path, capsys)


def without_labels(shell: Shell, split: str, kept: int = 0) -> None:
    """The manifest that the runs recorded, with labels of the first `kept` rows of the split alone."""
    frame = shell.manifest.frame
    rank = pl.int_range(pl.len()).over("split")
    label = pl.when((pl.col("split") != split) | (rank < kept)).then(pl.col("label"))
    stripped = build_manifest(frame.with_columns(label.alias("label")), shell.manifest.card, None, None)
    write_manifest(stripped, shell.folder / "M.parquet")
    for path in shell.runs.glob("*/features.json"):  # as if the runs had been trained on it
        record = json.loads(path.read_text())
        del record["manifest"]["splits"]
        path.write_text(json.dumps(record))


def test_a_split_without_any_label_is_predicted_and_the_line_says_so(shell: Shell) -> None:
    without_labels(shell, "test")
    status, out, err = shell.erc("evaluate", shell.runs, "--split", "test")
    assert (status, err) == (0, "")
    assert out.splitlines() == [
        "test: 24 of 24 utterances have no label: predicted, not scored, so there are no scores:"
        " predictions-test.parquet of each seed"
    ]
    for name in ("text", "small"):
        assert not (shell.run(name) / "metrics-test.json").exists()
        for seed in (0, 1):
            frame = pl.read_parquet(shell.run(name) / f"seed-{seed}" / "predictions-test.parquet")
            assert frame.height == 24
            assert frame["gold"].dtype == pl.String
            assert frame["gold"].null_count() == 24
            assert frame["predicted"].null_count() == 0
    assert [read["experiment"] for read in shell.reads()] == ["small", "text"]


@pytest.mark.with_plots
def test_report_and_compare_live_with_such_a_split(shell: Shell) -> None:
    without_labels(shell, "test")
    shell.erc("evaluate", shell.runs, "--split", "test")
    status, out, err = shell.erc("report", shell.runs, "--out", shell.folder / "report")
    assert (status, err) == (0, "")
    assert "on dev" in out
    assert ">nan<" not in (shell.folder / "report" / "report.html").read_text().lower()
    status, _, err = shell.erc("compare", shell.run("text"), shell.run("small"), "--split", "test")
    assert (status, err.count("\n")) == (1, 1)
    assert "label" in err


def test_json_has_the_counts_and_no_invented_scores(shell: Shell) -> None:
    without_labels(shell, "test")
    status, out, err = shell.evaluate("--json")
    assert (status, err) == (0, "")
    (document,) = json.loads(out)
    assert {key: document[key] for key in ("experiment", "split", "utterances", "unlabelled", "seeds", "own")} == {
        "experiment": "text",
        "split": "test",
        "utterances": 24,
        "unlabelled": 24,
        "seeds": [0, 1],
        "own": True,
    }
    assert "weighted_f1" not in document


def test_some_labels_are_scored_and_the_others_counted(shell: Shell) -> None:
    without_labels(shell, "test", kept=10)
    status, out, err = shell.evaluate()
    assert (status, err) == (0, "")
    assert "test: 14 of 24 utterances have no label: predicted, not scored: predictions-test.parquet" in out
    scores = shell.metrics()
    assert (scores["utterances"], scores["unlabelled"], sum(scores["support"].values())) == (24, 14, 10)


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_a_manifest_that_knows_no_label_at_all(shell: Shell, ending: str) -> None:
    """New material: its card lists none, and it is no corpus that the run knows."""
    fresh = shell.folder / f"fresh.{ending}"
    extract(shell.store, far_manifest(fresh, (None,), dataset="fresh", split="all"))
    status, out, err = shell.evaluate("--manifest", fresh, split="all")
    assert (status, err) == (0, "")
    assert "all: 32 of 32 utterances have no label: predicted, not scored, so there are no scores" in out
    (folder,) = shell.others()
    place = shell.run("text") / "other-corpora" / folder
    assert f"kept apart from the runs' own scores: {place}" in out
    assert sorted(path.name for path in place.iterdir()) == ["seed-0", "seed-1"]
    assert pl.read_parquet(place / "seed-0" / "predictions-all.parquet").height == 32
    assert shell.erc("report", shell.runs, "--out", shell.folder / "report")[0] == 0
    assert "Other corpora" not in (shell.folder / "report" / "report.md").read_text()


def test_labels_that_are_gone_leave_the_runs_scores_alone(shell: Shell) -> None:
    shell.evaluate()
    own = shell.metrics()
    without_labels(shell, "test")
    assert shell.evaluate()[0] == 0
    assert shell.metrics() == own
    assert len(shell.others()) == 1
