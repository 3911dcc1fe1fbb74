"""The engine of one machine: decode in worker processes, encode here, write in the background."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from features.encoders import Encoder, Input, Turn
from features.engines.decode import ClipReader, ClipResult, ClipTask, DecodePool, auto_workers
from features.errors import Reason, UnavailableError
from features.manifest import Dialogue, Manifest
from features.media import ClipNeeds
from features.store.ledger import LedgerRow
from features.store.plan import Chunk, Plan
from features.store.write import FeatureWriter, open_writer

_SHARDS_WAITING = 2

Advance = Callable[[int], object]


@dataclass
class Job:
    """One encoder and what it still has to do; `outcomes` counts (status reason or `ok`) as the work goes on."""

    encoder: Encoder
    plan: Plan
    reasons: dict[Reason | None, int] = field(default_factory=dict)
    cut: int = 0
    shards: int = 0
    seconds_decode: float = 0.0
    seconds_encode: float = 0.0
    seconds_write: float = 0.0

    @property
    def key(self) -> str:
        return self.plan.spec.folder


@dataclass
class _Prepared:
    """The inputs of one job's chunk, and the ledger rows of what has none."""

    inputs: list[tuple[tuple[int, ...], Input]] = field(default_factory=list)
    rows: dict[int, LedgerRow] = field(default_factory=dict)


def run_local(
    manifest: Manifest,
    root: Path,
    jobs: Sequence[Job],
    *,
    workers: int | None = None,
    shard: tuple[int, int] | None = None,
    advance: Advance = lambda count: None,
) -> None:
    """Do the jobs' work, chunk by chunk, and commit a shard per chunk and encoder.

    `workers` decode (None: as many as help, 0: this process). `advance` is called with the number of embeddings done.
    Whatever stops it, committed shards stay, and the chunk in hand is done again next time.
    """
    jobs = [job for job in jobs if job.plan.chunks]
    with ExitStack() as stack:
        writers = {job.key: stack.enter_context(open_writer(root, job.plan.spec, shard)) for job in jobs}
        background = stack.enter_context(ThreadPoolExecutor(1, "write"))
        texts = [job for job in jobs if job.encoder.reads != "clip"]
        clips = [job for job in jobs if job.encoder.reads == "clip"]
        for phase in (texts, clips):  # apart, so that encoding text does not compete with decoding for the same cores
            waiting: list[Future[None]] = []
            for job, chunk, rows, embeddings in _encoded(manifest, phase, workers, advance):
                while len(waiting) >= _SHARDS_WAITING:
                    waiting.pop(0).result()
                waiting.append(background.submit(_commit, job, writers[job.key], chunk, rows, embeddings))
            for future in waiting:
                future.result()


def _encoded(
    manifest: Manifest, jobs: Sequence[Job], workers: int | None, advance: Advance
) -> Iterator[tuple[Job, Chunk, list[LedgerRow], dict[str, np.ndarray]]]:
    """Walk the chunks: decode what any of the jobs lacks, and yield each job's rows and embeddings of each chunk."""
    work = {(job.key, chunk.number): chunk for job in jobs for chunk in job.plan.chunks}
    numbers = sorted({number for _, number in work})
    clip_jobs = [job for job in jobs if job.encoder.reads == "clip"]
    count = auto_workers(max((job.plan.left for job in clip_jobs), default=0)) if workers is None else workers
    readers = {job.key: ClipReader(_needs(job), job.encoder.prepare) for job in clip_jobs}
    with DecodePool(readers, count) as pool:
        tasks = (task for number in numbers for _, task in _clip_tasks(manifest, clip_jobs, number, work))
        results = pool.map(tasks)
        for number in numbers:
            clips: dict[int, ClipResult] = {}
            for position, _ in _clip_tasks(manifest, clip_jobs, number, work):
                clips[position] = next(results)
                advance(len(clips[position].outcomes))
            for job in jobs:
                chunk = work.get((job.key, number))
                if chunk is None:
                    continue
                prepared = _prepare(manifest, job, chunk, clips)
                rows, embeddings = _encode(manifest, job, chunk, prepared, clips)
                done = sum(job.key in clip.outcomes for clip in clips.values())  # counted when they were decoded
                advance(len(chunk.positions) - done)
                yield job, chunk, rows, embeddings


def _needs(job: Job) -> ClipNeeds:
    needs = job.encoder.needs
    if needs is None:
        raise TypeError(f"encoder {job.key} reads clips but says no needs")
    return needs


def _clip_tasks(
    manifest: Manifest, jobs: Sequence[Job], number: int, work: Mapping[tuple[str, int], Chunk]
) -> Iterator[tuple[int, ClipTask]]:
    """(position, task) of each clip of a chunk that some encoder lacks, in the manifest's order."""
    wanted: dict[int, list[str]] = {}
    for job in jobs:
        chunk = work.get((job.key, number))
        for position in chunk.positions if chunk else ():
            if manifest.ids[position] not in job.plan.masked:
                wanted.setdefault(position, []).append(job.key)
    for position in sorted(wanted):
        utterance = manifest.utterances(position, position + 1)[0]
        if utterance.media is not None:
            yield position, ClipTask(utterance, manifest.media_path(utterance.media), tuple(wanted[position]))


def _prepare(manifest: Manifest, job: Job, chunk: Chunk, clips: Mapping[int, ClipResult]) -> _Prepared:
    if job.encoder.reads == "clip":
        return _prepare_clips(manifest, job, chunk, clips)
    prepared = _Prepared()
    for first, dialogue in _dialogues(manifest, chunk):
        wanted = [position for position in chunk.positions if first <= position < first + len(dialogue.utterances)]
        if job.encoder.reads == "dialogue":
            positions = tuple(range(first, first + len(dialogue.utterances)))
            prepared.inputs.append((positions, job.encoder.prepare(dialogue)))
            continue
        for position in wanted:
            turn = Turn(dialogue, position - first)
            try:
                prepared.inputs.append(((position,), job.encoder.prepare(turn)))
            except UnavailableError as error:
                prepared.rows[position] = _unavailable_row(manifest, job, position, error)
    return prepared


def _prepare_clips(manifest: Manifest, job: Job, chunk: Chunk, clips: Mapping[int, ClipResult]) -> _Prepared:
    prepared = _Prepared()
    for position in chunk.positions:
        clip = clips.get(position)
        utterance_id = manifest.ids[position]
        if utterance_id in job.plan.masked:
            error = UnavailableError(Reason.KNOWN_BAD, manifest.card.known_bad[utterance_id])
            prepared.rows[position] = _unavailable_row(manifest, job, position, error)
        elif clip is None:
            error = UnavailableError(Reason.NO_MEDIA, "the manifest names no clip")
            prepared.rows[position] = _unavailable_row(manifest, job, position, error)
        else:
            outcome = clip.outcomes[job.key]
            job.seconds_decode += clip.seconds / len(clip.outcomes)
            if isinstance(outcome, UnavailableError):
                prepared.rows[position] = _unavailable_row(manifest, job, position, outcome, clip)
            else:
                prepared.inputs.append(((position,), outcome))
    return prepared


def _dialogues(manifest: Manifest, chunk: Chunk) -> Iterator[tuple[int, Dialogue]]:
    """(first row, dialogue) of each dialogue that holds a position of the chunk, whole."""
    wanted = set(chunk.positions)
    start = chunk.start
    for dialogue in manifest.dialogues(chunk.start, chunk.stop):
        if any(position in wanted for position in range(start, start + len(dialogue.utterances))):
            yield start, dialogue
        start += len(dialogue.utterances)


def _unavailable_row(
    manifest: Manifest, job: Job, position: int, error: UnavailableError, clip: ClipResult | None = None
) -> LedgerRow:
    return LedgerRow(
        manifest.ids[position],
        job.plan.digests[position],
        error.reason,
        error.detail or None,
        input_digest=clip.digest if clip else None,
        media_size=clip.size if clip else None,
        media_mtime_ns=clip.mtime_ns if clip else None,
        seconds_decode=clip.seconds if clip else None,
    )


def _encode(
    manifest: Manifest,
    job: Job,
    chunk: Chunk,
    prepared: _Prepared,
    clips: Mapping[int, ClipResult],
) -> tuple[list[LedgerRow], dict[str, np.ndarray]]:
    """Encode a chunk's inputs, those of like length together, and return its ledger rows in the manifest's order."""
    wanted = set(chunk.positions)
    rows, embeddings = dict(prepared.rows), {}
    ordered = sorted(prepared.inputs, key=lambda item: item[1].length)
    for first in range(0, len(ordered), job.encoder.batch_size):
        batch = ordered[first : first + job.encoder.batch_size]
        started = time.perf_counter()
        arrays = job.encoder.encode([item for _, item in batch])
        seconds = time.perf_counter() - started
        job.seconds_encode += seconds
        share = seconds / sum(len(positions) for positions, _ in batch)
        for (positions, item), array in zip(batch, arrays, strict=True):
            for index, position in enumerate(positions):
                if position not in wanted:
                    continue
                utterance_id, clip = manifest.ids[position], clips.get(position)
                embeddings[utterance_id] = array[index] if job.encoder.reads == "dialogue" else array
                rows[position] = LedgerRow(
                    utterance_id,
                    job.plan.digests[position],
                    input_digest=clip.digest if clip else item.digests[index],
                    media_size=clip.size if clip else None,
                    media_mtime_ns=clip.mtime_ns if clip else None,
                    seconds_decode=clip.seconds if clip else None,
                    seconds_encode=share,
                    counts=item.counts[index],
                )
    return [rows[position] for position in chunk.positions], embeddings


def _commit(
    job: Job, writer: FeatureWriter, chunk: Chunk, rows: Sequence[LedgerRow], embeddings: Mapping[str, np.ndarray]
) -> None:
    started = time.perf_counter()
    final = writer.commit(chunk.number, rows, embeddings, chunk.supersedes)
    for row in final:
        job.reasons[row.reason] = job.reasons.get(row.reason, 0) + 1
        job.cut += row.counts.get("cut", 0)
    job.shards += 1
    job.seconds_write += time.perf_counter() - started
