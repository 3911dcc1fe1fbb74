"""gpt2: one pass a dialogue against one prompt an utterance, padded batches of 16, as the report ran it.

    python benchmarks/gpt2.py --manifest MELD.parquet --tokenizer GPT2_FOLDER [--dialogues 40] [--dtype fp32]

Random weights of GPT-2's own architecture. `--tokenizer`: a folder with GPT-2's vocab.json and merges.txt.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import click
import numpy as np
import torch
from timing import compare, machine

from features.encoders.build import create
from features.encoders.devices import resolve_dtype
from features.encoders.protocol import EncoderRequest, Input
from features.manifest import read_manifest

BATCH = 16


@click.command()
@click.option("--manifest", type=click.Path(path_type=Path, exists=True), required=True)
@click.option("--tokenizer", required=True)
@click.option("--dialogues", default=40, show_default=True)
@click.option("--dtype", default="auto", show_default=True)
@click.option("--rounds", default=3, show_default=True)
def main(manifest: Path, tokenizer: str, dialogues: int, dtype: str, rounds: int) -> None:
    chosen = next(zip(*[iter(read_manifest(manifest).dialogues())] * dialogues, strict=False))
    dtype = resolve_dtype(dtype, "cpu")
    encoders = {
        name: create(EncoderRequest("gpt2", model=tokenizer, weights="random", dtype=name)) for name in {dtype, "fp32"}
    }
    encoder = encoders[dtype]
    inputs = [encoder.prepare(dialogue) for dialogue in chosen]
    prompts = [prompt for item in inputs for prompt in every_prompt(item)]
    click.echo(f"{machine()}\n{len(chosen)} dialogues, {len(prompts)} utterances, ours in {dtype}")

    def ours() -> list[np.ndarray]:
        ordered = sorted(inputs, key=lambda item: item.length)
        batches = [ordered[i : i + encoder.batch_size] for i in range(0, len(ordered), encoder.batch_size)]
        return [array for batch in batches for array in encoder.encode(batch)]

    for name in sorted(encoders):
        network = encoders[name]._text._network  # type: ignore[attr-defined]
        reference = partial(every_prefix, network, prompts)
        click.echo(f"against every prompt alone in {name}: {compare(reference, ours, rounds)}")


def every_prompt(item: Input) -> list[np.ndarray]:
    """The ids of each turn's own prompt, int64 [t], where it fits the window."""
    return [window.ids[: place + 1].astype(np.int64) for window in item.value.windows for place in window.places]


def every_prefix(network: torch.nn.Module, prompts: list[np.ndarray]) -> list[torch.Tensor]:
    """The last token's state of each prompt, in batches in the order of the corpus, padded on the right."""
    states = []
    with torch.inference_mode():
        for first in range(0, len(prompts), BATCH):
            batch = prompts[first : first + BATCH]
            ids = np.zeros((len(batch), max(map(len, batch))), np.int64)
            mask = np.zeros_like(ids)
            for row, prompt in enumerate(batch):
                ids[row, : len(prompt)], mask[row, : len(prompt)] = prompt, 1
            hidden = network(input_ids=torch.from_numpy(ids), attention_mask=torch.from_numpy(mask)).last_hidden_state
            states += [hidden[row, len(prompt) - 1].float() for row, prompt in enumerate(batch)]
    return states


if __name__ == "__main__":
    main()
