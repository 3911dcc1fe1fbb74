"""Writing a feature: its folder, and one shard after another."""

from __future__ import annotations

import platform
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from features.digests import digest_of
from features.errors import Reason, StoreError, UnavailableError
from features.manifest import Manifest
from features.spec import EncoderSpec
from features.store.commit import (
    ShardName,
    clear_write_errors,
    commit_shard,
    make_folder_durably,
    orphans,
    write_once,
)
from features.store.feature import Feature
from features.store.ledger import SPEC, LedgerRow, ledger_bytes, ledger_frame, ledger_rows, read_ledger
from features.store.lock import writer_lock
from features.store.media_digests import MediaDigests
from features.store.plan import Plan, PlanOptions, make_plan, manifest_chunks
from features.store.shard import row_crc32, shard_bytes, stored_array
from features.store.top_file import write_top

if TYPE_CHECKING:
    from features.top.top import Top

_RECORDED_PACKAGES = (
    "erc-feature-store",
    "torch",
    "torchvision",
    "transformers",
    "numpy",
    "av",
    "librosa",
    "opencv-python",
)


_FOUND_TOGETHER = 1024  # rows of a shard


class FeatureWriter:
    """Commits the shards of one feature. `open_writer` makes it, and holds the lock."""

    def __init__(self, root: Path, spec: EncoderSpec) -> None:
        self.spec = spec
        self.path = root / spec.folder

    def commit(
        self, chunk: int, rows: Sequence[LedgerRow], embeddings: Mapping[str, np.ndarray], generation: int = 0
    ) -> list[LedgerRow]:
        """Commit one shard: a ledger row per utterance, and an embedding for each row without a reason.

        generation: of the plan's chunk, made under this writer's lock

        Returns the rows as written: a non-finite embedding becomes a `failed` row. Raises ShardError for an embedding
        of another shape.
        """
        final_rows: list[LedgerRow] = []
        stored: list[np.ndarray] = []
        for row in rows:
            if row.reason is None:
                array = stored_array(self.spec, embeddings[row.utterance_id])
                if np.isfinite(array).all():
                    row = replace(row, row=len(stored), crc32=row_crc32(array))
                    stored.append(array)
                else:
                    who = "the imported file has" if self.spec.is_foreign else "the encoder gave"
                    row = replace(row, reason=Reason.NON_FINITE, detail=f"{who} NaN or infinity")
            final_rows.append(row)
        frame = ledger_frame(final_rows)
        commit_shard(
            self.path,
            chunk,
            self.spec.fingerprint,
            shard_bytes(self.spec, stored),
            lambda name: ledger_bytes(frame, _metadata(self.spec, name)),
            len(final_rows),
            len(stored),
            generation,
        )
        return final_rows


@contextmanager
def open_writer(
    root: Path,
    spec: EncoderSpec,
    shard: tuple[int, int] | None = None,
    agreement: str = "",
    top: Top | None = None,
) -> Iterator[FeatureWriter]:
    """Make the feature's folder if it does not exist, and lock it. Without `shard`, also remove what an interrupted
    commit left.

    top:       for a spec with `from_top`: the layers to write beside the shards, unless they are there already
    agreement: with `shard`: what all slices that run must have in common, see `writer_lock`
    Raises StoreBusyError if another run holds the lock, and StoreError if the folder cannot be written.
    """
    folder = root / spec.folder
    with ExitStack() as stack:
        with clear_write_errors(folder):
            make_folder_durably(folder)
            alone = stack.enter_context(writer_lock(folder, shard, agreement)) and shard is None
            if not (folder / "spec.json").exists():
                write_once(folder, "spec.json", spec.to_json())
            # The stored spec may name another model path: that is recorded, and changes no number.
            stored = Feature(root, spec.folder).spec
            if stored.fingerprint != spec.fingerprint:
                raise StoreError(f"{folder}: holds another feature whose fingerprint begins so: give it --as NAME")
            if alone:
                for path in list(orphans(folder)):
                    path.unlink(missing_ok=True)
            if stored.from_top:
                write_top(folder, stored, top, alone=alone)
        yield FeatureWriter(root, stored)


@contextmanager
def open_planned(
    root: Path,
    spec: EncoderSpec,
    manifest: Manifest,
    chunk_bounds: Sequence[tuple[int, int]],
    options: PlanOptions | None = None,
    hashes: MediaDigests | None = None,
    top: Top | None = None,
) -> Iterator[tuple[FeatureWriter, Plan]]:
    """A writer, and what is left for it, planned under its lock: what another run has committed until then is done.

    top: see `open_writer`. Older rows that hold again are written again first. Raises as `open_writer` and `make_plan`.
    """
    options = options or PlanOptions()
    agreement = slice_agreement(manifest, spec, chunk_bounds, options.shard) if options.shard else ""
    with open_writer(root, spec, options.shard, agreement, top) as writer:
        plan = make_plan(manifest, spec, root, chunk_bounds, options, hashes)
        write_found(writer, root, manifest, plan)
        yield writer, plan


def slice_agreement(
    manifest: Manifest, spec: EncoderSpec, chunk_bounds: Sequence[tuple[int, int]], shard: tuple[int, int]
) -> str:
    """A digest of all that decides which utterances a slice has: those of other manifests or numbers may overlap."""
    return digest_of("slices", shard[1], manifest.ids, manifest.source_digests(spec.depends), chunk_bounds)


def write_found(writer: FeatureWriter, root: Path, manifest: Manifest, plan: Plan) -> None:
    """Commit older rows that hold again (an edit of a clip that was undone) as the newest, with the clip's new time."""
    if not plan.found:
        return
    feature = Feature(root, plan.spec.folder)
    generation = feature.names[-1].generation + 1
    ledgers: dict[ShardName, dict[str, LedgerRow]] = {}
    for first in range(0, len(plan.found), _FOUND_TOGETHER):
        rows, embeddings = [], {}
        for item in plan.found[first : first + _FOUND_TOGETHER]:
            utterance_id = manifest.ids[item.position]
            if item.shard not in ledgers:
                frame = read_ledger(feature.path / f"{item.shard.stem}.parquet")
                ledgers[item.shard] = {row.utterance_id: row for row in ledger_rows(frame)}
            older = ledgers[item.shard][utterance_id]
            rows.append(replace(older, row=None, crc32=None, media_size=item.size, media_mtime_ns=item.mtime_ns))
            embeddings[utterance_id] = np.array(feature.shard(item.shard).row(item.row))
        writer.commit(first // _FOUND_TOGETHER, rows, embeddings, generation)


@cache
def library_versions() -> dict[str, str]:
    """Package -> version of what the numbers may depend on, as ledgers record it. Not to be changed."""
    found = {}
    for package in _RECORDED_PACKAGES:
        with suppress(PackageNotFoundError):
            found[package] = version(package)
    return found


def _metadata(spec: EncoderSpec, name: ShardName) -> dict[str, str]:
    return {
        "erc.fingerprint": spec.fingerprint,
        "erc.shard": name.stem,
        SPEC: spec.to_json(),
        "erc.host": platform.node(),
        "erc.python": platform.python_version(),
        "erc.written_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        **{f"version.{package}": number for package, number in library_versions().items()},
    }


def write_feature(
    root: Path,
    spec: EncoderSpec,
    manifest: Manifest,
    embeddings: Mapping[str, np.ndarray],
    unavailable: Mapping[str, UnavailableError] | None = None,
    top: Top | None = None,
) -> Feature:
    """Store embeddings that were computed elsewhere, for the utterances of a manifest that have none yet.

    top: see `open_writer`
    Every utterance without a row must be in `embeddings` or in `unavailable`. Raises StoreError for one that is in
    neither.
    """
    unavailable = unavailable or {}
    bounds = manifest_chunks(manifest, whole_dialogues=False, waveform=spec.encoder == "waveform")
    with open_planned(root, spec, manifest, bounds, top=top) as (writer, plan):
        for chunk in plan.chunks:
            rows = []
            for position in chunk.positions:
                utterance_id = manifest.ids[position]
                error = unavailable.get(utterance_id)
                if error is None and utterance_id not in embeddings:
                    raise StoreError(f"{spec.folder}: no embedding for {utterance_id}, and no reason why")
                rows.append(
                    LedgerRow(
                        utterance_id,
                        plan.digests[position],
                        error.reason if error else None,
                        error.detail if error else None,
                    )
                )
            writer.commit(chunk.number, rows, embeddings, chunk.generation)
    return Feature(root, spec.folder)
