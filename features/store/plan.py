"""The work that is left: which utterances of a manifest a feature still lacks, chunk by chunk."""

from __future__ import annotations

import os
import time
from collections.abc import Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path

import polars as pl

from features.digests import sha256_file
from features.errors import Reason
from features.manifest import Manifest
from features.spec import EncoderSpec
from features.store.commit import committed_names
from features.store.feature import Feature

KNOWN_BAD_POLICIES = ("mask", "use")

_STATS = 1000  # clips whose state is asked for at once
_SLOW_STAT_S = 50e-6
_STAT_THREADS = 16


@dataclass(frozen=True)
class Chunk:
    """One chunk's remaining work.

    start, stop: the manifest's rows that the chunk spans: whole dialogues
    positions:   those of them that are left
    supersedes:  some of these have a row already
    """

    number: int
    start: int
    stop: int
    positions: tuple[int, ...]
    supersedes: bool


@dataclass(frozen=True)
class Plan:
    """What is left of one feature.

    chunks:   remaining work, in the manifest's order
    digests:  today's source digest of every row of the manifest
    masked:   ids whose clip the dataset card calls known-bad, where those are masked
    done:     rows that hold; failed: those of them that are `failed` and are not tried again
    stale:    rows made from other input, which are redone; retried: `failed` rows that are tried again
    lacks_spec: shards are there, but spec.json is gone: opening a writer makes it again
    """

    spec: EncoderSpec
    chunks: list[Chunk]
    digests: list[str]
    masked: frozenset[str]
    done: int
    failed: int
    stale: int
    retried: int = field(default=0)
    lacks_spec: bool = False

    @property
    def left(self) -> int:
        return sum(len(chunk.positions) for chunk in self.chunks)

    def only(self, positions: Collection[int]) -> Plan:
        """The same, with no more work than these rows of the manifest."""
        chunks = [
            replace(chunk, positions=tuple(position for position in chunk.positions if position in positions))
            for chunk in self.chunks
        ]
        return replace(self, chunks=[chunk for chunk in chunks if chunk.positions])


def make_plan(
    manifest: Manifest,
    spec: EncoderSpec,
    root: Path,
    chunk_bounds: Sequence[tuple[int, int]],
    *,
    retry_failed: bool = False,
    rehash: bool = False,
    known_bad: str = "mask",
    limit: int | None = None,
    shard: tuple[int, int] | None = None,
) -> Plan:
    """The utterances without a row that holds today.

    A row holds if its source digest is today's and its clip is unchanged (size and mtime; where those differ, or with
    `rehash`, sha256 of the file), and it is `ok`, `missing`, or `failed` unless `retry_failed`. `limit` keeps the first
    utterances that are left; `shard` (I, N) keeps the chunks whose number is I-1 modulo N.
    """
    digests = manifest.source_digests(spec.depends)
    reads_media = spec.depends == "media"
    masked = frozenset(manifest.card.known_bad) if reads_media and known_bad == "mask" else frozenset()
    today = pl.DataFrame({"utterance_id": manifest.ids, "today": digests}).with_row_index("position")
    columns = ["status", "reason", "source_digest"]
    if reads_media:
        columns += ["media_size", "media_mtime_ns", "input_digest"]
    path = root / spec.folder
    has_spec = (path / "spec.json").is_file()
    lacks_spec = not has_spec and path.is_dir() and bool(committed_names(path))
    rows = Feature(root, spec.folder, spec if lacks_spec else None).ledger(columns) if has_spec or lacks_spec else None
    if rows is None or rows.is_empty():
        fresh = today.select("position", pl.lit("new").alias("state"))
    else:
        joined = today.join(rows, on="utterance_id", how="left", maintain_order="left")
        changed = pl.col("source_digest") != pl.col("today")
        if reads_media:
            is_masked = pl.col("utterance_id").is_in(list(masked))
            changed |= is_masked != (pl.col("reason") == str(Reason.KNOWN_BAD)).fill_null(False)
        state = (
            pl.when(pl.col("status").is_null())
            .then(pl.lit("new"))
            .when(changed)
            .then(pl.lit("stale"))
            .when((pl.col("status") == "failed") & retry_failed)
            .then(pl.lit("retried"))
            .when(pl.col("status") == "failed")
            .then(pl.lit("failed"))
            .otherwise(pl.lit("done"))
        )
        joined = joined.with_columns(state.alias("state"))
        fresh = (
            _mark_changed_media(joined, manifest, rehash, masked) if reads_media else joined.select("position", "state")
        )
    states = fresh["state"]
    wanted = states.is_in(["new", "stale", "retried"])
    superseding = states.is_in(["stale", "retried"]).to_list()
    work = fresh["position"].filter(wanted).to_numpy()
    counts = {state: int((states == state).sum()) for state in ("done", "failed", "stale", "retried")}
    chunks: list[Chunk] = []
    left = limit if limit is not None else len(work)
    first = 0
    for number, (start, stop) in enumerate(chunk_bounds):
        last = int(work.searchsorted(stop))
        positions = work[first:last].tolist()
        first = last
        if shard is not None and number % shard[1] != shard[0] - 1:
            continue
        positions = positions[:left]
        left -= len(positions)
        if positions:
            chunks.append(Chunk(number, start, stop, tuple(positions), any(superseding[row] for row in positions)))
    return Plan(
        spec,
        chunks,
        digests,
        masked,
        counts["done"] + counts["failed"],
        counts["failed"],
        counts["stale"],
        counts["retried"],
        lacks_spec,
    )


def _mark_changed_media(joined: pl.DataFrame, manifest: Manifest, rehash: bool, masked: frozenset[str]) -> pl.DataFrame:
    """`stale` for rows whose clip is another than the one that was read."""
    media = joined.with_columns(manifest.frame["media"])
    judged = media.filter(
        pl.col("state").is_in(["done", "failed"])
        & pl.col("media").is_not_null()
        & ~pl.col("utterance_id").is_in(list(masked))
    )
    if judged.is_empty():
        return joined.select("position", "state")
    found = _media_stats(manifest.media_path(""), judged["media"])
    same = pl.col("found_size").eq_missing(pl.col("media_size")) & pl.col("found_mtime_ns").eq_missing(
        pl.col("media_mtime_ns")
    )
    suspects = judged.hstack(found).filter(~same | (pl.col("found_size").is_not_null() & rehash))
    stale = []
    columns = suspects.select("position", "media", "found_size", "media_size", "input_digest")
    for position, name, found_size, size, digest in columns.iter_rows():
        is_other = found_size is None or found_size != size or digest is None
        if is_other or sha256_file(manifest.media_path(name)) != digest:
            stale.append(position)
    is_stale = pl.col("position").is_in(pl.Series(stale, dtype=joined["position"].dtype).implode())
    return joined.select("position", pl.when(is_stale).then(pl.lit("stale")).otherwise(pl.col("state")).alias("state"))


def _media_stats(root: Path, media: pl.Series) -> pl.DataFrame:
    """found_size and found_mtime_ns of each clip, null where there is no such file.

    A network file system answers slowly, but several questions at once; a local disk is asked faster by one thread.
    """
    folder = os.path.join(root, "")  # noqa: PTH118  # a Path a clip would take as long as its state

    def stats(block: pl.Series) -> list[tuple[int | None, int | None]]:
        return [media_stat(folder + name) for name in block]

    blocks = [media[start : start + _STATS] for start in range(0, len(media), _STATS)]
    started = time.perf_counter()
    rows = stats(blocks[0])
    is_slow = time.perf_counter() - started > _SLOW_STAT_S * len(blocks[0])
    with ThreadPoolExecutor(_STAT_THREADS if is_slow else 1) as pool:
        rows += [row for block in pool.map(stats, blocks[1:]) for row in block]
    schema = {"found_size": pl.Int64(), "found_mtime_ns": pl.Int64()}
    return pl.DataFrame(rows, schema=schema, orient="row")


def media_stat(path: Path | str) -> tuple[int | None, int | None]:
    """(size, mtime in ns) of a clip, or (None, None) where there is no such file."""
    try:
        status = os.stat(path)  # noqa: PTH116
    except (OSError, ValueError):  # ValueError: a name that no file system has
        return None, None
    return status.st_size, status.st_mtime_ns
