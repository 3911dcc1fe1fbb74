"""A report is handed on: it is read with a keyboard and by screen readers, and tells nothing of its maker's folders."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
from page_checks import findings_of, paths_in
from prediction_factory import add_predictions
from run_factory import HOG, LOGMEL, SENTENCE, add_suite, add_test_read, make_run, write_json

from pipeline.report.write import write_report


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """Two corpora, contrasts with and without an answer, a damaged run, and paths wherever a run may record one."""
    folder = tmp_path / "jo doe" / "runs"
    own = dataclasses.replace(
        SENTENCE, model=str(tmp_path / "models" / "my bert"), settings={"vocabulary": str(tmp_path / "words.txt")}
    )
    best = make_run(folder, "best", features=(own, LOGMEL), config={"extra": {"file": str(tmp_path / "x" / "y.yaml")}})
    base = make_run(folder, "base", features=(own,))
    for run, skill in ((best, 0.7), (base, 0.4)):
        add_predictions(run, skill=skill)
    for name in ("one", "two"):
        make_run(folder, name, features=(HOG,), dataset="other", title="Other")
    for run in folder.glob("*-*"):
        record = json.loads((run / "features.json").read_text())
        facts = record["manifest"] | {"path": str(tmp_path / "data" / "meld.parquet")}
        command = f"erc ablate demo --out '{folder}' --store={tmp_path / 'store'} --manifest {tmp_path / 'm.parquet'}"
        write_json(
            run / "features.json", record | {"manifest": facts, "command": command, "store": str(tmp_path / "st")}
        )
    add_suite(folder, [("Does it help?", "best", "base"), ("Gone?", "best", "gone")], baseline="base")
    add_test_read(folder, "best", str(best))
    (folder / "broken").mkdir()
    (folder / "broken" / "features.json").write_text("[")
    (folder / "suite-bad.json").write_text("[")
    (base / "seed-1" / "predictions-dev.parquet").write_bytes(b"no parquet")
    return folder


def test_no_path_of_the_machine_is_in_it(runs: Path, tmp_path: Path) -> None:
    write_report(runs, tmp_path / "out")
    for file in (tmp_path / "out").rglob("*"):
        if file.suffix in (".html", ".md", ".svg", ".csv"):
            text = file.read_text(encoding="utf-8")
            assert paths_in(text, tmp_path, Path.home() / "x") == [], file.name
            assert "jo doe" not in text
    page = (tmp_path / "out" / "report.html").read_text()
    for kept in ("my bert", "words.txt", "y.yaml", "meld.parquet", "--store=store"):
        assert kept in page
    assert "seed-1/predictions-dev.parquet: cannot be read" in page, "below the folder of runs, where it is"


def test_it_is_read_with_a_keyboard_and_by_screen_readers(runs: Path, tmp_path: Path) -> None:
    write_report(runs, tmp_path / "out")
    assert findings_of((tmp_path / "out" / "report.html").read_text()) == []
