"""The engine of one machine: decode in worker processes, encode here, write in the background."""

from __future__ import annotations

import threading
import time
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass
from pathlib import Path

from features.engines.activity import Activity, Kind
from features.engines.chunk_work import ChunkWork
from features.engines.clip_task import ClipReader, ClipTask
from features.engines.decode_pool import DecodeOptions, DecodePool
from features.engines.encode_queue import EncodeQueue
from features.engines.job import Advance, Job
from features.engines.read_ahead import two_readers
from features.engines.source_rows import SourceRows, StoredSource
from features.manifest import Manifest
from features.media.needs import ClipNeeds
from features.store.ledger import OUTSIDE
from features.store.plan import Chunk

_SHARDS_WAITING = 2


def run_local(
    manifest: Manifest,
    root: Path,
    jobs: Sequence[Job],
    *,
    decoding: DecodeOptions,
    advance: Advance = lambda count: None,
    pool: DecodePool | None = None,
) -> list[Activity]:
    """Do the work of jobs that have their writers (`features.extract.begin_extraction`), chunk by chunk, and commit a
    shard per chunk and encoder. Whatever stops it, committed shards stay, and the chunk in hand is done again next
    time.

    advance: called with the number of embeddings done
    pool: of the jobs that read clips, started already, where it outlives the call; `decoding` then says nothing

    Returns how busy each stage was, for texts and for clips, where there were any.
    """
    lock = threading.Lock()

    def counted(number: int) -> None:  # by the thread that takes decoded clips and the one that encodes
        with lock:
            advance(number)

    with ThreadPoolExecutor(1, "write") as background, ExitStack() as stack:
        at_work = [job for job in jobs if job.plan.chunks]
        texts = [job for job in at_work if job.encoder.reads != "clip"]
        clips = [job for job in at_work if job.encoder.reads == "clip"]
        workers = pool.workers if pool else decoding.workers_for(max((job.plan.left for job in clips), default=0))
        activities: list[Activity] = []
        # Apart, so that encoding text does not compete with decoding for the same cores.
        passes: list[tuple[Kind, list[Job], Generator[ChunkWork, None, None]]] = [
            ("texts", texts, _encode_texts(manifest, texts, counted)),
            ("clips", clips, _encode_clips(manifest, root, jobs, clips, decoding, workers, pool, counted)),
        ]
        for kind, of_kind, finished in passes:
            started = time.perf_counter()
            stack.callback(finished.close)  # what stops the run here stops decoding and encoding, too
            waiting: list[Future[None]] = []
            for work in finished:
                while len(waiting) >= _SHARDS_WAITING:
                    waiting.pop(0).result()
                waiting.append(background.submit(_commit, work))
            for future in waiting:
                future.result()
            if of_kind:
                activities.append(_activity(kind, of_kind, time.perf_counter() - started, workers))
    return activities


def clip_readers(jobs: Sequence[Job]) -> dict[str, ClipReader]:
    """What decoding processes need of the jobs that read clips."""
    return {job.key: ClipReader(_needs(job), job.encoder.prepare) for job in jobs if job.encoder.reads == "clip"}


def _activity(kind: Kind, jobs: Sequence[Job], seconds: float, workers: int) -> Activity:
    return Activity(
        kind,
        seconds,
        workers=workers if kind == "clips" else 0,
        preparing=sum(job.seconds_prepare for job in jobs),
        decoding=sum(job.seconds_decode for job in jobs),
        encoding=sum(job.seconds_encode for job in jobs),
        writing=sum(job.seconds_write for job in jobs),
    )


def _encode_texts(manifest: Manifest, jobs: Sequence[Job], advance: Advance) -> Generator[ChunkWork, None, None]:
    for job in jobs:
        for chunk in job.plan.chunks:
            work = ChunkWork(manifest, job, chunk, EncodeQueue(threaded=False), advance)
            work.add_texts()
            work.encode_waiting()
            yield work


def _encode_clips(
    manifest: Manifest,
    root: Path,
    all_jobs: Sequence[Job],
    jobs: Sequence[Job],
    decoding: DecodeOptions,
    workers: int,
    running: DecodePool | None,
    advance: Advance,
) -> Generator[ChunkWork, None, None]:
    """Walk the chunks: decode once what any of the jobs lacks, and encode it for each of them."""
    jobs = sorted(jobs, key=lambda job: job.plan.spec.derives_from is not None)
    sources = {job.plan.spec.fingerprint: job for job in all_jobs}
    derived = [job.plan.spec.derives_from for job in jobs if job.plan.spec.derives_from is not None]
    stored = {fingerprint: StoredSource(root, sources[fingerprint].key, manifest) for fingerprint in derived}
    opened = nullcontext(running) if running else DecodePool(clip_readers(jobs), workers, decoding.clip_timeout_s)
    with opened as pool, EncodeQueue(threaded=workers > 0) as queue:
        ahead, chunks = two_readers(_clip_chunks(manifest, jobs, decoding.follow_symlinks))
        results = pool.map(task for chunk in ahead for task in chunk.tasks.values())
        for chunk in chunks:
            works: dict[str, ChunkWork] = {}
            for job, part in chunk.parts:
                works[job.key] = work = ChunkWork(manifest, job, part, queue, advance)
                if (fingerprint := job.plan.spec.derives_from) is not None:
                    made = works.get(stored[fingerprint].folder)
                    work.derive_from(SourceRows(manifest, part.positions, stored[fingerprint], made))
                work.add_unread()
            for position, task in chunk.tasks.items():
                clip = next(results)
                for key in task.readers:
                    works[key].add_clip(position, clip)
            for work in works.values():
                work.encode_waiting()
            queue.finish()
            yield from works.values()


def _needs(job: Job) -> ClipNeeds:
    needs = job.encoder.needs
    if needs is None:
        raise TypeError(f"encoder {job.key} reads clips but says no needs")
    return needs


@dataclass(frozen=True)
class _ClipChunk:
    """One chunk of the manifest, for all jobs that lack some of it.

    parts: each of these jobs with what it lacks
    tasks: row of the manifest -> task, for each clip that some of them lacks, in the manifest's order
    """

    parts: list[tuple[Job, Chunk]]
    tasks: dict[int, ClipTask]


def _clip_chunks(manifest: Manifest, jobs: Sequence[Job], follow_symlinks: bool) -> Iterator[_ClipChunk]:
    """The chunks in which a job lacks something, in the manifest's order."""
    parts: dict[int, list[tuple[Job, Chunk]]] = {}
    for job in jobs:
        for chunk in job.plan.chunks:
            parts.setdefault(chunk.number, []).append((job, chunk))
    for number in sorted(parts):
        yield _ClipChunk(parts[number], _clip_tasks(manifest, parts[number], follow_symlinks))


def _clip_tasks(manifest: Manifest, parts: Sequence[tuple[Job, Chunk]], follow_symlinks: bool) -> dict[int, ClipTask]:
    wanted: dict[int, list[str]] = {}
    for job, chunk in parts:
        for position in chunk.positions:
            if manifest.ids[position] not in job.plan.masked:
                wanted.setdefault(position, []).append(job.key)
    start, stop = parts[0][1].start, parts[0][1].stop
    utterances = manifest.utterances(start, stop)
    root = None if follow_symlinks else manifest.media_root
    return {
        position: ClipTask(utterance, manifest.media_path(utterance.media), tuple(wanted[position]), root)
        for position, utterance in zip(range(start, stop), utterances, strict=True)
        if position in wanted and utterance.media is not None
    }


def _commit(work: ChunkWork) -> None:
    started = time.perf_counter()
    job = work.job
    if job.writer is None:
        raise TypeError(f"{job.key} was only looked at: its work takes a writer")
    final = job.writer.commit(work.chunk.number, work.ledger_rows(), work.embeddings, work.chunk.generation)
    for row in final:
        job.reasons[row.reason] = job.reasons.get(row.reason, 0) + 1
        job.cut += row.counts.get("cut", 0)
        job.outside += OUTSIDE in row.counts
    job.shards += 1
    job.seconds_write += time.perf_counter() - started
