"""The constant baseline is called majority wherever no label is known to be the neutral one, also in old files."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest
from run_factory import make_run
from suite_shell import Shell

from features.manifest import read_manifest, write_manifest
from pipeline.report.write import write_report
from pipeline.runs.folder import Run

LABELS = ("Angry", "Joyful", "NEU")
SUPPORT = {"train": (5, 90, 60), "dev": (20, 30, 25), "test": (10, 20, 15)}


@pytest.mark.parametrize(("neutral", "name"), [(None, "majority"), ("NEU", "always-neutral")])
def test_pages_name_it_by_what_the_manifest_knew_whatever_the_file_calls_it(
    tmp_path: Path, neutral: str | None, name: str
) -> None:
    run = make_run(tmp_path / "runs", "one", labels=LABELS, support=SUPPORT, neutral=neutral)
    written = json.loads((run / "metrics-dev.json").read_text())["baselines"]
    assert "always-neutral" in written  # as older versions wrote it
    assert list(Run(run).metrics("dev").baselines) == [name, "class-prior"]
    found = write_report(tmp_path / "runs", tmp_path / "out")
    other = {"majority": "always-neutral", "always-neutral": "majority"}[name]
    assert f" points above {name}" in found.headlines[0] or f" points below {name}" in found.headlines[0]
    note = {
        "majority": "predicts Joyful, the most frequent label of train, for every utterance",
        "always-neutral": "predicts NEU for every utterance",
    }[name]
    for file in (found.html, found.markdown):
        text = file.read_text()
        assert name in text
        assert note in text
        assert other not in text
    assert f"baseline_weighted_f1_{name}" in pl.read_csv(found.csv).columns


def test_training_and_evaluating_a_corpus_without_a_neutral_label(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shell = Shell(tmp_path, capsys)
    manifest = read_manifest(tmp_path / "M.parquet")
    write_manifest(replace(manifest, card=replace(manifest.card, neutral=None)), tmp_path / "M.parquet")
    assert shell.ablate("--seeds", 1, "--only", "text")[0] == 0
    (run,) = (tmp_path / "runs").glob("text-*")
    train = manifest.frame.filter(pl.col("split") == "train")["label"]
    most = max(manifest.card.labels, key=lambda label: (train == label).sum())
    for split in ("dev", "test"):
        status, out, _ = shell.erc("evaluate", run, "--split", split)
        assert (status, "(majority)" in out, "always-neutral" in out) == (0, True, False)
        baselines = json.loads((run / f"metrics-{split}.json").read_text())["baselines"]
        assert sorted(baselines) == ["class-prior", "majority"]
        share = (manifest.frame.filter(pl.col("split") == split)["label"] == most).mean()
        assert baselines["majority"]["accuracy"] == pytest.approx(share)
