"""Extraction: plan -> run -> commit."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from features.encoders.build import create, source_request
from features.encoders.protocol import Encoder, EncoderRequest
from features.encoders.table import entry
from features.engines.activity import Activity
from features.engines.decode_pool import DecodeOptions
from features.engines.job import Job
from features.engines.local import run_local
from features.errors import UsageError
from features.manifest import Manifest
from features.spec import DTYPES
from features.store import Feature
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


def build_encoders(requests: Sequence[EncoderRequest], store: Path, dtype: str) -> tuple[list[Encoder], frozenset[str]]:
    """Build the encoders of some requests, and before each one that derives from another, that other.

    Returns them all, and the folders of those that were not asked for by name.
    """
    built, implied = build_all(requests, store, dtype)
    return [encoder for encoder, _ in built], implied


def build_all(
    requests: Sequence[EncoderRequest], store: Path, dtype: str, preferred: str | None = None
) -> tuple[list[tuple[Encoder, EncoderRequest]], frozenset[str]]:
    """`build_encoders`, with each encoder the request that builds the same one elsewhere.

    preferred: what `auto` takes for a new folder, where encoders will compute on another machine
    """
    built: dict[str, tuple[Encoder, EncoderRequest]] = {}
    asked: set[str] = set()

    def add(request: EncoderRequest, is_source: bool) -> Encoder:
        encoder = build_encoder(request, store, dtype, preferred)
        request = replace(request, dtype=encoder.spec.compute_dtype)
        if is_source:
            take_stored_name(encoder, store)
        return built.setdefault(encoder.spec.folder, (encoder, request))[0]

    for request in requests:
        source = source_request(request)
        if source is not None:
            request = replace(request, source=add(source, is_source=True).spec)
        asked.add(add(request, is_source=False).spec.folder)
    return list(built.values()), frozenset(built) - asked


def take_stored_name(encoder: Encoder, store: Path) -> None:
    """Let an encoder continue the folder of its own feature where that has another name: an alias is not hashed."""
    spec = encoder.spec
    if (store / spec.folder).is_dir():
        return
    for path in sorted((store / spec.modality).glob(f"*-{spec.fingerprint[:8]}/spec.json")):
        feature = Feature(store, f"{spec.modality}/{path.parent.name}")
        if feature.fingerprint == spec.fingerprint:
            encoder.spec = feature.spec


def build_encoder(request: EncoderRequest, store: Path, dtype: str, preferred: str | None = None) -> Encoder:
    """Build an encoder that computes in `dtype`, or for `auto` in the dtype that the store was begun with.

    `auto` continues the one folder that differs in compute dtype alone, if there is one; else it takes `preferred`, or
    what the hardware is made for.
    """
    from features.encoders.devices import resolve_dtype

    if not entry(request.encoder).device:
        return create(request)
    encoder = create(replace(request, dtype=preferred or resolve_dtype(dtype, request.device)))
    if dtype != "auto":
        return encoder
    begun = [
        other for other in DTYPES if (store / replace(encoder.spec, compute_dtype=other).folder / "spec.json").is_file()
    ]
    if len(begun) == 1 and begun[0] != encoder.spec.compute_dtype:
        del encoder  # two large models may not fit the device at once
        return create(replace(request, dtype=begun[0]))
    return encoder


def plan_extraction(
    manifest: Manifest,
    store: Path,
    encoders: Sequence[Encoder],
    options: PlanOptions,
    implied: Collection[str] = (),
) -> list[Job]:
    """What is left for each encoder. Touches no media beyond size and mtime, and writes nothing.

    implied: folders of encoders that only serve those which derive from them, and do no more than these need
    """
    folders = [encoder.spec.folder for encoder in encoders]
    for folder in folders:
        if folders.count(folder) > 1:
            raise UsageError(f"{folder} is asked for twice: name each encoder once")
    waveform = any(encoder.spec.encoder == "waveform" for encoder in encoders)
    bounds = cut_chunks(manifest.dialogue_bounds(), chunk_size(len(manifest), waveform))
    jobs = [
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
                limit=None if encoder.spec.folder in implied else options.limit,
                shard=options.shard,
            ),
        )
        for encoder in encoders
    ]
    for job in jobs:
        if job.key in implied:
            derived = [other.plan for other in jobs if other.plan.spec.derives_from == job.plan.spec.fingerprint]
            job.plan = job.plan.only({row for plan in derived for chunk in plan.chunks for row in chunk.positions})
    return jobs


class Engine(Protocol):
    """Where encoders compute, and who does the work of a plan: `LocalEngine`, or `features.engines.ray.RayEngine`."""

    @property
    def cores(self) -> int:
        """All that it may use, of every machine."""
        ...

    def resolve_device(self, device: str, computes: bool) -> str:
        """`cpu`, `cuda` or `cuda:N` for what --device says. computes: some encoder computes with torch"""
        ...

    def build(
        self, requests: Sequence[EncoderRequest], store: Path, dtype: str
    ) -> tuple[list[Encoder], frozenset[str]]:
        """See `build_encoders`."""
        ...

    def run(
        self,
        manifest: Manifest,
        root: Path,
        jobs: Sequence[Job],
        *,
        decoding: DecodeOptions,
        shard: tuple[int, int] | None = None,
        advance: Callable[[int], object] = ...,
    ) -> list[Activity]:
        """Do the work of a plan of what `build` gave; `jobs` are updated as it goes on."""
        ...


class LocalEngine:
    """This process, with worker processes that decode."""

    @property
    def cores(self) -> int:
        return len(os.sched_getaffinity(0))

    def resolve_device(self, device: str, computes: bool) -> str:
        """See `Engine`. To look for a GPU takes loading torch, a second: not where nothing computes with it."""
        from features.encoders.devices import resolve_device

        return resolve_device(device) if computes or device != "auto" else "cpu"

    def build(
        self, requests: Sequence[EncoderRequest], store: Path, dtype: str
    ) -> tuple[list[Encoder], frozenset[str]]:
        return build_encoders(requests, store, dtype)

    def run(
        self,
        manifest: Manifest,
        root: Path,
        jobs: Sequence[Job],
        *,
        decoding: DecodeOptions,
        shard: tuple[int, int] | None = None,
        advance: Callable[[int], object] = lambda count: None,
    ) -> list[Activity]:
        return run_local(manifest, root, jobs, decoding=decoding, shard=shard, advance=advance)


def run_extraction(
    manifest: Manifest,
    store: Path,
    jobs: Sequence[Job],
    *,
    decoding: DecodeOptions | None = None,
    shard: tuple[int, int] | None = None,
    advance: Callable[[int], object] = lambda count: None,
) -> list[Activity]:
    """Do the work of a plan on this machine; `jobs` are updated as it goes on. Returns how busy each stage was."""
    return LocalEngine().run(manifest, store, jobs, decoding=decoding or DecodeOptions(), shard=shard, advance=advance)
