"""A corpus of as many utterances as wanted: short texts, and clips that are names of one small file (hard links)."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl

from features.cards import DatasetCard
from features.manifest import Manifest, build_manifest, read_manifest, write_manifest
from features.spec import EncoderSpec
from features.store import open_writer
from features.store.chunks import chunk_size, cut_chunks
from features.store.ledger import LedgerRow
from features.store.plan import make_plan

_TURNS = 10
_LINKS = 10_000  # hard links to one file that every file system allows

# A feature of clips, whose planning has to find the state of each; its vectors are random.
CLIPS = EncoderSpec("audio", "large", 1, "media", "vector", (16,))


def make_corpus(folder: Path, count: int) -> Manifest:
    """manifest.parquet and clips/."""
    write_manifest(_table(folder, count), folder / "manifest.parquet")
    return read_manifest(folder / "manifest.parquet")


def bounds_of(manifest: Manifest) -> list[tuple[int, int]]:
    return cut_chunks(manifest.dialogue_bounds(), chunk_size(len(manifest)))


def store_clips(folder: Path) -> None:
    """All of CLIPS in store/, without decoding anything."""
    manifest = read_manifest(folder / "manifest.parquet")
    rng = np.random.default_rng(0)
    with open_writer(folder / "store", CLIPS) as writer:
        plan = make_plan(manifest, CLIPS, folder / "store", bounds_of(manifest))
        for chunk in plan.chunks:
            ids = [manifest.ids[position] for position in chunk.positions]
            vectors = rng.standard_normal((len(ids), *CLIPS.shape), dtype=np.float32)
            rows = list(_ledger_rows(manifest, plan.digests, chunk.positions))
            writer.commit(chunk.number, rows, dict(zip(ids, vectors, strict=True)))


def _table(folder: Path, count: int) -> Manifest:
    clips = folder / "clips"
    names = []
    for number in range(count):
        if number % _LINKS == 0:
            group = clips / str(number // _LINKS)
            group.mkdir(parents=True, exist_ok=True)
            original = group / "original"
            original.write_bytes(b"clip")
        os.link(original, group / f"{number}.mp4")
        names.append(f"{number // _LINKS}/{number}.mp4")
    row = pl.int_range(count, eager=True)
    frame = pl.DataFrame({"row": row, "media": names}).with_columns(
        utterance_id=pl.format("large/train/dia{}_utt{}", pl.col("row") // _TURNS, pl.col("row") % _TURNS),
        dataset=pl.lit("large"),
        split=pl.when(pl.col("row") % (20 * _TURNS) < _TURNS).then(pl.lit("dev")).otherwise(pl.lit("train")),
        dialogue_id=pl.format("large/train/dia{}", pl.col("row") // _TURNS),
        turn=pl.col("row") % _TURNS,
        speaker=pl.format("speaker {}", pl.col("row") % 3),
        text=pl.format("This is what was said in row {}, and a little more of it.", pl.col("row")),
        label=pl.when(pl.col("row") % 3 == 0).then(pl.lit("joy")).otherwise(pl.lit("neutral")),
    )
    card = DatasetCard("large", labels=("neutral", "joy"), neutral="neutral")
    return build_manifest(frame.drop("row"), card, clips)


def _ledger_rows(manifest: Manifest, digests: list[str], positions: tuple[int, ...]) -> Iterator[LedgerRow]:
    media = manifest.frame["media"]
    for position in positions:
        status = manifest.media_path(media[position]).stat()
        yield LedgerRow(
            manifest.ids[position],
            digests[position],
            input_digest=f"{position:064x}",
            media_size=status.st_size,
            media_mtime_ns=status.st_mtime_ns,
            seconds_decode=0.01,
            seconds_encode=0.01,
        )
