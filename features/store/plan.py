"""The work that is left: which utterances of a manifest a feature still lacks, chunk by chunk.

It reads the store as it stands, so whoever writes makes the plan under the feature's lock (`features.store.write`).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import IntEnum
from pathlib import Path

import numpy as np

from features.errors import ManifestError, Reason
from features.manifest import Manifest
from features.spec import EncoderSpec
from features.store.chunks import align_spans, chunk_size, cut_chunks
from features.store.commit import ShardName, committed_names
from features.store.feature import Feature
from features.store.index import FAILED, MISSING, OK, LedgerIndex, rows_made_from
from features.store.media_digests import MediaDigests
from features.store.media_state import ClipState, ClipStats, RecordedDigests, gone_clips, judge_clips, stat_clips
from features.store.reading import is_there

KNOWN_BAD_POLICIES = ("mask", "use")

_MEDIA_COLUMNS = ("media_size", "media_mtime_ns")


@dataclass(frozen=True)
class PlanOptions:
    """Which of the work that is left is done.

    retry_failed: `failed` rows, too
    rehash:     compare the bytes of clips, too, whose size and time are the same
    known_bad:  `mask` clips that the dataset card calls so, or `use` them
    limit:      the first utterances that are left, no more than so many
    shard:      (I, N): the chunks whose number is I-1 modulo N
    clips_gone: go on where most clips that have embeddings are gone
    fill:       ids whose rows are tried again if they are `missing`
    """

    retry_failed: bool = False
    rehash: bool = False
    known_bad: str = "mask"
    limit: int | None = None
    shard: tuple[int, int] | None = None
    clips_gone: bool = False
    fill: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Chunk:
    """One chunk's remaining work.

    start, stop: the manifest's rows that the chunk touches: whole dialogues
    positions:   those of the chunk that are left
    generation:  of its shard: 0 where none of these has a row yet, else one more than the highest there is
    """

    number: int
    start: int
    stop: int
    positions: tuple[int, ...]
    generation: int = 0


@dataclass(frozen=True)
class Found:
    """An older row that fits today's source and clip again: it is written once more, and nothing is encoded.

    position: of the manifest; shard and row: where its embedding is
    size, mtime_ns: of the clip today
    """

    position: int
    shard: ShardName
    row: int
    size: int
    mtime_ns: int


@dataclass(frozen=True)
class Plan:
    """What is left of one feature.

    chunks:   remaining work, in the manifest's order
    digests:  today's source digest of every row of the manifest
    masked:   ids whose clip the dataset card calls known-bad, where those are masked
    done:     rows that hold; failed: those of them that are `failed` and are not tried again
    stale:    rows made from other input, which are redone; retried: `failed` rows that are tried again,
              and `missing` ones to fill
    found:    older rows that hold again, and that this slice writes anew
    gone:     rows that hold although their clip is no longer there
    unread:   rows that hold although their clip could not be looked at
    """

    spec: EncoderSpec
    chunks: list[Chunk]
    digests: list[str]
    masked: frozenset[str]
    done: int
    failed: int
    stale: int
    retried: int = field(default=0)
    found: tuple[Found, ...] = ()
    gone: int = 0
    unread: int = 0

    @property
    def left(self) -> int:
        return sum(len(chunk.positions) for chunk in self.chunks)

    def only(self, positions: Collection[int]) -> Plan:
        """The same, with no more work than these rows of the manifest."""
        chunks = [
            replace(chunk, positions=tuple(position for position in chunk.positions if position in positions))
            for chunk in self.chunks
        ]
        return replace(self, chunks=[chunk for chunk in chunks if chunk.positions])


class _State(IntEnum):
    NEW = 0
    STALE = 1
    RETRIED = 2
    FAILED = 3
    DONE = 4
    FOUND = 5


def manifest_chunks(manifest: Manifest, whole_dialogues: bool, waveform: bool = False) -> list[tuple[int, int]]:
    """(start, stop) rows of a manifest's chunks. whole_dialogues: the encoder reads a dialogue at once"""
    return cut_chunks(manifest.dialogue_bounds(), chunk_size(len(manifest), waveform), whole_dialogues)


def make_plan(
    manifest: Manifest,
    spec: EncoderSpec,
    root: Path,
    chunk_bounds: Sequence[tuple[int, int]],
    options: PlanOptions | None = None,
    hashes: MediaDigests | None = None,
) -> Plan:
    """The utterances without a row that holds today.

    A row holds if its source digest is today's and its clip is unchanged (size and mtime; where those differ, or with
    `rehash`, sha256 of the file) or gone, and it is `ok`, `missing` unless it is to be filled, or `failed` unless
    `retry_failed`.

    hashes: shared by the plans of one run, so that each clip is read once at most
    Raises ManifestError where most clips that have embeddings are gone: see `PlanOptions.clips_gone`.
    """
    options = options or PlanOptions()
    digests = manifest.source_digests(spec.depends)
    reads_media = spec.depends == "media" and not spec.is_foreign  # others made those, of clips of theirs
    masked = frozenset(manifest.card.known_bad) if reads_media and options.known_bad == "mask" else frozenset()
    path = root / spec.folder
    has_spec = is_there(path / "spec.json")
    lacks_spec = not has_spec and is_there(path) and bool(committed_names(path))
    states = np.full(len(manifest), _State.NEW, np.int8)
    has_row = np.zeros(len(manifest), bool)
    next_generation, clips = 0, _Clips()
    if has_spec or lacks_spec:
        feature = Feature(root, spec.folder, spec if lacks_spec else None).fitting(manifest)
        index = feature.index_with(*_MEDIA_COLUMNS) if reads_media else feature.index
        next_generation = max((name.generation + 1 for name in index.names), default=0)
        places = index.find(manifest.ids)
        has_row = places >= 0
        states[has_row] = _states(index, places[has_row], options.retry_failed)
        if options.fill:
            filled = np.array([utterance_id in options.fill for utterance_id in manifest.ids], bool) & has_row
            filled[filled] = index.status[places[filled]] == MISSING
            states[filled] = _State.RETRIED
        if index.stale:
            states[[row for row, utterance_id in enumerate(manifest.ids) if utterance_id in index.stale]] = _State.STALE
        if reads_media:
            clips = _judge(
                states, feature, index, places, manifest, digests, masked, options, hashes or MediaDigests(root)
            )
    wanted = (states == _State.NEW) | (states == _State.STALE) | (states == _State.RETRIED)
    count = {state: int((states == state).sum()) for state in _State}
    return Plan(
        spec,
        _chunks(manifest, chunk_bounds, np.flatnonzero(wanted), has_row, next_generation, options),
        digests,
        masked,
        count[_State.DONE] + count[_State.FAILED] + count[_State.FOUND],
        count[_State.FAILED],
        count[_State.STALE],
        count[_State.RETRIED],
        _found_in_slice(clips.found, chunk_bounds, options.shard),
        clips.gone,
        clips.unread,
    )


def _states(index: LedgerIndex, places: np.ndarray, retry_failed: bool) -> np.ndarray:
    is_failed = index.status[places] == FAILED
    return np.where(is_failed, _State.RETRIED if retry_failed else _State.FAILED, _State.DONE).astype(np.int8)


def _chunks(
    manifest: Manifest,
    bounds: Sequence[tuple[int, int]],
    work: np.ndarray,
    has_row: np.ndarray,
    next_generation: int,
    options: PlanOptions,
) -> list[Chunk]:
    chunks: list[Chunk] = []
    left = len(work) if options.limit is None else options.limit
    spans = align_spans(bounds, manifest.dialogue_bounds())
    ends = np.searchsorted(work, [stop for _, stop in bounds]).tolist()
    first = 0
    for number, (span, last) in enumerate(zip(spans, ends, strict=True)):
        positions, first = work[first:last], last
        if not _in_slice(number, options.shard):
            continue
        positions = positions[:left]
        left -= len(positions)
        if len(positions):
            generation = next_generation if has_row[positions].any() else 0
            chunks.append(Chunk(number, *span, tuple(positions.tolist()), generation))
    return chunks


def _in_slice(chunk: int, shard: tuple[int, int] | None) -> bool:
    return shard is None or chunk % shard[1] == shard[0] - 1


def _found_in_slice(
    found: Sequence[Found], bounds: Sequence[tuple[int, int]], shard: tuple[int, int] | None
) -> tuple[Found, ...]:
    """Those that this slice writes again."""
    chunks = np.searchsorted([stop for _, stop in bounds], [item.position for item in found], side="right")
    return tuple(item for item, chunk in zip(found, chunks.tolist(), strict=True) if _in_slice(chunk, shard))


@dataclass
class _Clips:
    """What came of looking at clips. gone, unread: rows that hold although their clip is not there, or not readable."""

    gone: int = 0
    unread: int = 0
    found: tuple[Found, ...] = ()


def _judge(
    states: np.ndarray,
    feature: Feature,
    index: LedgerIndex,
    places: np.ndarray,
    manifest: Manifest,
    digests: Sequence[str],
    masked: frozenset[str],
    options: PlanOptions,
    hashes: MediaDigests,
) -> _Clips:
    """Set `states` to STALE where the clip is another than the row's, and to FOUND where an older row fits it."""
    known = np.flatnonzero((states == _State.DONE) | (states == _State.FAILED) | (states == _State.RETRIED))
    is_masked = np.zeros(len(manifest), bool)
    if masked:
        is_masked[[row for row, utterance_id in enumerate(manifest.ids) if utterance_id in masked]] = True
    number = index.reasons.index(str(Reason.KNOWN_BAD)) if str(Reason.KNOWN_BAD) in index.reasons else -2
    states[known[(index.reason[places[known]] == number) != is_masked[known]]] = _State.STALE
    media = manifest.frame["media"]
    has_media = media.is_not_null().to_numpy()
    rows = np.flatnonzero(has_media & ~is_masked & (places >= 0) & (states != _State.NEW))
    if not len(rows):
        return _Clips()
    names = media.gather(rows).to_list()
    root = manifest.media_path("")
    stats = stat_clips(root, names)
    record = _record(feature, index, places[rows])
    is_ok = index.status[places[rows]] == OK
    gone = gone_clips(stats, record[0])
    _refuse_gone(manifest, rows, gone & is_ok, is_ok, options.clips_gone)
    current = np.isin(states[rows], (_State.DONE, _State.FAILED))
    judged = judge_clips(root, names, stats, *record, hashes, compared=current, rehash=options.rehash)
    states[rows[current & ((judged == ClipState.OTHER) | (gone & ~is_ok))]] = _State.STALE
    is_stale = states[rows] == _State.STALE
    stale, sizes, mtimes_ns = (column[is_stale].tolist() for column in (rows, stats.sizes, stats.mtimes_ns))
    clips = {row: (size, mtime) for row, size, mtime in zip(stale, sizes, mtimes_ns, strict=True) if size >= 0}
    found = _look_back(feature, index, places, manifest, digests, clips, hashes, options.rehash)
    for item in found:
        states[item.position] = _State.FOUND
    unread = current & (judged == ClipState.UNREADABLE)
    return _Clips(int((gone & is_ok & current).sum()), int(unread.sum()), tuple(found))


def _record(feature: Feature, index: LedgerIndex, places: np.ndarray) -> tuple[np.ndarray, np.ndarray, RecordedDigests]:
    """What rows say of their clips: sizes, mtimes and digests; -1 and None where they say nothing."""
    import pyarrow as pa

    table = index.table.select(_MEDIA_COLUMNS).take(pa.array(places))
    sizes, mtimes_ns = (table[name].fill_null(-1).to_numpy().astype(np.int64) for name in _MEDIA_COLUMNS)
    return sizes, mtimes_ns, lambda rows: feature.ledger_values(index, places[rows], "input_digest")


def _refuse_gone(manifest: Manifest, rows: np.ndarray, gone: np.ndarray, is_ok: np.ndarray, allowed: bool) -> None:
    count, number = int(gone.sum()), int(is_ok.sum())
    if allowed or 2 * count <= number:
        return
    first = manifest.frame["media"][int(rows[np.flatnonzero(gone)[0]])]
    raise ManifestError(
        f"{manifest.media_root}: {count} of the {number} clips that have embeddings are gone, first {first}: mount the"
        " disk that holds them, or give --media-root DIR; with --clips-gone extraction goes on and keeps their"
        " embeddings"
    )


def _look_back(
    feature: Feature,
    index: LedgerIndex,
    places: np.ndarray,
    manifest: Manifest,
    digests: Sequence[str],
    clips: Mapping[int, tuple[int, int]],
    hashes: MediaDigests,
    rehash: bool,
) -> list[Found]:
    """Older `ok` rows of stale utterances that were made from today's source and from the clip as it is today.

    clips: stale row of the manifest -> size and mtime of its clip, which is there
    """
    asked = {manifest.ids[row]: row for row in clips}
    wanted = {utterance_id: digests[row] for utterance_id, row in asked.items()}
    candidates = [
        (asked[utterance_id], place)
        for utterance_id, place in rows_made_from(index.table, wanted)
        if index.status[place] == OK and place != places[asked[utterance_id]]
    ]
    if not candidates:
        return []
    rows, olds = (np.array(column, np.int64) for column in zip(*candidates, strict=True))
    state = [clips[row] for row in rows.tolist()]
    stats = ClipStats(*(np.array(column, np.int64) for column in zip(*state, strict=True)))
    names = manifest.frame["media"].gather(rows).to_list()
    judged = judge_clips(manifest.media_path(""), names, stats, *_record(feature, index, olds), hashes, rehash=rehash)
    same = {
        row: place
        for row, place, clip in zip(rows.tolist(), olds.tolist(), judged, strict=True)
        if clip == ClipState.SAME
    }
    return [
        Found(row, index.names[index.shard[place]], int(index.row[place]), *clips[row]) for row, place in same.items()
    ]
