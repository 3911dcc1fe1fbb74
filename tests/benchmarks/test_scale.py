"""The arithmetic of a very large corpus, and the steps that are measured."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from benchmarks.inputs.many_utterances import CLIPS, make_corpus, store_clips
from benchmarks.inputs.paper import Measured, bytes_of_store, on_paper, told
from benchmarks.sections.scale import per_chunk
from benchmarks.workers import scale


def test_the_arithmetic() -> None:
    paper = on_paper(Measured(100, 500, 50, 5e-6, 1_000), 100_000_000, 1_000)
    assert (paper.chunk, paper.chunks, paper.files) == (1_024, 97_657, 292_971)
    assert paper.chunks_a_machine == pytest.approx(97.657)
    assert paper.ledgers_gb == pytest.approx(10)
    assert paper.records_gb == pytest.approx(0.0488285)
    assert paper.manifest_gb == pytest.approx(5)
    assert paper.plan_hours == pytest.approx(500 / 3600)
    assert paper.plan_memory_gb == pytest.approx(100)
    assert paper.read_by_all_gb == pytest.approx(15_048.8, rel=1e-4)
    said = told(paper)
    for figure in ("97,657 chunks", "98 a machine", "292,971 names", "planned in 5 s", "1.0 GB."):
        assert figure in said, said


def test_a_chunk_costs_the_slope_and_not_the_start() -> None:
    assert per_chunk((10.0, 12.0), (98, 198)) == pytest.approx(0.02)


def test_bytes_are_those_of_ledgers_records_and_manifest(tmp_path: Path) -> None:
    make_corpus(tmp_path, 100)
    store_clips(tmp_path)
    feature = tmp_path / "store" / CLIPS.folder
    ledger, record, manifest = bytes_of_store(feature, tmp_path / "manifest.parquet", 100)
    ledgers = sorted(feature.glob("*.parquet"))
    assert sum(len(pl.read_parquet(path)) for path in ledgers) == 100
    assert ledger * 100 == pytest.approx(sum(path.stat().st_size for path in ledgers))
    assert record == pytest.approx(sum(path.with_suffix(".json").stat().st_size for path in ledgers) / len(ledgers))
    assert manifest * 100 == pytest.approx((tmp_path / "manifest.parquet").stat().st_size)


def test_every_step_runs_after_those_before_it(tmp_path: Path) -> None:
    make_corpus(tmp_path, 60)
    store_clips(tmp_path)
    before = {path.name for path in (tmp_path / "store").iterdir()}
    for name, work in scale.STEPS.items():
        work(tmp_path)
        found = {path.name for path in (tmp_path / "store").iterdir()}
        assert ("text" in found) == ("text" in before or list(scale.STEPS).index(name) >= 1), name


def test_a_step_that_finds_work_left_is_no_measurement(tmp_path: Path) -> None:
    make_corpus(tmp_path, 60)
    with pytest.raises(RuntimeError, match="60 clips are left"):
        scale.plan_clips(tmp_path)
