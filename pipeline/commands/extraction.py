"""Extraction as the command line shows it: what is left, a bar while it runs, what came of it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import click
import polars as pl

from features.encoders.protocol import EncoderRequest
from features.encoders.table import entry
from features.engines.activity import Activity
from features.engines.decode_pool import DecodeOptions
from features.engines.job import Job
from features.errors import Reason, WeightsError
from features.extract import Engine, LocalEngine, begin_extraction, plan_extraction
from features.manifest import Manifest
from features.store import Feature, Store
from features.store.commit import ShardName
from features.store.plan import PlanOptions
from features.store.unknown_tokens import are_many
from pipeline.commands.limits import activity_summary, limit_line
from pipeline.terminal.progress import progress_bar

_HASHING_UNSHOWN_S = 1.0


def extract(
    manifest: Manifest,
    store: Path,
    requests: list[EncoderRequest],
    dtype: str,
    options: PlanOptions,
    *,
    engine: Engine | None = None,
    decoding: DecodeOptions | None = None,
    dry_run: bool = False,
    as_json: bool = False,
) -> int:
    """Plan, run, and say what was done. Returns the exit status: 0, or 3 where selected utterances are `failed`."""
    engine = engine or LocalEngine()
    device = requests[0].device.partition(":")[0]
    built, implied = engine.build(requests, store, dtype)
    with ExitStack() as stack:
        if dry_run:
            jobs = plan_extraction(manifest, store, built, options, implied, _show_hashing)
        else:
            jobs = stack.enter_context(begin_extraction(manifest, store, built, options, implied, _show_hashing))
        return _run(manifest, store, jobs, engine, decoding or DecodeOptions(), device, dry_run, as_json)


@contextmanager
def _show_hashing(num_bytes: int) -> Iterator[Callable[[int], object]]:
    """A bar over clips that are read before the work begins, where that takes long."""
    with progress_bar(num_bytes, "B", "compare clips", scaled=True, after_s=_HASHING_UNSHOWN_S) as bar:
        yield bar.update


def _run(
    manifest: Manifest,
    store: Path,
    jobs: list[Job],
    engine: Engine,
    decoding: DecodeOptions,
    device: str,
    dry_run: bool,
    as_json: bool,
) -> int:
    """Do what is planned. Returns the exit status."""
    if not as_json:
        for job in jobs:
            click.echo(_plan_line(job, len(manifest), store))
    activities: list[Activity] = []
    if not dry_run:
        total = sum(job.plan.left for job in jobs)
        started = time.perf_counter()
        with progress_bar(total, "utt" if len(jobs) == 1 else "embedding", "extract") as bar:
            try:
                activities = engine.run(
                    manifest,
                    store,
                    jobs,
                    decoding=decoding,
                    advance=bar.update,
                )
            except KeyboardInterrupt as stopped:
                stopped.add_note("committed shards are kept; run the same command again to resume")
                raise
        seconds = time.perf_counter() - started
        if not as_json:
            for job in jobs:
                click.echo(_done_line(job))
            if line := _total_line(jobs, seconds):
                click.echo(line)
            for job in jobs:
                if are_many(job.tokens, job.unknown):
                    click.echo(_unread_line(job))
            for activity in activities:
                click.echo(limit_line(activity, device, engine.cores))
    failed = [failures for job in jobs if (failures := _failures(job, manifest, store))["count"]] if not dry_run else []
    if as_json:
        click.echo(
            json.dumps(
                {
                    "dry_run": dry_run,
                    "features": [_summary(job, len(manifest)) for job in jobs],
                    "activity": [activity_summary(activity) for activity in activities],
                    "failed": failed,
                }
            )
        )
    elif failed:
        for failures in failed:
            click.echo(f"{failures['count']} utterances failed: {failures['ledger']} (after mending: --retry-failed)")
        if any(Reason.OUTSIDE_ROOT in job.reasons for job in jobs):
            click.echo(f"{Reason.OUTSIDE_ROOT}: symbolic links lead to these clips: --follow-symlinks --retry-failed")
    return 3 if failed else 0


def without_weights_line(encoder: str, error: WeightsError, manifest: Manifest, store: Path) -> str:
    """What a dry run can say of an encoder whose weights are not here: they are a part of the fingerprint."""
    modality = entry(encoder).modality
    column = "text" if modality == "text" else "media"
    has = manifest.frame[column].is_not_null().sum()
    there = []
    if store.is_dir():
        found = [item for item in Store(store, manifest).features() if item.spec.encoder == encoder]
        there = [f"{item.folder} with {item.coverage(manifest.ids)['ok']} of them" for item in found]
    told = f"the store has {', '.join(there)}" if there else "the store has no feature of it"
    what = "text" if column == "text" else "clip"
    return (
        f"{encoder}: {has} of {len(manifest)} utterances have a {what}; {told}. What is left is not known without its"
        f" weights: {error}"
    )


def _plan_line(job: Job, num_utterances: int, store: Path) -> str:
    plan = job.plan
    parts = [f"{plan.left} of {num_utterances} utterances left, in {len(plan.chunks)} chunks"]
    if plan.stale:
        parts.append(f"{plan.stale} changed since they were encoded")
    if plan.failed:
        parts.append(f"{plan.failed} failed before")
    if plan.found:
        parts.append(f"{len(plan.found)} found again among older rows")
    for number, what in ((plan.gone, "gone"), (plan.unread, "unreadable")):
        if number:
            parts.append(
                f"{number} clips are {what}, their rows stay" if number > 1 else f"1 clip is {what}, its row stays"
            )
    weights = ", RANDOM WEIGHTS" if plan.spec.weights == "random" else ""
    return f"{store / plan.spec.folder} ({plan.spec.compute_dtype}{weights}): {'; '.join(parts)}"


def _done_line(job: Job) -> str:
    counts = ", ".join(
        f"{number} {'ok' if reason is None else reason}"
        for reason, number in sorted(job.reasons.items(), key=_ok_first)
    )
    cut = f", {job.cut} cut to the encoder's limit" if job.cut else ""
    if job.outside:
        cut += f", {job.outside} whose start and end lie partly outside their clip (outside_ms in the ledger)"
    cut += f", {job.unknown} of {job.tokens} tokens unknown" if job.unknown else ""
    if job.batch_size < job.encoder.batch_size:
        cut += f", batches lowered from {job.encoder.batch_size} to {job.batch_size} where memory ran out"
    first = ("decode", job.seconds_decode) if job.encoder.reads == "clip" else ("prepare", job.seconds_prepare)
    stages = (first, ("encode", job.seconds_encode), ("write", job.seconds_write))
    times = ", ".join(f"{stage} {seconds:.1f} s" for stage, seconds in stages)
    return f"{job.plan.spec.folder}: {counts or 'nothing to do'}{cut} ({times})"


def _unread_line(job: Job) -> str:
    share = 100 * job.unknown / job.tokens
    return (
        f"warning: {job.plan.spec.folder} can hardly read these texts, {share:.0f} % of their tokens are unknown to it:"
        " give --model one for their language"
    )


def _total_line(jobs: list[Job], seconds: float) -> str | None:
    """How many utterances were done, and how many embeddings came of it; None where nothing was left to do."""
    rows = sum(sum(job.reasons.values()) for job in jobs)
    if not rows:
        return None
    made = sum(job.reasons.get(None, 0) for job in jobs)
    rate = rows / max(seconds, 1e-9)
    if len(jobs) == 1:
        without = f", {rows - made} without one" if rows > made else ""
        pace = f"{rate:.1f} utterances a second"
        return f"{rows} utterances done, {made} embeddings{without}, in {seconds:.1f} s ({pace})"
    lacking = f"; for {rows - made} more there was no input" if rows > made else ""
    return f"{made} embeddings in {len(jobs)} features{lacking}, in {seconds:.1f} s ({rate:.1f} a second)"


def _ok_first(item: tuple[Any, int]) -> tuple[bool, str]:
    return (item[0] is not None, str(item[0]))


def _summary(job: Job, num_utterances: int) -> dict[str, Any]:
    return {
        "feature": job.plan.spec.folder,
        "fingerprint": job.plan.spec.fingerprint,
        "weights": job.plan.spec.weights,
        "utterances": num_utterances,
        "left_before": job.plan.left,
        "found_again": len(job.plan.found),
        "clips_gone": job.plan.gone,
        "clips_unread": job.plan.unread,
        "outcomes": {"ok" if reason is None else str(reason): number for reason, number in job.reasons.items()},
        "cut": job.cut,
        "outside": job.outside,
        "tokens": job.tokens,
        "unknown_tokens": job.unknown,
        "shards": job.shards,
        "seconds": {
            "prepare": job.seconds_prepare,
            "decode": job.seconds_decode,
            "encode": job.seconds_encode,
            "write": job.seconds_write,
        },
    }


def _failures(job: Job, manifest: Manifest, store: Path) -> dict[str, Any]:
    """How many of these utterances are `failed` in the store, and the first ledger that says so."""
    if not job.plan.failed and not any(reason for reason in job.reasons):
        return {"count": 0}
    ledger = Feature(store, job.plan.spec.folder).fitting(manifest).ledger(["status"])
    failed = ledger.filter((pl.col("status") == "failed") & pl.col("utterance_id").is_in(manifest.ids))
    if failed.is_empty():
        return {"count": 0}
    name = ShardName(failed["generation"][0], failed["chunk"][0])
    return {"count": failed.height, "ledger": str(store / job.plan.spec.folder / f"{name.stem}.parquet")}
