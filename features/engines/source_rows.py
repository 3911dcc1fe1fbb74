"""What an encoder that derives from another one's feature reads: rows of this run, and those of the store."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np

from features.errors import Reason, UnavailableError
from features.manifest import Manifest
from features.store.feature import Feature
from features.store.ledger import LedgerRow
from features.store.reading import is_there


class Making(Protocol):
    """The source's work on a chunk, as its rows and embeddings grow: `features.engines.chunk_work.ChunkWork`."""

    @property
    def wanted(self) -> frozenset[int]: ...
    @property
    def rows(self) -> Mapping[int, LedgerRow]: ...
    @property
    def embeddings(self) -> Mapping[str, np.ndarray]: ...
    def encode_waiting(self) -> None: ...


class StoredSource:
    """The feature that another derives from, opened once: its rows from before this run do not change in it."""

    def __init__(self, root: Path, folder: str, manifest: Manifest) -> None:
        self.folder = folder
        exists = is_there(root / folder / "spec.json")
        self.feature = Feature(root, folder).fitting(manifest) if exists else None


class SourceRows:
    """What an encoder derives from: the rows that its source makes of the same chunk, else those of the store."""

    def __init__(self, manifest: Manifest, positions: Sequence[int], stored: StoredSource, made: Making | None) -> None:
        """positions: the manifest's rows that are to be derived

        stored: what earlier runs left; made: the source's work on the same chunk, where it has any
        """
        self._folder = stored.folder
        self._made = made
        self._making = made.wanted if made else frozenset()
        ids = [manifest.ids[position] for position in positions if position not in self._making]
        self._stored: dict[str, np.ndarray | None] = {}
        self._reasons: dict[str, str | None] = {}
        if ids and stored.feature is not None:
            self._stored = dict(zip(ids, stored.feature.read_sequences(ids), strict=True))
            self._reasons = dict(zip(ids, stored.feature.reasons(ids), strict=True))

    def encode_waiting(self) -> None:
        """Put what is waiting for the source's encoder into the queue."""
        if self._made is not None:
            self._made.encode_waiting()

    def of(self, position: int, utterance_id: str) -> np.ndarray:
        """The source's embedding of an utterance. Raises UnavailableError with its reason where it has none."""
        if self._made is not None and position in self._making:
            found = self._made.embeddings.get(utterance_id)
            if found is None:
                row = self._made.rows[position]
                raise UnavailableError(row.reason or Reason.UNPREPARED, row.detail or "")
            if not np.isfinite(found).all():
                raise UnavailableError(Reason.NON_FINITE, f"{self._folder} gave NaN or infinity")
            return found
        stored = self._stored.get(utterance_id)
        if stored is None:
            reason = self._reasons.get(utterance_id)
            known = Reason(reason) if reason in set(Reason) else Reason.UNPREPARED
            raise UnavailableError(known, f"{self._folder} has no embedding of it")
        return stored
