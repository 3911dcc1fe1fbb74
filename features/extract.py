"""Extraction: lock, plan, run, commit."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from features.encoders.for_store import build_encoders
from features.encoders.protocol import Encoder, EncoderRequest, top_of
from features.engines.activity import Activity
from features.engines.decode_pool import DecodeOptions
from features.engines.job import Job
from features.engines.local import run_local
from features.errors import UsageError
from features.hardware import cores
from features.manifest import Manifest
from features.media.root import check_media_root
from features.store.media_digests import MediaDigests, ShowBytes, show_nothing
from features.store.plan import PlanOptions, make_plan, manifest_chunks
from features.store.write import open_planned


def plan_extraction(
    manifest: Manifest,
    store: Path,
    encoders: Sequence[Encoder],
    options: PlanOptions,
    implied: Collection[str] = (),
    show_hashing: ShowBytes = show_nothing,
) -> list[Job]:
    """What is left for each encoder, to look at. Reads clips only where size and mtime do not tell whether they are the
    same, and writes nothing but what it learnt of those (`MediaDigests`).

    implied: folders of encoders that only serve those which derive from them, and do no more than these need
    show_hashing: called where clips are read
    Raises ManifestError where the clips' folder is not there, or most clips that have embeddings are gone.
    """
    asked = _with_bounds(manifest, encoders, options, implied)
    hashes = MediaDigests(store, show_hashing)
    jobs = [
        Job(encoder, make_plan(manifest, encoder.spec, store, bounds, own, hashes)) for encoder, bounds, own in asked
    ]
    return _no_more_than_needed(jobs, implied)


@contextmanager
def begin_extraction(
    manifest: Manifest,
    store: Path,
    encoders: Sequence[Encoder],
    options: PlanOptions,
    implied: Collection[str] = (),
    show_hashing: ShowBytes = show_nothing,
) -> Iterator[list[Job]]:
    """`plan_extraction` under the locks of all the features, which are held until the work is done: each job has its
    writer.

    Raises StoreBusyError where another run holds one of them.
    """
    with ExitStack() as stack:
        jobs = []
        hashes = MediaDigests(store, show_hashing)
        for encoder, bounds, own in _with_bounds(manifest, encoders, options, implied):
            opened = open_planned(store, encoder.spec, manifest, bounds, own, hashes, top_of(encoder))
            writer, plan = stack.enter_context(opened)
            jobs.append(Job(encoder, plan, writer))
        yield _no_more_than_needed(jobs, implied)


def _with_bounds(
    manifest: Manifest, encoders: Sequence[Encoder], options: PlanOptions, implied: Collection[str]
) -> list[tuple[Encoder, list[tuple[int, int]], PlanOptions]]:
    """Each encoder with the bounds of its chunks, which are those of all that read clips, and its own options.

    Raises UsageError for one that is asked for twice, ManifestError where the clips' folder is not there.
    """
    folders = [encoder.spec.folder for encoder in encoders]
    for folder in folders:
        if folders.count(folder) > 1:
            raise UsageError(f"{folder} is asked for twice: name each encoder once")
    if any(encoder.spec.depends == "media" for encoder in encoders):
        check_media_root(manifest, may_be_empty=options.clips_gone)
    waveform = any(encoder.spec.encoder == "waveform" for encoder in encoders)
    bounds = {
        whole: manifest_chunks(manifest, whole, waveform)
        for whole in {encoder.reads == "dialogue" for encoder in encoders}
    }
    unlimited = replace(options, limit=None)
    return [
        (encoder, bounds[encoder.reads == "dialogue"], unlimited if encoder.spec.folder in implied else options)
        for encoder in encoders
    ]


def _no_more_than_needed(jobs: list[Job], implied: Collection[str]) -> list[Job]:
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
        """`cpu`, `cuda`, `cuda:N` or `mps` for what --device says. computes: some encoder computes with torch"""
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
        advance: Callable[[int], object] = ...,
    ) -> list[Activity]:
        """Do the work that `begin_extraction` found for what `build` gave; `jobs` are updated as it goes on."""
        ...


class LocalEngine:
    """This process, with worker processes that decode."""

    @property
    def cores(self) -> int:
        return cores()

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
        advance: Callable[[int], object] = lambda count: None,
    ) -> list[Activity]:
        return run_local(manifest, root, jobs, decoding=decoding, advance=advance)


def extract_features(
    manifest: Manifest,
    store: Path,
    encoders: Sequence[Encoder],
    options: PlanOptions | None = None,
    *,
    implied: Collection[str] = (),
    decoding: DecodeOptions | None = None,
    advance: Callable[[int], object] = lambda count: None,
) -> list[Job]:
    """Plan and do the work on this machine; what came of it is in the jobs."""
    with begin_extraction(manifest, store, encoders, options or PlanOptions(), implied) as jobs:
        run_local(manifest, store, jobs, decoding=decoding or DecodeOptions(), advance=advance)
    return jobs
