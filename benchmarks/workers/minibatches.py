"""Ways of reading random minibatches out of stored features; see reading.py."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path

import numpy as np

from benchmarks.inputs.meld_features import FEATURES, file_of
from benchmarks.workers.reading import NAMES, ids_of, of_table, one_split, shown

BATCH = 32


class Minibatches(ABC):
    """Random minibatches of BATCH utterances, all features of each as float32 [BATCH, width] of its own memory.

    Opening is not timed. The rows are drawn with the same seed for all.
    """

    def __init__(self, place: str, batches: int) -> None:
        self.place = Path(place)
        self.ids = ids_of(place)
        rng = np.random.default_rng(0)
        self.drawn = [rng.choice(len(self.ids), BATCH, replace=False) for _ in range(batches)]

    @abstractmethod
    def batch(self, rows: np.ndarray) -> list[np.ndarray]: ...

    def __call__(self) -> None:
        for rows in self.drawn:
            self.batch(rows)

    def rows(self) -> np.ndarray:
        return np.concatenate([shown([np.asarray(part) for part in self.batch(rows)]) for rows in self.drawn])


class FeatureBatches(Minibatches):
    """Feature.read of the batch's ids."""

    def __init__(self, place: str, batches: int) -> None:
        from features.manifest import read_manifest
        from features.store import Store

        super().__init__(place, batches)
        store = Store(self.place / "store", read_manifest(self.place / "manifest.parquet"))
        self.features = [store.choose(modality, name) for modality, (name, _) in FEATURES.items()]

    def batch(self, rows: np.ndarray) -> list[np.ndarray]:
        ids = [self.ids[row] for row in rows.tolist()]
        return [feature.read(ids).values for feature in self.features]


class DatasetBatches(Minibatches):
    """FeatureDataset's items, and `collate`: with labels, speakers, dialogues and what is absent."""

    def __init__(self, place: str, batches: int) -> None:
        from features.torch import FeatureDataset

        super().__init__(place, batches)
        self.data = one_split(self.place, FeatureDataset)

    def batch(self, rows: np.ndarray) -> list[np.ndarray]:
        from features.torch import collate

        inputs = collate([self.data[row] for row in rows.tolist()])["inputs"]
        return [inputs[modality].numpy() for modality in FEATURES]


class MemmapBatches(Minibatches):
    """np.load(mmap_mode="r") of one .npy a feature, indexed by the rows."""

    def __init__(self, place: str, batches: int) -> None:
        super().__init__(place, batches)
        self.arrays = [np.load(self.place / "npy" / f"{name}.npy", mmap_mode="r") for name in NAMES]

    def batch(self, rows: np.ndarray) -> list[np.ndarray]:
        return [array[rows] for array in self.arrays]


class SafetensorsBatches(Minibatches):
    """safe_open, a slice a row: it takes no list of rows."""

    def __init__(self, place: str, batches: int) -> None:
        from safetensors import safe_open

        super().__init__(place, batches)
        self.file = safe_open(self.place / "all.safetensors", framework="numpy")
        self.slices = [self.file.get_slice(name) for name in NAMES]

    def batch(self, rows: np.ndarray) -> list[np.ndarray]:
        return [np.concatenate([part[row : row + 1] for row in rows.tolist()]) for part in self.slices]


class DatasetsBatches(Minibatches):
    """Hugging Face datasets, with_format("numpy"), indexed by the rows."""

    def __init__(self, place: str, batches: int) -> None:
        import datasets

        super().__init__(place, batches)
        self.data = datasets.load_from_disk(str(self.place / "datasets")).with_format("numpy")

    def batch(self, rows: np.ndarray) -> list[np.ndarray]:
        found = self.data[rows.tolist()]
        return [found[name] for name in NAMES]


class LanceBatches(Minibatches):
    """lance's `take`."""

    def __init__(self, place: str, batches: int) -> None:
        import lance

        super().__init__(place, batches)
        self.data = lance.dataset(str(self.place / "lance"))

    def batch(self, rows: np.ndarray) -> list[np.ndarray]:
        return of_table(self.data.take(rows.tolist()))


class FilesBatches(Minibatches):
    """np.load of an utterance's own file."""

    def batch(self, rows: np.ndarray) -> list[np.ndarray]:
        folder = self.place / "files"
        return [np.stack([np.load(file_of(folder, name, self.ids[row])) for row in rows.tolist()]) for name in NAMES]
