"""The report's whole Table 4 on random features of MELD's size: how long each of its experiments takes.

9,989 + 1,109 utterances; GPT-2 768, GloVe 50, wav2vec2 1536 (13 layers of it, too), ResNet-50 and RetinaFace 2048
values, and waveforms at 8 kHz whose lengths are spread as MELD's are. The features say that they are random, and so do
the scores.
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import polars as pl

from benchmarks.inputs.random_meld import SPLITS, make_manifest
from features.manifest import read_manifest, write_manifest
from features.spec import EncoderSpec
from features.store import write_feature

_SPLITS = {split: SPLITS[split] for split in ("train", "dev")}
_RATE_HZ, _LONGEST_SECONDS = 8_000, 2.27  # what the suite's waveform rows read at most
_VECTORS = {
    "gpt2": ("text", 768),
    "glove": ("text", 50),
    "wav2vec2-150k": ("audio", 1536),
    "wav2vec2-200k": ("audio", 1536),
    "wav2vec2-250k": ("audio", 1536),
    "resnet50": ("visual", 2048),
    "retinaface-resnet50": ("visual", 2048),
}


def generate(folder: Path) -> None:
    """The manifest and the store, one feature at a time."""
    write_manifest(make_manifest(_SPLITS), folder / "manifest.parquet")
    manifest = read_manifest(folder / "manifest.parquet")
    rng = np.random.default_rng(0)
    for name, (modality, width) in _VECTORS.items():
        spec = EncoderSpec(modality, name, 1, "text", "vector", (width,), weights="random")  # type: ignore[arg-type]
        values = rng.standard_normal((len(manifest), width), dtype=np.float32)
        write_feature(folder / "store", spec, manifest, dict(zip(manifest.ids, values, strict=True)))
    layers = EncoderSpec("audio", "wav2vec2-layers", 1, "text", "stack", (13, 1536), weights="random")
    stacks = {key: rng.standard_normal(layers.shape, dtype=np.float32) for key in manifest.ids}
    write_feature(folder / "store", layers, manifest, stacks)
    del stacks
    waveform = EncoderSpec("audio", "waveform", 1, "text", "sequence", (1,), weights="random", stored_dtype="float16")
    seconds = np.minimum(rng.lognormal(0.85, 0.7, len(manifest)), _LONGEST_SECONDS)  # MELD: median 2.3 s, mean 3.1 s
    samples = {
        key: (rng.standard_normal((max(1, round(length * _RATE_HZ)), 1), dtype=np.float32) * 0.1).astype(np.float16)
        for key, length in zip(manifest.ids, seconds.tolist(), strict=True)
    }
    write_feature(folder / "store", waveform, manifest, samples)


def times(runs: Path, seeds: int) -> pl.DataFrame:
    """One row an experiment, in the suite's order: seconds a seed, epochs, parameters."""
    from heads.config.suite import read_suite
    from pipeline.runs.folder import find_runs
    from pipeline.runs.seed_files import mean_seconds

    found = {run.experiment.name: run for run in find_runs([runs])}
    rows = []
    for experiment in read_suite("table4").experiments:
        results = [found[experiment.name].result(seed) for seed in range(seeds)]
        rows.append(
            {
                "experiment": experiment.name,
                "waveform": any("waveform" in names for names in experiment.inputs.values()),
                "seconds": mean_seconds(results),
                "epochs": sum(item.epochs or 0 for item in results) / seeds,
                "parameters": results[0].parameters,
            }
        )
    return pl.DataFrame(rows)


def train_suite(place: Path, seeds: int, jobs: int) -> tuple[float, pl.DataFrame]:
    """Seconds of the whole `erc ablate`, and `times`. place: a new folder"""
    place.mkdir()
    generate(place)
    arguments = ["--store", str(place / "store"), "--manifest", str(place / "manifest.parquet")]
    arguments += ["--out", str(place / "runs"), "--seeds", str(seeds), "--jobs", str(jobs)]
    started = time.perf_counter()
    subprocess.run(
        [sys.executable, "-c", "from pipeline.cli import main; main()", "ablate", "table4", *arguments], check=True
    )
    return time.perf_counter() - started, times(place / "runs", seeds)
