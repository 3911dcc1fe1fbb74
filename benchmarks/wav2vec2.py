"""wav2vec2: 16 kHz mono of each clip's own length against the report's 250,000 values, zero-padded, in batches of 8.

    python benchmarks/wav2vec2.py --manifest MELD.parquet [--clips 16] [--dtype fp32]

Random weights of wav2vec2-base; noise as long as the manifest's clips are (equidistant quantiles of their durations).
"""

from __future__ import annotations

from pathlib import Path

import click
import numpy as np
import torch
from timing import compare, machine

from features.encoders.build import create
from features.encoders.devices import resolve_dtype
from features.encoders.protocol import EncoderRequest, Input
from features.manifest import read_manifest

BATCH = 8
PUBLISHED_VALUES = 250_000
RATE_HZ = 16_000


@click.command()
@click.option("--manifest", type=click.Path(path_type=Path, exists=True), required=True)
@click.option("--clips", default=16, show_default=True)
@click.option("--dtype", default="auto", show_default=True)
@click.option("--rounds", default=3, show_default=True)
def main(manifest: Path, clips: int, dtype: str, rounds: int) -> None:
    durations = read_manifest(manifest).frame["duration"].drop_nulls().to_numpy()
    seconds = np.quantile(durations, (np.arange(clips) + 0.5) / clips).clip(0.1, 30.0)
    dtype = resolve_dtype(dtype, "cpu")
    encoder = create(EncoderRequest("wav2vec2", weights="random", dtype=dtype))
    reference = create(EncoderRequest("wav2vec2", weights="random", dtype="fp32"))
    noise = np.random.default_rng(0)
    sounds = [noise.normal(0, 0.1, round(length * RATE_HZ)).astype(np.float32) for length in seconds]
    inputs = [Input(sound, len(sound), ("",), ({},)) for sound in sounds]
    padded = noise.normal(0, 3000, (clips, PUBLISHED_VALUES)).astype(np.float32)
    network = reference._model._network  # type: ignore[attr-defined]
    click.echo(f"{machine()}\n{clips} clips of {seconds.mean():.2f} s on average, ours in {dtype}")

    def ours() -> list[np.ndarray]:
        batches = [inputs[i : i + encoder.batch_size] for i in range(0, clips, encoder.batch_size)]
        return [array for batch in batches for array in encoder.encode(batch)]

    def published() -> None:
        with torch.inference_mode():
            for first in range(0, clips, BATCH):
                network(torch.from_numpy(padded[first : first + BATCH]))

    click.echo(f"against the report's padded batches in fp32: {compare(published, ours, rounds)}")


if __name__ == "__main__":
    main()
