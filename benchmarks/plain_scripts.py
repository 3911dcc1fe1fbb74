"""Whole processes: `erc extract` against the short script that a careful user would write, from its start to its end.

    python benchmarks/plain_scripts.py --manifest MELD.parquet --tokenizer GPT2_FOLDER [--number 200] gpt2
    erc sample sample --dialogues 60 && erc ingest meld sample --out sample.parquet
    python benchmarks/plain_scripts.py --manifest sample.parquet [--number 200] wav2vec2

Weights drawn by chance, of the real architectures, saved once as a folder that both load. The script encodes one
dialogue or clip after the other without padding or mask, and saves one .npy; extraction also hashes, checks, and writes
shards, ledgers and records that survive a kill. Both in fp32 on all cores; a first run of each warms the disk's cache
and is not counted.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import click
import numpy as np
from dialogues import whole_dialogues
from timing import compare, machine

from features.manifest import Dialogue, Manifest, build_manifest, read_manifest, write_manifest

RATE_HZ = 16_000
ERC = "from pipeline.cli import main; main()"


@click.command()
@click.argument("encoder", type=click.Choice(["gpt2", "wav2vec2"]))
@click.option("--manifest", type=click.Path(path_type=Path, exists=True), required=True)
@click.option("--tokenizer", type=click.Path(path_type=Path, exists=True), help="GPT-2's vocab.json and merges.txt.")
@click.option("--number", default=200, show_default=True, help="Utterances, rounded up to whole dialogues.")
@click.option("--rounds", default=3, show_default=True)
def main(encoder: str, manifest: Path, tokenizer: Path | None, number: int, rounds: int) -> None:
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        table = whole_dialogues(read_manifest(manifest), number)
        if encoder == "wav2vec2":
            table = with_sound(table)
        path = write_manifest(table, folder / "manifest.parquet")
        model = save_model(encoder, folder / "model", tokenizer)
        flags = ["--encoder", encoder, "--model", model, "--manifest", path, "--dtype", "fp32", "--device", "cpu"]

        def ours() -> None:
            shutil.rmtree(folder / "store", ignore_errors=True)
            run("-c", ERC, "extract", *flags, "--store", folder / "store")

        plain = partial(run, __file__, "--plain", encoder, model, path, folder / "plain.npy")
        plain()
        click.echo(f"{machine()}\n{encoder}, {len(table)} utterances: the script takes {compare(plain, ours, rounds)}")
        run(__file__, "--check", encoder, folder / "store", path, folder / "plain.npy")


def run(*arguments: str | Path) -> None:
    environment = {**os.environ, "OMP_WAIT_POLICY": "PASSIVE"}  # as `erc` sets it, for both
    command = [sys.executable, *map(str, arguments)]
    subprocess.run(command, check=True, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def with_sound(manifest: Manifest) -> Manifest:
    """The utterances whose clip is there and has a sound track."""
    import av

    kept = []
    for media in manifest.frame["media"]:
        try:
            with av.open(manifest.media_path(media)) as container:
                kept.append(bool(container.streams.audio))
        except (OSError, TypeError):
            kept.append(False)
    return build_manifest(manifest.frame.filter(kept), manifest.card, manifest.media_root)


def save_model(encoder: str, folder: Path, tokenizer: Path | None) -> Path:
    """A folder as `save_pretrained` writes it, with the tokenizer or feature extractor beside the weights."""
    import torch
    from transformers import (
        GPT2Config,
        GPT2Model,
        GPT2TokenizerFast,
        Wav2Vec2Config,
        Wav2Vec2FeatureExtractor,
        Wav2Vec2Model,
    )
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()
    torch.manual_seed(0)
    if encoder == "gpt2":
        if tokenizer is None:
            raise click.UsageError("gpt2 needs --tokenizer")
        GPT2Model(GPT2Config()).save_pretrained(folder)
        GPT2TokenizerFast.from_pretrained(tokenizer).save_pretrained(folder)
    else:
        Wav2Vec2Model(Wav2Vec2Config()).save_pretrained(folder)
        Wav2Vec2FeatureExtractor().save_pretrained(folder)
    return folder


def plain_gpt2(model: Path, manifest: Path) -> list[np.ndarray]:
    """The states at the last tokens of the report's prompts, one pass a dialogue."""
    import torch
    from transformers import AutoModel, AutoTokenizer

    tokenizer, network = AutoTokenizer.from_pretrained(model), AutoModel.from_pretrained(model).eval()
    rows = []
    with torch.inference_mode():
        for dialogue in read_manifest(manifest).dialogues():
            pieces = [tokenizer(piece).input_ids for piece in pieces_of(dialogue)]
            ends = np.cumsum([len(piece) for piece in pieces])
            ids = torch.tensor([[token for piece in pieces for token in piece]])
            rows += list(network(input_ids=ids, use_cache=False).last_hidden_state[0, ends - 1].numpy())
    return rows


def pieces_of(dialogue: Dialogue) -> list[str]:
    return [
        ("\n\n\n" if number else "") + f'The speaker "{turn.speaker}" said:\n###\n{turn.text}\n###'
        for number, turn in enumerate(dialogue.utterances)
    ]


def plain_wav2vec2(model: Path, manifest: Path) -> list[np.ndarray]:
    """Mean and maximum over each clip's frames."""
    import torch
    from transformers import AutoFeatureExtractor, AutoModel

    extractor, network = AutoFeatureExtractor.from_pretrained(model), AutoModel.from_pretrained(model).eval()
    table = read_manifest(manifest)
    rows = []
    with torch.inference_mode():
        for media in table.frame["media"]:
            samples = plain_sound(table.media_path(media))
            values = extractor(samples, sampling_rate=RATE_HZ, return_tensors="pt").input_values
            frames = network(values).last_hidden_state[0]
            rows.append(torch.cat([frames.mean(dim=0), frames.amax(dim=0)]).numpy())
    return rows


def plain_sound(path: Path) -> np.ndarray:
    import av

    with av.open(path) as container:
        resampler = av.AudioResampler(format="flt", layout="mono", rate=RATE_HZ)
        parts = [part.to_ndarray()[0] for frame in container.decode(audio=0) for part in resampler.resample(frame)]
        parts += [part.to_ndarray()[0] for part in resampler.resample(None)]
    return np.concatenate(parts)


PLAIN: dict[str, Callable[[Path, Path], list[np.ndarray]]] = {"gpt2": plain_gpt2, "wav2vec2": plain_wav2vec2}


def check(store: Path, manifest: Path, plain: Path) -> None:
    """Both made the same numbers."""
    from features.store import Store

    table = read_manifest(manifest)
    (feature,) = Store(store, table).features()
    rows, expected = feature.read(table.ids), np.load(plain)
    if not rows.present.all():
        raise SystemExit("extraction lacks an embedding")
    error = np.linalg.norm(rows.values - expected) / np.linalg.norm(expected)
    if not error < 1e-3:
        raise SystemExit(f"the embeddings differ by {error:.2g}")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--plain"]:
        _, _, name, folder, table, out = sys.argv
        np.save(out, np.stack(PLAIN[name](Path(folder), Path(table))))
    elif sys.argv[1:2] == ["--check"]:
        check(*map(Path, sys.argv[3:]))
    else:
        main()
