"""Runs on a generated corpus and the corpus' turns, for tests of what predicts raw turns."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl

from features.manifest import Manifest, read_manifest
from pipeline.cli import erc, run
from pipeline.predict.turns import Talk, Turn
from pipeline.runs.folder import Run

SUITE = """
defaults:
  inputs: {text: [surface], audio: [logmel], visual: [hog-colour]}
  feedforward: {sizes: [8]}
  batch: {unit: dialogues, size: 4}
  stop: {epochs: 2, patience: 2}
experiments:
  alone: {batch: {unit: utterances, size: 16}}
  causal: {context: {name: transformer, causal: true, dim: 8, heads: 2, feedforward: 8}}
  full: {context: {name: bclstm, causal: false, units: 4, layers: 1}}
"""


def make_world(folder: Path) -> None:
    """A generated corpus, its features (each input encoded alone), and three runs of two seeds, scored on test."""
    (folder / "suite.yaml").write_text(SUITE)
    manifest, store = str(folder / "manifest.parquet"), str(folder / "store")
    given = ["--manifest", manifest, "--store", store]
    encoders = [word for name in ("surface", "logmel", "hog-colour") for word in ("--encoder", name)]
    for arguments in (
        ["sample", str(folder / "sample"), "--dialogues", "6"],
        ["ingest", "meld", str(folder / "sample"), "--out", manifest],
        ["extract", *given, "--modality", "all", *encoders, "--batch-size", "1", "--dtype", "fp32", "--workers", "0"],
        ["ablate", str(folder / "suite.yaml"), *given, "--out", str(folder / "runs"), "--seeds", "2", "--jobs", "1"],
        ["evaluate", str(folder / "runs"), "--split", "test"],
    ):
        assert run(erc, arguments, "erc") == 0, arguments


def run_of(world: Path, name: str) -> Run:
    return Run(next((world / "runs").glob(f"{name}-*")))


def probabilities(frame: pl.DataFrame, labels: tuple[str, ...]) -> np.ndarray:
    return frame.select(f"p_{label}" for label in labels).to_numpy()


def rows_of(world: Path, split: str) -> Manifest:
    return read_manifest(world / "manifest.parquet").select_splits([split])


def talks_of(manifest: Manifest) -> list[Talk]:
    """A manifest's dialogues as raw turns."""
    root = manifest.media_root
    assert root is not None
    return [
        Talk(
            dialogue.dialogue_id.replace("/", "-"),
            tuple(
                Turn(item.speaker, item.text, root / item.media if item.media else None) for item in dialogue.utterances
            ),
        )
        for dialogue in manifest.dialogues()
    ]
