"""Extraction: plan -> run -> commit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from features.encoders import Encoder, EncoderRequest, create, entry, source_request
from features.engines.chunk_work import Job
from features.engines.local import run_local
from features.errors import UsageError
from features.manifest import Manifest
from features.spec import DTYPES
from features.store.chunks import chunk_size, cut_chunks
from features.store.plan import make_plan


@dataclass(frozen=True)
class PlanOptions:
    """Which of the work that is left is done: see `features.store.plan.make_plan`."""

    retry_failed: bool = False
    rehash: bool = False
    known_bad: str = "mask"
    limit: int | None = None
    shard: tuple[int, int] | None = None


def build_encoders(requests: Sequence[EncoderRequest], store: Path, dtype: str) -> list[Encoder]:
    """Build the encoders of some requests, and before each one that derives from another, that other."""
    built: dict[str, Encoder] = {}
    for request in requests:
        source = source_request(request)
        if source is not None:
            detector = build_encoder(source, store, dtype)
            detector = built.setdefault(detector.spec.folder, detector)
            request = replace(request, source=detector.spec)
        encoder = build_encoder(request, store, dtype)
        built.setdefault(encoder.spec.folder, encoder)
    return list(built.values())


def build_encoder(request: EncoderRequest, store: Path, dtype: str) -> Encoder:
    """Build an encoder that computes in `dtype`, or for `auto` in the dtype that the store was begun with.

    `auto` continues the one folder that differs in compute dtype alone, if there is one; else it takes what the
    hardware is made for.
    """
    from features.encoders.devices import resolve_dtype

    if not entry(request.encoder).device:
        return create(request)
    encoder = create(replace(request, dtype=resolve_dtype(dtype, request.device)))
    if dtype != "auto":
        return encoder
    begun = [
        other for other in DTYPES if (store / replace(encoder.spec, compute_dtype=other).folder / "spec.json").is_file()
    ]
    if len(begun) == 1 and begun[0] != encoder.spec.compute_dtype:
        return create(replace(request, dtype=begun[0]))
    return encoder


def plan_extraction(manifest: Manifest, store: Path, encoders: Sequence[Encoder], options: PlanOptions) -> list[Job]:
    """What is left for each encoder. Touches no media beyond size and mtime, and writes nothing."""
    folders = [encoder.spec.folder for encoder in encoders]
    for folder in folders:
        if folders.count(folder) > 1:
            raise UsageError(f"{folder} is asked for twice: name each encoder once")
    waveform = any(encoder.spec.encoder == "waveform" for encoder in encoders)
    bounds = cut_chunks(manifest.dialogue_bounds(), chunk_size(len(manifest), waveform))
    return [
        Job(
            encoder,
            make_plan(
                manifest,
                encoder.spec,
                store,
                bounds,
                retry_failed=options.retry_failed,
                rehash=options.rehash,
                known_bad=options.known_bad,
                limit=options.limit,
                shard=options.shard,
            ),
        )
        for encoder in encoders
    ]


def run_extraction(
    manifest: Manifest,
    store: Path,
    jobs: Sequence[Job],
    *,
    workers: int | None = None,
    shard: tuple[int, int] | None = None,
    advance: Callable[[int], object] = lambda count: None,
) -> None:
    """Do the work of a plan on this machine; `jobs` are updated as it goes on."""
    run_local(manifest, store, jobs, workers=workers, shard=shard, advance=advance)
