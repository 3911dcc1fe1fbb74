"""Heads that are used by other code than trained them predict, are exported and served with a line that says so."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from predict_world import run_of

from pipeline.cli import erc, run
from pipeline.predict import Predictor
from pipeline.runs.folder import Run

TOLD = "since it was trained, the code of heads.feedforward changed: its heads may say something else than they learnt"


def altered(run_folder: Path, **values: Any) -> Path:
    for seed in Run(run_folder).finished_seeds():
        file = run_folder / f"seed-{seed}" / "result.json"
        file.write_text(json.dumps(json.loads(file.read_text()) | values))
    return run_folder


@pytest.fixture
def copy(world: Path, tmp_path: Path) -> Path:
    """A run as today's code trained it."""
    return shutil.copytree(run_of(world, "alone").path, tmp_path / "mine")


@pytest.fixture
def changed(copy: Path) -> Path:
    """The same by other code."""
    return altered(copy, sources=Run(copy).result(0).sources | {"heads.feedforward": "0" * 16})


def said(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[str, list[str]]:
    capsys.readouterr()
    assert run(erc, [str(item) for item in arguments], "erc") in (0, 3)  # 3: of a text alone
    captured = capsys.readouterr()
    return captured.out, [line for line in captured.err.splitlines() if "trained" in line]


def test_predict_says_so_in_one_line_and_in_its_document(changed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, (line,) = said(capsys, "predict", changed, "--text", "Hi.", "--json")
    assert line.startswith(f"erc: {changed}: {TOLD}")
    assert "or use the version that trained it (erc-feature-store " in line
    assert json.loads(out)["changed_since_training"] == "the code of heads.feedforward"


def test_an_exported_folder_says_so_wherever_it_goes(
    changed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "model"
    assert TOLD in said(capsys, "export", changed, "--to", folder)[1][0]
    (line,) = said(capsys, "predict", folder, "--text", "Hi.")[1]
    assert line.startswith(f"erc: {folder}: {TOLD}")
    Predictor.from_pretrained(folder, "cpu").close()  # as app.py, and what was pulled from the hub
    assert TOLD in capsys.readouterr().err


def test_a_graph_by_other_code_is_told_in_its_card(
    changed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("onnxruntime")
    said(capsys, "export", changed, "--to", tmp_path / "model", "--onnx")
    told = "The graph was made by other code than trained the heads: the code of heads.feedforward changed in between."
    assert told in (tmp_path / "model" / "README.md").read_text()


def test_what_is_as_it_was_says_nothing(copy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    altered(copy, device="cuda", versions={"torch": "1.0", "erc-feature-store": "0.0"})
    out, lines = said(capsys, "predict", copy, "--text", "Hi.", "--json")
    assert lines == []
    assert json.loads(out)["changed_since_training"] is None
    assert said(capsys, "export", copy, "--to", tmp_path / "model")[1] == []
    assert said(capsys, "predict", tmp_path / "model", "--text", "Hi.")[1] == []


def test_a_head_that_recorded_nothing_is_used_with_a_note(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    altered(copy, sources={}, versions={})
    _, lines = said(capsys, "predict", copy, "--text", "Hi.")
    assert lines == [f"erc: {copy}: the code that trained it was not recorded (seed 0, 1): today's is used"]
