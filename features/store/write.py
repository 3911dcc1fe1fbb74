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

import numpy as np

from features.errors import Reason, StoreError, UnavailableError
from features.manifest import Manifest
from features.spec import EncoderSpec
from features.store.chunks import chunk_size, cut_chunks
from features.store.commit import (
    ShardName,
    clear_write_errors,
    commit_shard,
    make_folder_durably,
    orphans,
    write_once,
)
from features.store.feature import Feature
from features.store.ledger import LedgerRow, ledger_bytes, ledger_frame
from features.store.lock import writer_lock
from features.store.plan import make_plan
from features.store.shard import row_crc32, shard_bytes, stored_array

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


class FeatureWriter:
    """Commits the shards of one feature. Made by `open_writer`, which holds the lock."""

    def __init__(self, root: Path, spec: EncoderSpec) -> None:
        self.spec = spec
        self.path = root / spec.folder

    def commit(
        self, chunk: int, rows: Sequence[LedgerRow], embeddings: Mapping[str, np.ndarray], supersedes: bool
    ) -> list[LedgerRow]:
        """Commit one shard: a ledger row per utterance, and an embedding for each row without a reason.

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
                    row = replace(row, reason=Reason.NON_FINITE, detail="the encoder gave NaN or infinity")
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
            supersedes,
        )
        return final_rows


@contextmanager
def open_writer(root: Path, spec: EncoderSpec, shard: tuple[int, int] | None = None) -> Iterator[FeatureWriter]:
    """Make the feature's folder if it is new, lock it, and (in a plain run) clear what an interrupted commit left.

    Raises StoreBusyError where another run holds it, StoreError where the folder cannot be written.
    """
    folder = root / spec.folder
    with ExitStack() as stack:
        with clear_write_errors(folder):
            make_folder_durably(folder)
            alone = stack.enter_context(writer_lock(folder, shard)) and shard is None
            if not (folder / "spec.json").exists():
                write_once(folder, "spec.json", spec.to_json())
            # The stored spec may name another model path: that is recorded, and changes no number.
            if Feature(root, spec.folder).fingerprint != spec.fingerprint:
                raise StoreError(f"{folder}: holds another feature whose fingerprint begins so: give it --as NAME")
            if alone:
                for path in list(orphans(folder)):
                    path.unlink(missing_ok=True)
        yield FeatureWriter(root, spec)


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
) -> Feature:
    """Store embeddings that were computed elsewhere, for the utterances of a manifest that have none yet.

    Every utterance left must be in `embeddings` or in `unavailable`. Raises StoreError for one that is not.
    """
    unavailable = unavailable or {}
    size = chunk_size(len(manifest), spec.encoder == "waveform")
    with open_writer(root, spec) as writer:
        plan = make_plan(manifest, spec, root, cut_chunks(manifest.dialogue_bounds(), size))
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
            writer.commit(chunk.number, rows, embeddings, chunk.supersedes)
    return Feature(root, spec.folder)
