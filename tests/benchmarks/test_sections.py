"""Each section runs from end to end, at sizes whose figures mean nothing."""

from __future__ import annotations

import subprocess
import sys
from importlib import import_module
from pathlib import Path

import polars as pl
import pytest

from benchmarks.harness.results import Comparison, read_results
from benchmarks.sections.table import FULL_SECTIONS, GPU_SECTIONS, SECTIONS, sections_of

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("module", [*SECTIONS.values(), *FULL_SECTIONS.values(), *GPU_SECTIONS.values()])
def test_a_section_says_what_it_is(module: str) -> None:
    section = import_module(module)
    assert section.TITLE
    assert section.TEXT.endswith(".")
    assert callable(section.measure)


def test_what_takes_very_long_is_of_the_real_sizes_alone() -> None:
    assert "table4" in sections_of("full")
    assert "table4" not in sections_of("small")
    assert all(name.startswith("gpu-") for name in sections_of("gpu"))


def test_table4_tells_each_experiment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from benchmarks.sections import table4

    rows = {"experiment": ["a", "b"], "seconds": [30.0, 9.0], "epochs": [15.0, 3.0], "parameters": [4_100, 7]}
    monkeypatch.setattr(table4, "train_suite", lambda place, seeds, jobs: (25.0, pl.DataFrame(rows)))
    (table,) = table4.measure("full", tmp_path, lambda line: None)
    assert table.value(table.claims[0]) == 25.0
    assert table.of("a").note == "15 epochs of 2.00 s, 4,100 weights"


@pytest.mark.slow
@pytest.mark.parametrize("name", list(SECTIONS))
def test_a_section_runs(name: str, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "benchmarks", "--size", "tiny", "--out", str(tmp_path), name]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0 or "stated ratios do not hold" in done.stderr, done.stderr
    (section,) = read_results(tmp_path / "benchmarks" / "tiny.json").sections
    assert section.tables
    for table in section.tables:
        if isinstance(table, Comparison):
            assert table.ours is None or table.of(table.ours).seconds
            assert all(one.seconds or one.note.endswith("is not installed") for one in table.measured)
            for claim in table.claims:
                assert table.value(claim) is not None or any(one.note for one in table.measured)
        else:
            assert all(table.value(claim) is not None for claim in table.claims)
    page = (tmp_path / "benchmarks.md").read_text(encoding="utf-8")
    assert section.title in page


@pytest.mark.slow
@pytest.mark.parametrize("name", list(GPU_SECTIONS))
def test_a_section_for_a_gpu_runs_on_a_cpu(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All but CUDA itself."""
    from benchmarks.sections import gpu_extraction, gpu_heads, gpu_pictures

    monkeypatch.setattr(gpu_extraction, "ENCODERS", {"sentence": (6, (2,)), "resnet50": (2, ())})
    monkeypatch.setattr(gpu_pictures, "FRAMES", 8)
    monkeypatch.setattr(gpu_heads, "BATCH", 16)
    monkeypatch.setattr(gpu_heads, "STEPS", 3)
    monkeypatch.setattr(gpu_heads, "HEADS", 4)
    monkeypatch.setattr(gpu_heads, "HEAD_STEPS", 20)
    tables = import_module(GPU_SECTIONS[name]).measure("gpu", tmp_path, lambda line: None, device="cpu")
    assert tables
    assert all(one.seconds for table in tables for one in table.measured)
    if name == "gpu-extraction":
        assert "utterances a second" in tables[0].text
        assert "of them decode as fast as" in tables[1].text
        assert "decode" not in tables[0].text
