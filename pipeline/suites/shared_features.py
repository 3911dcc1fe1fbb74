"""Normalised features in files that all the experiments and workers that read them share."""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from features.errors import TrainingError
from features.store import Feature
from heads.data.data import FeatureRows, FeatureShape, fit_feature
from heads.data.normalise import Normaliser
from heads.data.utterances import Utterances
from pipeline.suites.plan import Planned, Source


@dataclass(frozen=True)
class SharedFeature:
    """A normalised feature in a file that every worker maps, so that memory holds it once.

    values: a .npy file; the other fields are those of `heads.data.data.FeatureRows`
    """

    modality: str
    folder: str
    fingerprint: str
    normaliser: Normaliser
    values: Path
    present: np.ndarray
    shape: FeatureShape
    offsets: np.ndarray | None
    scale: float

    @classmethod
    def make(cls, feature: Feature, utterances: Utterances, normalise: str, path: Path) -> SharedFeature:
        """Read and normalise a feature straight into the file, so that it need not fit in memory.

        Raises TrainingError where the disk has no room for it.
        """
        try:
            rows = fit_feature(feature, utterances, normalise, lambda shape, dtype: _new_file(path, shape, dtype))
        except OSError as error:
            path.unlink(missing_ok=True)  # others may have room
            if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
                raise
            raise TrainingError(
                f"{feature.folder}: {path.parent} has no room for its normalised rows: free some, or name another"
                " folder for temporary files, as in TMPDIR=/scratch erc ..."
            ) from error
        return cls(
            rows.modality,
            rows.folder,
            feature.fingerprint,
            rows.normaliser,
            path,
            rows.present,
            rows.shape,
            rows.offsets,
            rows.scale,
        )

    def open(self) -> FeatureRows:
        # Copy-on-write: the pages are shared as long as nobody writes, and torch takes no read-only arrays.
        values = np.load(self.values, mmap_mode="c", allow_pickle=False)
        if self.shape.shape == ():
            values = values.reshape(-1)
        return FeatureRows(
            self.modality,
            self.folder,
            self.normaliser,
            values,
            self.present,
            self.shape,
            self.offsets,
            self.scale,
        )


def _new_file(path: Path, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """A mapped .npy file whose place on the disk is there: a process that writes to a mapped page without one dies."""
    values = np.lib.format.open_memmap(path, "w+", dtype, shape)
    if hasattr(os, "posix_fallocate"):  # which macOS and Windows lack
        with path.open("r+b") as file:
            os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
    return values


class SharedFeatures:
    """Normalised features as files, each made once for all the experiments that read it."""

    def __init__(self, source: Source, workspace: Path) -> None:
        self.source = source
        self.workspace = workspace
        self._made: dict[tuple[str, str], SharedFeature] = {}

    def of(self, planned: Planned) -> dict[str, tuple[SharedFeature, ...]]:
        return {
            modality: tuple(self._one(feature, planned.experiment.normalise) for feature in items)
            for modality, items in planned.features.items()
        }

    def _one(self, feature: Feature, normalise: str) -> SharedFeature:
        key = (feature.folder, normalise)
        if key not in self._made:
            self.workspace.mkdir(parents=True, exist_ok=True)
            path = self.workspace / f"{len(self._made)}.npy"
            self._made[key] = SharedFeature.make(feature, self.source.utterances, normalise, path)
        return self._made[key]
