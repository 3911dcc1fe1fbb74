"""Our encoders against the plain loop that a careful user would write: one window after the other, without padding or
mask, under inference mode, the same network and the same inputs.

    python benchmarks/plain_loops.py --manifest MELD.parquet --tokenizer GPT2_FOLDER [--dtype fp32] [gpt2] [wav2vec2]

Random weights of the real architectures. gpt2 reads the manifest's first dialogues; wav2vec2 noise as long as its clips
are (equidistant quantiles of their durations), in an order drawn by chance.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import click
import numpy as np
import torch
from timing import compare, machine

from features.encoders.build import create
from features.encoders.protocol import Encoder, EncoderRequest, Input
from features.manifest import Manifest, read_manifest

RATE_HZ = 16_000


@click.command()
@click.argument("encoders", nargs=-1, type=click.Choice(["gpt2", "wav2vec2"]))
@click.option("--manifest", type=click.Path(path_type=Path, exists=True), required=True)
@click.option("--tokenizer", help="Folder with GPT-2's vocab.json and merges.txt, for gpt2.")
@click.option("--number", default=40, show_default=True, help="Dialogues, or clips.")
@click.option("--dtype", default="fp32", show_default=True)
@click.option("--rounds", default=5, show_default=True)
def main(
    encoders: tuple[str, ...], manifest: Path, tokenizer: str | None, number: int, dtype: str, rounds: int
) -> None:
    table = read_manifest(manifest)
    click.echo(f"{machine()}, {dtype}")
    for name in encoders or ("gpt2", "wav2vec2"):
        model = tokenizer if name == "gpt2" else None
        encoder = create(EncoderRequest(name, model=model, weights="random", dtype=dtype))
        inputs = dialogues(encoder, table, number) if name == "gpt2" else sounds(table, number)
        plain = {"gpt2": plain_gpt2, "wav2vec2": plain_wav2vec2}[name](encoder)

        def ours(encoder: Encoder = encoder, inputs: list[Input] = inputs) -> list[np.ndarray]:
            ordered = sorted(inputs, key=lambda item: item.length)
            size = encoder.batch_size
            return [
                row for first in range(0, len(ordered), size) for row in encoder.encode(ordered[first : first + size])
            ]

        def theirs(plain: Callable[[Input], object] = plain, inputs: list[Input] = inputs) -> list[object]:
            with torch.inference_mode():
                return [plain(item) for item in inputs]

        click.echo(f"{name}, {len(inputs)} inputs: the plain loop takes {compare(theirs, ours, rounds)}")


def dialogues(encoder: Encoder, table: Manifest, number: int) -> list[Input]:
    return [encoder.prepare(dialogue) for dialogue, _ in zip(table.dialogues(), range(number), strict=False)]


def sounds(table: Manifest, number: int) -> list[Input]:
    durations = table.frame["duration"].drop_nulls().to_numpy()
    rng = np.random.default_rng(0)
    seconds = rng.permutation(np.quantile(durations, (np.arange(number) + 0.5) / number).clip(0.1, 30.0))
    samples = [rng.normal(0, 0.1, round(length * RATE_HZ)).astype(np.float32) for length in seconds]
    return [Input(sound, len(sound), ("",), ({},)) for sound in samples]


def plain_gpt2(encoder: Encoder) -> Callable[[Input], object]:
    """The states at the turns' last tokens."""
    network = encoder._text._network  # type: ignore[attr-defined]

    def run(item: Input) -> list[np.ndarray]:
        return [
            network(input_ids=torch.from_numpy(window.ids.astype(np.int64))[None])
            .last_hidden_state[0, window.places]
            .float()
            .numpy()
            for window in item.value.windows
        ]

    return run


def plain_wav2vec2(encoder: Encoder) -> Callable[[Input], object]:
    """The mean over a clip's frames; every clip is shorter than the encoder's window."""
    network = encoder._model._network  # type: ignore[attr-defined]
    extractor = encoder._model._extractor  # type: ignore[attr-defined]

    def run(item: Input) -> np.ndarray:
        values = extractor(item.value, sampling_rate=RATE_HZ, return_tensors="pt").input_values.to(network.dtype)
        pooled: np.ndarray = network(values).last_hidden_state[0].float().mean(dim=0).numpy()
        return pooled

    return run


if __name__ == "__main__":
    main()
