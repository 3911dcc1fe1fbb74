"""`erc extract`, and its floor: bare decoding of the same clips plus the networks' bare forward passes on its inputs.

Encoders are built before the clock starts. Both start as many decoding processes, within it. Extraction also prepares
and sends the inputs, hashes the clips, and writes shards, ledgers and records that survive a kill.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np

from features.encoders.for_store import build_encoders
from features.encoders.protocol import DerivedEncoder, Encoder, EncoderRequest, Input
from features.engines.clip_task import ClipReader, ClipTask
from features.engines.decode_pool import DecodeOptions, DecodePool
from features.engines.job import Job
from features.errors import UnavailableError
from features.extract import extract_features
from features.manifest import Manifest, read_manifest
from features.store import Feature
from features.store.plan import PlanOptions

_INPUTS_AT_ONCE = 192  # held by the floor, for memory's sake


class Extraction:
    """requests: what EncoderRequest takes, each as a dict. They are extracted together, into a new store each time
    limit: so many utterances, the manifest's first; None: all of it
    """

    def __init__(self, requests: list[dict[str, Any]], manifest: str, dtype: str, limit: int | None = None) -> None:
        self.manifest = read_manifest(Path(manifest))
        self.count = len(self.manifest) if limit is None else limit
        self.place = Path(tempfile.mkdtemp())
        self.store = self.place / "store"
        self.encoders, self.implied = build_encoders(
            [EncoderRequest(**request) for request in requests], self.store, dtype
        )
        self.decoding = DecodeOptions()
        self.jobs: list[Job] = []

    def before(self) -> None:
        shutil.rmtree(self.store, ignore_errors=True)

    def __call__(self) -> float | None:
        self.jobs = extract_features(
            self.manifest,
            self.store,
            self.encoders,
            implied=self.implied,
            options=PlanOptions(limit=self.count),
            decoding=self.decoding,
        )
        return None

    def rows(self) -> np.ndarray:
        found = Feature(self.store, self.jobs[-1].key).read(self.manifest.ids[: self.count])
        if not found.present.all():
            raise SystemExit("extraction lacks an embedding")
        return np.asarray(found.values, np.float32)


class ExtractionCompared(Extraction):
    """One whose outcome others need not give: see RetinaFaceResNet50."""

    rows = None  # type: ignore[assignment]


@dataclass(frozen=True)
class Nothing:
    """A preparer that makes no input of a decoded clip: it only asks for what was decoded."""

    needs: Any

    def __call__(self, clip: Any) -> Input:
        if self.needs.audio is not None:
            clip.sound(self.needs.audio)
        if self.needs.frames is not None:
            clip.frames(self.needs.frames)
        return Input(None, 0, ("",), ({},))


class Floor(Extraction):
    """Decodes every clip once and keeps nothing, then runs the networks' forward passes on tensors that are in memory
    already: those that the encoders give them."""

    def __init__(self, requests: list[dict[str, Any]], manifest: str, dtype: str, limit: int | None = None) -> None:
        super().__init__(requests, manifest, dtype, limit)
        super().__call__()  # what derives from another feature reads its rows

    def before(self) -> None:
        return None

    rows = None  # type: ignore[assignment]

    def __call__(self) -> float:
        return self.decode() + sum(self._forwards(job) for job in self.jobs)

    def decode(self) -> float:
        """Seconds to decode every clip once."""
        readers = {
            job.key: ClipReader(job.encoder.needs, Nothing(job.encoder.needs))
            for job in self.jobs
            if job.encoder.needs is not None
        }
        if not readers:
            return 0.0
        tasks = _tasks(self.manifest, tuple(readers), 0, self.count)
        started = time.perf_counter()
        with DecodePool(readers, self.decoding.workers_for(len(tasks))) as pool:
            for _ in pool.map(tasks):
                pass
        return time.perf_counter() - started

    def _forwards(self, job: Job) -> float:
        from benchmarks.workers.forwards import Forwards  # torch, which decoding processes that read this do not need

        seconds = 0.0
        encoder: Encoder | DerivedEncoder = job.encoder
        for first in range(0, self.count, _INPUTS_AT_ONCE):
            stop = min(first + _INPUTS_AT_ONCE, self.count)
            inputs = sorted(self._inputs(job, first, stop), key=lambda item: item.length)
            with Forwards() as forwards:
                for begin in range(0, len(inputs), encoder.batch_size):
                    encoder.encode(inputs[begin : begin + encoder.batch_size])
            started = time.perf_counter()
            forwards.again()
            seconds += time.perf_counter() - started
        return seconds

    def _inputs(self, job: Job, start: int, stop: int) -> list[Input]:
        if job.encoder.reads == "dialogue":
            bounds = [pair for pair in self.manifest.dialogue_bounds() if start <= pair[0] < stop]
            return [job.encoder.prepare(dialogue) for pair in bounds for dialogue in self.manifest.dialogues(*pair)]
        if job.encoder.reads == "turn":
            from features.encoders.protocol import Turn

            turns = [Turn(one, index) for one in self.manifest.dialogues() for index in range(len(one.utterances))]
            return [job.encoder.prepare(turn) for turn in turns[start:stop]]
        sources = {other.plan.spec.fingerprint: other for other in self.jobs}
        source = sources.get(job.plan.spec.derives_from or "")
        found = []
        if job.encoder.needs is None:
            raise TypeError(f"{job.key} reads no clips")
        with DecodePool({job.key: ClipReader(job.encoder.needs, job.encoder.prepare)}, 0) as pool:
            for result in pool.map(_tasks(self.manifest, (job.key,), start, stop)):
                item = result.outcomes[job.key]
                try:
                    if isinstance(item, UnavailableError):
                        continue
                    if source is not None:
                        utterance = result.task.utterance.utterance_id
                        (stored,) = Feature(self.store, source.key).read_sequences([utterance])
                        if stored is None:
                            continue
                        item = cast(DerivedEncoder, job.encoder).derive(item, stored)
                except UnavailableError:
                    continue
                found.append(item)
        return found


class DecodingAlone(Floor):
    """The first part of the floor."""

    def __call__(self) -> float:
        return self.decode()


def _tasks(manifest: Manifest, keys: tuple[str, ...], start: int, stop: int) -> list[ClipTask]:
    return [
        ClipTask(utterance, manifest.media_path(utterance.media), keys)
        for utterance in manifest.utterances(start, min(stop, len(manifest)))
        if utterance.media is not None
    ]
