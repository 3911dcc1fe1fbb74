"""The engine of a Ray cluster: the same chunks, done by actors that hold the encoders. Ray only schedules.

This process, the driver, plans and holds the writers' locks; `ray_run` hands out the chunks.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from features.encoders.for_store import build_all
from features.encoders.protocol import Encoder, EncoderRequest
from features.encoders.table import entry
from features.engines.activity import Activity
from features.engines.decode_pool import DecodeOptions
from features.engines.job import Advance, Job
from features.engines.ray_actors import Notice
from features.engines.ray_cluster import Cluster, connected, place_actors
from features.engines.ray_run import RayRun
from features.engines.ray_worker import ChunkWorker, Setup
from features.hardware import cores
from features.manifest import Manifest
from features.store.write import library_versions


class RayEngine:
    """Builds encoders here, on the CPU, to plan with; and again in each actor, on its device, to encode."""

    def __init__(
        self,
        cluster: Cluster,
        actors: int | None = None,
        notice: Notice = lambda line: None,
        worker: type[ChunkWorker] = ChunkWorker,
    ) -> None:
        self.cluster = cluster
        self._worker = worker
        self._actors = actors
        self._notice = notice
        self._device = "cpu"
        self._requests: dict[str, EncoderRequest] = {}

    @property
    def cores(self) -> int:
        return int(sum(node.cpus for node in self.cluster.nodes))

    def resolve_device(self, device: str, computes: bool) -> str:
        """See `Cluster.resolve_device`. computes: some encoder computes with torch"""
        self._device = self.cluster.resolve_device(device) if computes or device != "auto" else "cpu"
        return self._device

    def build(
        self, requests: Sequence[EncoderRequest], store: Path, dtype: str
    ) -> tuple[list[Encoder], frozenset[str]]:
        """See `features.encoders.for_store.build_encoders`."""
        computes = any(entry(request.encoder).device for request in requests)
        preferred = self.cluster.preferred_dtype(self._device) if dtype == "auto" and computes else None
        here = [replace(request, device="cpu") for request in requests]
        built, implied = build_all(here, store, dtype, preferred)
        self._requests = {encoder.spec.folder: replace(made, device=self._device) for encoder, made in built}
        return [encoder for encoder, _ in built], implied

    def run(
        self,
        manifest: Manifest,
        root: Path,
        jobs: Sequence[Job],
        *,
        decoding: DecodeOptions,
        advance: Advance = lambda count: None,
    ) -> list[Activity]:
        """Do the work of a plan, as `features.engines.local.run_local` does.

        Raises EngineError where an actor cannot work, and, once all else is done, where chunks are left whose actors
        died time and again.
        """
        numbers = sorted({chunk.number for job in jobs for chunk in job.plan.chunks})
        if not numbers:
            return []
        threads = _threads(list(self._requests.values()))
        placement = place_actors(self.cluster.nodes, self._device, threads, self._actors)
        placement = replace(placement, actors=min(placement.actors, len(numbers)))
        if decoding.workers is None:
            decoding = replace(decoding, workers=placement.workers)
        begun = [job for job in jobs if job.plan.chunks]
        setup = Setup(
            root.absolute(),
            tuple(self._requests[job.key] for job in jobs),
            tuple(job.plan.spec for job in jobs),
            frozenset(job.key for job in begun),
            _a_clip(manifest, begun),
            library_versions(),
            threads,
            decoding,
        )
        return RayRun(
            manifest,
            root,
            jobs,
            numbers,
            setup,
            placement,
            advance=advance,
            notice=self._notice,
            worker=self._worker,
        ).finish()


def _threads(requests: Sequence[EncoderRequest]) -> int:
    """What encoders compute with here: torch's threads, or the cores where none needs torch."""
    if any(entry(request.encoder).device for request in requests):
        import torch

        return torch.get_num_threads()
    return cores()


def _a_clip(manifest: Manifest, jobs: Sequence[Job]) -> Path | None:
    """The first clip of the work that is there, by its absolute path."""
    chunks = [chunk for job in jobs if job.encoder.reads == "clip" for chunk in job.plan.chunks]
    for chunk in chunks[:1]:
        utterances = manifest.utterances(chunk.start, chunk.stop)
        for position in chunk.positions:
            media = utterances[position - chunk.start].media
            if media is not None and manifest.media_path(media).is_file():
                return manifest.media_path(media).absolute()
    return None


@contextmanager
def open_ray(address: str | None, actors: int | None, notice: Notice) -> Iterator[RayEngine]:
    """Connect to a cluster, or start one on this machine; see `ray_cluster.connected` for what it raises."""
    with connected(address) as cluster:
        yield RayEngine(cluster, actors, notice)
