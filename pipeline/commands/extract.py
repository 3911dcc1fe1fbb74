"""`erc extract`: run frozen encoders once over a manifest and keep one embedding per utterance."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from features.encoders import DEFAULT_PRESET, ENCODERS, PRESETS, EncoderRequest, entry
from features.errors import UsageError
from features.spec import MODALITIES
from pipeline.options import json_option, manifest_option, media_root_option, store_option

if TYPE_CHECKING:
    from features.engines.chunk_work import Job

_EPILOG = """\b
Examples:
  erc extract --modality text --encoder sentence
  erc extract --modality audio --device cuda
  erc extract --modality all --preset embedded --store store
  erc extract --encoder logmel --set max_seconds=10 --as logmel-10s

Exit status: 0 done, 1 failed, 2 wrong usage, 3 finished but some utterances are `failed`.
"""


@click.command(epilog=_EPILOG)
@manifest_option
@store_option
@click.option("--modality", type=click.Choice([*MODALITIES, "all"]), help="Which modalities of the preset to extract.")
@click.option(
    "--encoder", "encoders", multiple=True, metavar="NAME", help="An encoder, instead of the preset's; repeatable."
)
@click.option(
    "--preset",
    type=click.Choice(sorted(PRESETS)),
    default=DEFAULT_PRESET,
    show_default=True,
    help="Named set of encoders.",
)
@click.option(
    "--device", default="auto", show_default=True, metavar="auto|cpu|cuda|cuda:N", help="Where encoders compute."
)
@click.option(
    "--dtype",
    type=click.Choice(["auto", "fp32", "bf16", "fp16"]),
    default="auto",
    show_default=True,
    help="Precision; auto continues what the store has, else bf16 where the hardware is made for it.",
)
@click.option(
    "--batch-size", type=click.IntRange(1), metavar="N", help="Inputs encoded at once.  [default: the encoder's]"
)
@click.option(
    "--workers", type=click.IntRange(0), metavar="N", help="Processes that decode clips.  [default: one a core]"
)
@click.option("--limit", type=click.IntRange(1), metavar="N", help="Only the first N utterances that are left.")
@click.option(
    "--shard", metavar="I/N", help="Only the I-th of N slices of the work, for several machines on one store."
)
@click.option("--retry-failed", is_flag=True, help="Try utterances again that failed before.")
@click.option(
    "--rehash", is_flag=True, help="Read every clip again to see whether it changed, not only size and mtime."
)
@click.option(
    "--known-bad",
    type=click.Choice(["mask", "use"]),
    default="mask",
    show_default=True,
    help="Clips that the dataset card calls wrong: record them as missing, or use them.",
)
@click.option("--model", metavar="HUB_ID_OR_PATH", help="Weights, instead of the encoder's own choice.")
@click.option(
    "--weights",
    type=click.Choice(["pretrained", "random"]),
    default="pretrained",
    show_default=True,
    help="random: seeded, for tests and benchmarks; every report says so.",
)
@click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help="A setting of the encoder; repeatable.")
@click.option("--as", "alias", metavar="ALIAS", help="Name of the feature's folder, to tell two settings apart.")
@media_root_option
@click.option("--dry-run", is_flag=True, help="Show what is left to do, and do nothing.")
@click.option("--list", "list_encoders", is_flag=True, help="List the encoders with their settings, and do nothing.")
@json_option
@click.pass_context
def command(
    context: click.Context,
    manifest: Path,
    store: Path,
    modality: str | None,
    encoders: tuple[str, ...],
    preset: str,
    device: str,
    dtype: str,
    batch_size: int | None,
    workers: int | None,
    limit: int | None,
    shard: str | None,
    retry_failed: bool,
    rehash: bool,
    known_bad: str,
    model: str | None,
    weights: str,
    settings: tuple[str, ...],
    alias: str | None,
    media_root: Path | None,
    dry_run: bool,
    list_encoders: bool,
    as_json: bool,
) -> None:
    """Run frozen encoders once and keep one embedding per utterance.

    What is done stays done: run the same command again to resume, or after the manifest has grown or changed. Clips are
    decoded once for all the encoders asked for.
    """
    if list_encoders:
        _list_encoders()
        return
    names = choose_encoders(modality, encoders, preset)
    if len(names) > 1 and (model or alias or settings):
        raise UsageError(
            f"--model, --as and --set are for one encoder, not for {', '.join(names)}: name it with --encoder"
        )
    request_settings = _parse_settings(settings)
    for name in names:
        _check_settings(name, request_settings)
    slice_of_work = _parse_shard(shard)

    from features.encoders.devices import resolve_device
    from features.extract import PlanOptions
    from features.manifest import read_manifest

    table = read_manifest(manifest, media_root)
    requests = [
        EncoderRequest(
            encoder=name,
            settings=request_settings,
            model=model,
            weights="random" if weights == "random" else "pretrained",
            alias=alias,
            device=resolve_device(device),
            batch_size=batch_size,
        )
        for name in names
    ]
    options = PlanOptions(retry_failed, rehash, known_bad, limit, slice_of_work)
    status = extract(table, store, requests, dtype, options, workers=workers, dry_run=dry_run, as_json=as_json)
    context.exit(status)


def choose_encoders(modality: str | None, encoders: tuple[str, ...], preset: str) -> list[str]:
    """The encoders that the flags mean. Raises UsageError where they contradict each other."""
    if encoders:
        for name in encoders:
            line = entry(name)
            if modality not in (None, "all", line.modality):
                raise UsageError(f"encoder {name!r} is for {line.modality}, not for --modality {modality}")
        return list(dict.fromkeys(encoders))
    if modality is None:
        raise UsageError("nothing to extract: give --modality text|audio|visual|all, or --encoder NAME")
    chosen = [name for name in PRESETS[preset] if modality in ("all", entry(name).modality)]
    if not chosen:
        raise UsageError(f"preset {preset!r} has no {modality} encoder: give --encoder NAME")
    return chosen


def extract(
    manifest: Any,
    store: Path,
    requests: list[EncoderRequest],
    dtype: str,
    options: Any,
    *,
    workers: int | None = None,
    dry_run: bool = False,
    as_json: bool = False,
) -> int:
    """Plan, run, and say what was done. Returns the exit status: 0, or 3 where selected utterances are `failed`."""
    import time

    from features.extract import build_encoders, plan_extraction, run_extraction
    from pipeline.progress import progress_bar

    built = build_encoders(requests, store, dtype)
    jobs = plan_extraction(manifest, store, built, options)
    if not as_json:
        for job in jobs:
            click.echo(_plan_line(job, len(manifest), store))
    if not dry_run:
        total = sum(job.plan.left for job in jobs)
        started = time.perf_counter()
        with progress_bar(total, "utt" if len(jobs) == 1 else "emb", "extract") as bar:
            try:
                run_extraction(manifest, store, jobs, workers=workers, shard=options.shard, advance=bar.update)
            except KeyboardInterrupt:
                bar.close()
                click.echo("stopped: committed shards are kept; run the same command again to resume", err=True)
                raise
        seconds = time.perf_counter() - started
        if not as_json:
            for job in jobs:
                click.echo(_done_line(job))
            if total:
                click.echo(f"{total} embeddings in {seconds:.1f} s ({total / max(seconds, 1e-9):.1f} a second)")
    failed = (
        [failures for job in jobs if (failures := _failures(job, manifest.ids, store))["count"]] if not dry_run else []
    )
    if as_json:
        click.echo(
            json.dumps(
                {"dry_run": dry_run, "features": [_summary(job, len(manifest)) for job in jobs], "failed": failed}
            )
        )
    elif failed:
        for failures in failed:
            click.echo(f"{failures['count']} utterances failed: {failures['ledger']} (after mending: --retry-failed)")
    return 3 if failed else 0


def _plan_line(job: Job, num_utterances: int, store: Path) -> str:
    plan = job.plan
    parts = [f"{plan.left} of {num_utterances} utterances left, in {len(plan.chunks)} chunks"]
    if plan.stale:
        parts.append(f"{plan.stale} changed since they were encoded")
    if plan.failed:
        parts.append(f"{plan.failed} failed before")
    weights = ", RANDOM WEIGHTS" if plan.spec.weights == "random" else ""
    return f"{store / plan.spec.folder} ({plan.spec.compute_dtype}{weights}): {'; '.join(parts)}"


def _done_line(job: Job) -> str:
    counts = ", ".join(
        f"{number} {'ok' if reason is None else reason}"
        for reason, number in sorted(job.reasons.items(), key=_ok_first)
    )
    cut = f", {job.cut} cut to the encoder's limit" if job.cut else ""
    times = f"decode {job.seconds_decode:.1f} s, encode {job.seconds_encode:.1f} s, write {job.seconds_write:.1f} s"
    return f"{job.plan.spec.folder}: {counts or 'nothing to do'}{cut} ({times})"


def _ok_first(item: tuple[Any, int]) -> tuple[bool, str]:
    return (item[0] is not None, str(item[0]))


def _summary(job: Job, num_utterances: int) -> dict[str, Any]:
    return {
        "feature": job.plan.spec.folder,
        "fingerprint": job.plan.spec.fingerprint,
        "weights": job.plan.spec.weights,
        "utterances": num_utterances,
        "left_before": job.plan.left,
        "outcomes": {"ok" if reason is None else str(reason): number for reason, number in job.reasons.items()},
        "cut": job.cut,
        "shards": job.shards,
        "seconds": {"decode": job.seconds_decode, "encode": job.seconds_encode, "write": job.seconds_write},
    }


def _failures(job: Job, ids: list[str], store: Path) -> dict[str, Any]:
    """How many of these utterances are `failed` in the store, and the first ledger that says so."""
    import polars as pl

    from features.store import Feature
    from features.store.commit import ShardName

    if not job.plan.failed and not any(reason for reason in job.reasons):
        return {"count": 0}
    ledger = Feature(store, job.plan.spec.folder).ledger(["status"])
    failed = ledger.filter((pl.col("status") == "failed") & pl.col("utterance_id").is_in(ids))
    if failed.is_empty():
        return {"count": 0}
    name = ShardName(failed["generation"][0], failed["chunk"][0])
    return {"count": failed.height, "ledger": str(store / job.plan.spec.folder / f"{name.stem}.parquet")}


def _parse_settings(pairs: tuple[str, ...]) -> dict[str, Any]:
    settings = {}
    for pair in pairs:
        key, separator, value = pair.partition("=")
        if not separator or not key:
            raise UsageError(f"--set {pair!r} is not KEY=VALUE")
        settings[key] = value
    return settings


def _check_settings(name: str, settings: dict[str, Any]) -> None:
    from features.encoders import resolve_settings

    resolve_settings(name, settings)


def _parse_shard(text: str | None) -> tuple[int, int] | None:
    if text is None:
        return None
    index, _, count = text.partition("/")
    if not (index.isdigit() and count.isdigit()) or not 1 <= int(index) <= int(count):
        raise UsageError(f"--shard {text!r} is not I/N with I from 1 to N: for three machines, 1/3, 2/3 and 3/3")
    return int(index), int(count)


def _list_encoders() -> None:
    for name, line in ENCODERS.items():
        click.echo(f"{name:<14} {line.modality:<7} {line.summary}")
        for key, (default, text) in line.options.items():
            click.echo(f"{'':<14} --set {key}={default}  {text}")
