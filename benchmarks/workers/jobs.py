"""Five seeds of one experiment, through the very processes of `erc ablate`."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np

from benchmarks.inputs.random_meld import make_manifest
from features.manifest import read_manifest, write_manifest
from features.spec import EncoderSpec
from features.store import write_feature

SEEDS = 5
WIDTH = 768


def make_inputs(place: Path, utterances: int, epochs: int) -> Path:
    """A manifest, a store with vectors of WIDTH, and a suite of one experiment."""
    place.mkdir()
    write_manifest(make_manifest({"train": utterances * 9 // 10, "dev": utterances // 10}), place / "manifest.parquet")
    manifest = read_manifest(place / "manifest.parquet")
    rng = np.random.default_rng(0)
    spec = EncoderSpec("text", "bench", 1, "text", "vector", (WIDTH,), weights="random")
    vectors = {key: rng.standard_normal(WIDTH, dtype=np.float32) for key in manifest.ids}
    write_feature(place / "store", spec, manifest, vectors)
    (place / "suite.yaml").write_text(
        "inputs: {text: [bench]}\nfeedforward: {sizes: [512]}\nbatch: {size: 64}\n"
        f"stop: {{epochs: {epochs}, patience: {epochs}}}\n"
    )
    return place


class Seeds:
    """Train SEEDS seeds in `jobs` processes; their start is part of the work."""

    def __init__(self, place: str, jobs: int) -> None:
        from heads.config.suite import read_suite
        from pipeline.suites.plan import Source, make_plan

        folder = Path(place)
        self._jobs = jobs
        self._source = Source.open(folder / "store", read_manifest(folder / "manifest.parquet"))
        self._plan = make_plan(read_suite(str(folder / "suite.yaml")).experiments, self._source)
        self._runs = tempfile.TemporaryDirectory()
        self._number = 0

    def before(self) -> None:
        self._number += 1

    @property
    def _run(self) -> Path:
        return Path(self._runs.name) / str(self._number)

    def __call__(self) -> None:
        from pipeline.suites.run import run_plan

        (planned,) = self._plan.planned
        folders = {planned.experiment.name: self._run}
        outcome = run_plan(self._plan, self._source, range(SEEDS), folders, self._jobs, "cpu", "bench")
        if outcome.failures:
            raise RuntimeError(str(outcome.failures))

    def rows(self) -> np.ndarray:
        """float64 [SEEDS x dev, ...]: predictions and probabilities, which must not depend on the jobs by a bit."""
        import polars as pl
        from polars import selectors

        from pipeline.runs.folder import Run

        table = pl.concat([Run(self._run).predictions(seed, "dev") for seed in range(SEEDS)])
        labels = {label: number for number, label in enumerate(sorted(table["predicted"].unique()))}
        chosen = [labels[label] for label in table["predicted"]]
        numbers = table.select(selectors.float()).to_numpy()
        if numbers.shape[1] == 0:
            raise RuntimeError(f"no probabilities among {table.columns}")
        return np.column_stack([np.array(chosen, np.float64), numbers.astype(np.float64)])
