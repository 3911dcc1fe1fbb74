"""Extraction end to end against its floor: bare decoding of the same clips plus bare encoding of the same inputs.

    erc sample sample --dialogues 60 && erc ingest meld sample --out sample.parquet
    python benchmarks/end_to_end.py --manifest sample.parquet [--clips 400] [--tokenizer GPT2_FOLDER] ENCODER ...

Both use the same cores and the same number of decoding processes. The floor decodes every clip once, keeping nothing,
then encodes inputs that are in memory already; extraction also prepares and sends the inputs, hashes the clips, and
writes shards and ledgers. Starting processes and building the encoder are left out of both. Random weights.
"""

from __future__ import annotations

import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import click
from dialogues import whole_dialogues
from timing import machine

from features.encoders.for_store import build_encoders
from features.encoders.protocol import DerivedEncoder, Encoder, EncoderRequest, Input
from features.engines.clip_task import ClipReader, ClipTask
from features.engines.decode_pool import DecodeOptions, DecodePool
from features.engines.job import Job
from features.errors import UnavailableError
from features.extract import extract_features
from features.manifest import Manifest, read_manifest
from features.store import Feature


@dataclass(frozen=True)
class Nothing:
    """A preparer that makes no input of a decoded clip: it only asks for what was decoded."""

    needs: Any

    def __call__(self, clip: Any) -> Input:
        if self.needs.audio is not None:
            clip.sound(self.needs.audio)
        if self.needs.frames is not None:
            clip.frames(self.needs.frames)
        return Input(None, 0, ("",), ({},))


@click.command()
@click.argument("encoders", nargs=-1, required=True)
@click.option("--manifest", type=click.Path(path_type=Path, exists=True), required=True)
@click.option("--clips", default=400, show_default=True)
@click.option("--tokenizer", help="Folder with GPT-2's vocab.json and merges.txt, for gpt2.")
@click.option("--dtype", default="auto", show_default=True)
def main(encoders: tuple[str, ...], manifest: Path, clips: int, tokenizer: str | None, dtype: str) -> None:
    table = whole_dialogues(read_manifest(manifest), clips)
    click.echo(f"{machine()}\n{len(table)} utterances")
    for name in encoders:
        request = EncoderRequest(name, model=tokenizer if name == "gpt2" else None, weights="random")
        with tempfile.TemporaryDirectory() as folder:
            built, implied = build_encoders([request], Path(folder), dtype)
            reads = {encoder.reads for encoder in built}
            workers = DecodeOptions().workers_for(len(table)) if reads == {"clip"} else 0
            started = time.perf_counter()
            jobs = extract_features(
                table, Path(folder), built, implied=implied, decoding=DecodeOptions(workers=workers)
            )
            whole = time.perf_counter() - started
            readers = {job.key: ClipReader(job.encoder.needs, job.encoder.prepare) for job in jobs if workers}
            start_up = decoding(table, readers, workers, 1) if workers else 0.0
            idle = {key: replace(reader, prepare=Nothing(reader.needs)) for key, reader in readers.items()}
            decode = decoding(table, idle, workers, len(table)) - start_up if workers else 0.0
            encode = encoding(table, Path(folder), jobs)
        ratio = (whole - start_up) / (decode + encode)
        click.echo(
            f"{name}: {ratio:.2f} times its floor ({whole - start_up:.1f} s; decoding {decode:.1f} s"
            f" + encoding {encode:.1f} s; starting the workers, {start_up:.1f} s, left out)"
        )


def clip_tasks(manifest: Manifest, keys: tuple[str, ...], count: int) -> list[ClipTask]:
    utterances = [utterance for utterance in manifest.utterances() if utterance.media is not None]
    return [ClipTask(item, manifest.media_path(item.media or ""), keys) for item in utterances[:count]]


def decoding(manifest: Manifest, readers: dict[str, ClipReader], workers: int, count: int) -> float:
    """Seconds to decode so many clips, with the processes' start."""
    started = time.perf_counter()
    with DecodePool(readers, workers) as pool:
        for _ in pool.map(clip_tasks(manifest, tuple(readers), count)):
            pass
    return time.perf_counter() - started


def encoding(manifest: Manifest, store: Path, jobs: list[Job]) -> float:
    """Seconds to encode what extraction encodes, its inputs made beforehand (in groups, for memory's sake)."""
    seconds = 0.0
    for job in jobs:
        encoder: Encoder | DerivedEncoder = job.encoder
        for first in range(0, len(manifest), 64):
            inputs = sorted(prepared(manifest, store, jobs, job, first, first + 64), key=lambda item: item.length)
            started = time.perf_counter()
            for begin in range(0, len(inputs), encoder.batch_size):
                encoder.encode(inputs[begin : begin + encoder.batch_size])
            seconds += time.perf_counter() - started
    return seconds


def prepared(manifest: Manifest, store: Path, jobs: list[Job], job: Job, start: int, stop: int) -> list[Input]:
    if job.encoder.reads == "dialogue":
        bounds = [pair for pair in manifest.dialogue_bounds() if start <= pair[0] < stop]
        return [job.encoder.prepare(dialogue) for pair in bounds for dialogue in manifest.dialogues(*pair)]
    sources = {other.plan.spec.fingerprint: other for other in jobs}
    source = sources.get(job.plan.spec.derives_from or "")
    tasks = [
        ClipTask(utterance, manifest.media_path(utterance.media), (job.key,))
        for utterance in manifest.utterances(start, min(stop, len(manifest)))
        if utterance.media is not None
    ]
    found = []
    with DecodePool({job.key: ClipReader(job.encoder.needs, job.encoder.prepare)}, 0) as pool:
        for result in pool.map(tasks):
            item = result.outcomes[job.key]
            if isinstance(item, UnavailableError):
                continue
            try:
                if source is not None:
                    (stored,) = Feature(store, source.key).read_sequences([result.task.utterance.utterance_id])
                    item = job.encoder.derive(item, stored)
            except UnavailableError:
                continue
            found.append(item)
    return found


if __name__ == "__main__":
    main()
