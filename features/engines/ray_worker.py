"""What runs in an actor of Ray: encoders that are built once, and chunks that the local engine's code does with them.

The driver holds the writers' locks and plans; an actor gets one chunk at a time, with the rows of the manifest that it
spans and no more, and commits its shards to the shared store.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path

from features.encoders.build import create
from features.encoders.memory_batches import MemoryBatches
from features.encoders.protocol import Encoder, EncoderRequest
from features.encoders.table import entry
from features.engines.activity import Activity
from features.engines.decode_pool import DecodeOptions, DecodePool
from features.engines.job import Job
from features.engines.local import clip_readers, run_local
from features.errors import EngineError, ErcError, Reason
from features.manifest import Manifest
from features.spec import EncoderSpec
from features.store.plan import Chunk, Plan
from features.store.write import FeatureWriter, library_versions


@dataclass(frozen=True)
class Setup:
    """What an actor needs once.

    requests, specs: how each encoder is built, and what the driver's is; in the jobs' order
    begun:    folders whose spec.json the driver has written
    clip:     one that the driver sees, or None where no job reads clips
    versions: the driver's libraries
    threads:  what torch and BLAS compute with: the driver's number, since the bits depend on it
    """

    root: Path
    requests: tuple[EncoderRequest, ...]
    specs: tuple[EncoderSpec, ...]
    begun: frozenset[str]
    clip: Path | None
    versions: dict[str, str]
    threads: int
    decoding: DecodeOptions


@dataclass(frozen=True)
class ChunkTask:
    """One chunk's work: its rows of the manifest, and per encoder a plan of this one chunk at most."""

    manifest: Manifest
    plans: tuple[Plan, ...]


@dataclass(frozen=True)
class JobDone:
    """What a chunk adds to one of the driver's jobs."""

    reasons: dict[Reason | None, int]
    cut: int = 0
    shards: int = 0
    seconds: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 0.0)  # prepare, decode, encode, write
    lowered_to: int | None = None  # the batch size, where memory ran out
    outside: int = 0


@dataclass(frozen=True)
class ChunkDone:
    jobs: tuple[JobDone, ...]
    activities: tuple[Activity, ...]


@dataclass(frozen=True)
class Trouble:
    """An error that a user can cause, in one line that names the host. It ends the run."""

    message: str


def cut_task(manifest: Manifest, plans: Sequence[Plan], number: int) -> ChunkTask | None:
    """The task of one chunk; None where no plan has work in it. Its rows are counted from the chunk's first."""
    found = [next((chunk for chunk in plan.chunks if chunk.number == number), None) for plan in plans]
    spans = [(chunk.start, chunk.stop) for chunk in found if chunk is not None]
    if not spans:
        return None
    start, stop = min(first for first, _ in spans), max(last for _, last in spans)
    root = manifest.media_root
    rows = Manifest(manifest.frame[start:stop], manifest.card, root.absolute() if root else None, manifest.path)
    ids = set(rows.ids)
    moved = [
        replace(
            plan,
            chunks=[_moved(chunk, start)] if chunk is not None else [],
            digests=plan.digests[start:stop],
            masked=plan.masked & ids,
        )
        for plan, chunk in zip(plans, found, strict=True)
    ]
    return ChunkTask(rows, tuple(moved))


def _moved(chunk: Chunk, start: int) -> Chunk:
    positions = tuple(position - start for position in chunk.positions)
    return replace(chunk, start=chunk.start - start, stop=chunk.stop - start, positions=positions)


class ChunkWorker:
    """The actor. `set_up` comes first; `run` does a chunk; `close` ends the decoding processes.

    An ErcError comes back as a Trouble, since Ray would wrap it in a traceback; any other error is Ray's to pass on.
    """

    def __init__(self) -> None:
        self._encoders: list[Encoder] = []
        self._batches: list[MemoryBatches] = []  # kept over the chunks: what has no room once is not tried again
        self._pool: DecodePool | None = None

    def set_up(self, setup: Setup) -> Trouble | None:
        """Build the encoders; a Trouble where this host does not see what the driver sees, or builds others."""
        self._setup = setup
        try:
            pin_threads(setup.threads, any(entry(request.encoder).device for request in setup.requests))
            check_host(setup)
            for request, spec in zip(setup.requests, setup.specs, strict=True):
                encoder = create(request)
                if encoder.spec.fingerprint != spec.fingerprint:
                    raise EngineError(difference(spec, encoder.spec))
                encoder.spec = spec  # with the alias under which the store has it
                self._encoders.append(encoder)
                self._batches.append(MemoryBatches(encoder.batch_size))
        except ErcError as error:
            return _trouble(error)
        return None

    def run(self, task: ChunkTask) -> ChunkDone | Trouble:
        """Do one chunk and commit its shards. The driver holds the locks."""
        setup = self._setup
        jobs = [
            Job(encoder, plan, FeatureWriter(setup.root, plan.spec))
            for encoder, plan in zip(self._encoders, task.plans, strict=True)
        ]
        for job, batches in zip(jobs, self._batches, strict=True):
            job.batches = batches
        if self._pool is None:
            readers, decoding = clip_readers(jobs), setup.decoding
            self._pool = DecodePool(readers, decoding.workers_for(len(task.manifest)), decoding.clip_timeout_s)
            self._pool.__enter__()
        try:
            activities = run_local(task.manifest, setup.root, jobs, decoding=setup.decoding, pool=self._pool)
        except ErcError as error:
            return _trouble(error)
        return ChunkDone(tuple(_done(job) for job in jobs), tuple(activities))

    def close(self) -> None:
        if self._pool is not None:
            self._pool.__exit__(None, None, None)


def pin_threads(threads: int, loads_torch: bool) -> None:
    """Let what computes in this process use so many threads, whatever cores its host has; before torch is loaded."""
    from threadpoolctl import threadpool_limits

    os.environ["OMP_WAIT_POLICY"] = "PASSIVE"  # as in `pipeline.cli.main`
    os.environ["OMP_NUM_THREADS"] = str(threads)
    threadpool_limits(threads)
    if loads_torch:
        import torch

        torch.set_num_threads(threads)


def check_host(setup: Setup) -> None:
    """Raises EngineError where this host's libraries are others, or it does not see the store or the clips."""
    for name, version in library_versions().items():
        there = setup.versions.get(name)
        if there is not None and there != version:
            raise EngineError(f"has {name} {version}, the machine that started the run {there}: install the same")
    for spec in setup.specs:
        path = setup.root / spec.folder / "spec.json"
        if spec.folder in setup.begun and not (path.is_file() and path.read_text(encoding="utf-8") == spec.to_json()):
            raise EngineError(
                f"does not see the store at {setup.root}: keep it on a folder that every node has mounted there"
            )
    if setup.clip is not None and not setup.clip.is_file():
        raise EngineError(f"does not see {setup.clip}: keep the clips on a folder that every node has mounted there")


def difference(ours: EncoderSpec, theirs: EncoderSpec) -> str:
    """How a feature that a worker builds differs from the one that was asked for."""
    names = [item.name for item in fields(EncoderSpec) if item.name not in ("model", "alias")]
    differing = [name for name in names if getattr(ours, name) != getattr(theirs, name)]
    return f"builds {ours.folder} with another {', '.join(differing)}: put the same weights and versions there"


def _trouble(error: ErcError) -> Trouble:
    return Trouble(f"host {platform.node()}: {error}")


def _done(job: Job) -> JobDone:
    seconds = (job.seconds_prepare, job.seconds_decode, job.seconds_encode, job.seconds_write)
    lowered = job.batch_size if job.batch_size < job.encoder.batch_size else None
    return JobDone(job.reasons, job.cut, job.shards, seconds, lowered, job.outside)
