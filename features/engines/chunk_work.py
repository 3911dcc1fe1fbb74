"""What one encoder does with one chunk: inputs wait until a few batches are full, those of like length are encoded
together, and every utterance ends as a ledger row.

Batches depend on the order of the manifest and on nothing else, so that the number of workers changes no bit.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

import numpy as np

from features.encoders.protocol import DerivedEncoder, Input, Turn
from features.engines.clip_task import ClipResult, as_unavailable
from features.engines.encode_queue import EncodeQueue
from features.engines.job import Advance, Job
from features.engines.source_rows import SourceRows
from features.errors import EncoderError, ErcError, Reason, UnavailableError
from features.hardware import is_out_of_memory
from features.manifest import Manifest
from features.store.ledger import OUTSIDE, LedgerRow
from features.store.plan import Chunk
from features.utterances import Dialogue

# Decoded clips wait until 8 batches or 64 of them are full, and at least one batch: enough to find like lengths, few
# enough to hold their frames in memory and to encode while others are decoded.
_BATCHES_WAITING = 8
_CLIPS_WAITING = 64
_IDS_SHOWN = 8


@dataclass(frozen=True)
class _Waiting:
    """An input, the manifest's rows that it covers, and the clip it was made of (without its inputs)."""

    positions: tuple[int, ...]
    item: Input
    clip: ClipResult | None = None


class ChunkWork:
    """See the module. `rows` and `embeddings` are whole once nothing is waiting and the queue is finished."""

    def __init__(self, manifest: Manifest, job: Job, chunk: Chunk, queue: EncodeQueue, advance: Advance) -> None:
        self.job = job
        self.chunk = chunk
        self.rows: dict[int, LedgerRow] = {}
        self.embeddings: dict[str, np.ndarray] = {}
        self._manifest = manifest
        self._queue = queue
        self._advance = advance
        self.wanted = frozenset(chunk.positions)
        self._waiting: list[_Waiting] = []
        self._sources: SourceRows | None = None

    def derive_from(self, sources: SourceRows) -> None:
        """Take what the encoder derives from out of `sources`."""
        self._sources = sources

    def add_texts(self) -> None:
        """Prepare every turn or dialogue of the chunk."""
        started = time.perf_counter()
        encoder = self.job.encoder
        for first, dialogue in _dialogues(self._manifest, self.chunk):
            positions = tuple(range(first, first + len(dialogue.utterances)))
            if encoder.reads == "dialogue":
                self._prepare(positions, dialogue)
                continue
            for position in positions:
                if position in self.wanted:
                    self._prepare((position,), Turn(dialogue, position - first))
        self.job.seconds_prepare += time.perf_counter() - started

    def add_clip(self, position: int, clip: ClipResult) -> None:
        """Take a decoded clip; encode once enough are waiting."""
        outcome = clip.outcomes[self.job.key]
        self.job.seconds_decode += clip.seconds / len(clip.outcomes)
        if isinstance(outcome, UnavailableError):
            self._refuse(position, outcome, clip)
            return
        self._add(_Waiting((position,), outcome, clip.without_inputs()))
        size = self.job.batch_size
        if len(self._waiting) >= max(size, min(size * _BATCHES_WAITING, _CLIPS_WAITING)):
            self.encode_waiting()

    def add_unread(self) -> None:
        """Give a row to the utterances whose clip is not to be read: known-bad ones, and those without any."""
        utterances = self._manifest.utterances(self.chunk.start, self.chunk.stop)
        for position in self.chunk.positions:
            utterance = utterances[position - self.chunk.start]
            if utterance.utterance_id in self.job.plan.masked:
                detail = self._manifest.card.known_bad[utterance.utterance_id]
                self._refuse(position, UnavailableError(Reason.KNOWN_BAD, detail))
            elif utterance.media is None:
                self._refuse(position, UnavailableError(Reason.NO_MEDIA, "the manifest names no clip"))

    def encode_waiting(self) -> None:
        """Put what is waiting into the queue, behind that of the encoder it derives from."""
        if self._sources is not None:
            self._sources.encode_waiting()
        waiting, self._waiting = self._waiting, []
        if waiting:
            self._queue.put(partial(self._encode_all, waiting))

    def _encode_all(self, waiting: list[_Waiting]) -> None:
        """Encode inputs in batches of like length."""
        if self._sources is not None:
            waiting = self._derived(waiting, self._sources)
        ordered = sorted(waiting, key=lambda entry: entry.item.length)
        encoded = self.job.batches.each(
            ordered, self._encode, refuse=self._refuse_for_memory, stopped=self._queue.stopping.is_set
        )
        for batch, results in encoded:
            for entry, (array, seconds) in zip(batch, results, strict=True):
                self._keep(entry, array, seconds)

    def ledger_rows(self) -> list[LedgerRow]:
        """The row of each utterance, in the manifest's order. Expects nothing to be waiting."""
        return [self.rows[position] for position in self.chunk.positions]

    def _prepare(self, positions: tuple[int, ...], item: Turn | Dialogue) -> None:
        """Make the input of a turn or a dialogue. Whatever is wrong with it costs its own rows alone."""
        try:
            self._add(_Waiting(positions, self.job.encoder.prepare(item)))
        except Exception as error:
            for position in positions:
                self._refuse(position, as_unavailable(error))

    def _add(self, entry: _Waiting) -> None:
        for position, error in zip(entry.positions, entry.item.unavailable, strict=False):
            if error is not None:
                self._refuse(position, error)
        self._waiting.append(entry)

    def _derived(self, waiting: list[_Waiting], sources: SourceRows) -> list[_Waiting]:
        """The inputs completed by what the source stored of their utterances."""
        encoder = cast(DerivedEncoder, self.job.encoder)
        found = []
        for entry in waiting:
            position = entry.positions[0]
            try:
                stored = sources.of(position, self._manifest.ids[position])
                found.append(_Waiting(entry.positions, encoder.derive(entry.item, stored), entry.clip))
            except Exception as error:
                self._refuse(position, as_unavailable(error), entry.clip, entry.item.counts[0])
        return found

    def _encode(self, batch: Sequence[_Waiting]) -> list[tuple[Any, float]]:
        """Per entry of one batch its array (of a dialogue's sequences, one a turn), and the seconds that each of its
        rows took.

        Raises what the encoder raised where memory ran out, and EncoderError for any other fault of it.
        """
        started = time.perf_counter()
        try:
            arrays = self.job.encoder.encode([entry.item for entry in batch])
        except ErcError:
            raise
        except Exception as error:
            if is_out_of_memory(error):
                raise
            raise self._encoder_error(batch, error) from error
        seconds = time.perf_counter() - started
        self.job.seconds_encode += seconds
        share = seconds / sum(len(entry.positions) for entry in batch)
        return [(array, share) for array in arrays]

    def _encoder_error(self, batch: Sequence[_Waiting], error: Exception) -> EncoderError:
        ids = [self._manifest.ids[position] for entry in batch for position in entry.positions]
        shown = ", ".join(ids[:_IDS_SHOWN]) + (f" and {len(ids) - _IDS_SHOWN} more" if len(ids) > _IDS_SHOWN else "")
        said = " ".join(str(error).split())
        return EncoderError(
            f"{self.job.key}: its encoder failed on {shown}: {type(error).__name__}: {said}; what is committed is kept"
        )

    def _refuse_for_memory(self, entry: _Waiting) -> None:
        detail = f"no room on the device for an input of length {entry.item.length}"
        for position in entry.positions:
            self._refuse(position, UnavailableError(Reason.OUT_OF_MEMORY, detail), entry.clip)

    def _keep(self, entry: _Waiting, array: Any, seconds: float) -> None:
        """Record the embeddings of an input's rows, but for those that were not asked for or have their row."""
        clip = entry.clip
        for index, position in enumerate(entry.positions):
            if position not in self.wanted or position in self.rows:
                continue
            utterance_id = self._manifest.ids[position]
            outside_ms = clip.outside_ms.get(self.job.key, 0) if clip else 0
            self.embeddings[utterance_id] = array[index] if self.job.encoder.reads == "dialogue" else array
            self.rows[position] = LedgerRow(
                utterance_id,
                self.job.plan.digests[position],
                detail=f"{outside_ms / 1000:.2f} s of the cut lie outside the clip" if outside_ms else None,
                input_digest=clip.digest if clip else entry.item.digests[index],
                media_size=clip.size if clip else None,
                media_mtime_ns=clip.mtime_ns if clip else None,
                seconds_decode=clip.seconds if clip else None,
                seconds_encode=seconds,
                counts=entry.item.counts[index] | ({OUTSIDE: outside_ms} if outside_ms else {}),
            )
            self._advance(1)

    def _refuse(
        self,
        position: int,
        error: UnavailableError,
        clip: ClipResult | None = None,
        counts: Mapping[str, int] | None = None,
    ) -> None:
        """Record why an utterance has no embedding, unless it was not asked for or has its row."""
        if position not in self.wanted or position in self.rows:
            return
        self.rows[position] = LedgerRow(
            self._manifest.ids[position],
            self.job.plan.digests[position],
            error.reason,
            error.detail or None,
            input_digest=clip.digest if clip else None,
            media_size=clip.size if clip else None,
            media_mtime_ns=clip.mtime_ns if clip else None,
            seconds_decode=clip.seconds if clip else None,
            counts=(dict(counts) if counts else {}) | ({"num_faces": 0} if error.reason is Reason.NO_FACE else {}),
        )
        self._advance(1)


def _dialogues(manifest: Manifest, chunk: Chunk) -> Iterator[tuple[int, Dialogue]]:
    """(first row, dialogue) of each dialogue that holds a position of the chunk, whole."""
    wanted = set(chunk.positions)
    start = chunk.start
    for dialogue in manifest.dialogues(chunk.start, chunk.stop):
        if any(position in wanted for position in range(start, start + len(dialogue.utterances))):
            yield start, dialogue
        start += len(dialogue.utterances)
