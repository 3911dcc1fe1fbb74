"""Ways of reading stored features: whole, in random minibatches, and through torch's DataLoader.

What they read is told by `rows`: every 61st column, and the sum of each row. The files were written a moment before, so
that they lie in the memory of the operating system for all; what is timed is opening, checking, copying and joining.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.inputs.meld_features import FEATURES, file_of

NAMES = [name for name, _ in FEATURES.values()]
BATCH = 32


def shown(arrays: Sequence[np.ndarray]) -> np.ndarray:
    """float64 [n, columns]: what tells arrays [n, width] from others, in a small part of their size."""
    parts = [np.column_stack([rows[:, ::61], rows.sum(1, dtype=np.float64)]) for rows in arrays]
    return np.concatenate(parts, axis=1)


class Whole:
    """All features as arrays float32 [n, width] in the manifest's order. read: opens and reads them"""

    def __init__(self, read: Callable[[], list[np.ndarray]]) -> None:
        self._read = read

    def __call__(self) -> None:
        arrays = self._read()
        assert all(rows.dtype == np.float32 and rows.shape[1:] == (width,) for rows, (_, width) in _pairs(arrays))

    def rows(self) -> np.ndarray:
        return shown(self._read())


def _pairs(arrays: list[np.ndarray]) -> Iterator[tuple[np.ndarray, tuple[str, int]]]:
    return zip(arrays, FEATURES.values(), strict=True)


def whole_load(place: str) -> Whole:
    from features import load

    folder = Path(place)

    def read() -> list[np.ndarray]:
        return [
            load(name, manifest=folder / "manifest.parquet", store=folder / "store").tensor.numpy() for name in NAMES
        ]

    return Whole(read)


def whole_feature(place: str) -> Whole:
    from features.manifest import read_manifest
    from features.store import Store

    folder = Path(place)

    def read() -> list[np.ndarray]:
        manifest = read_manifest(folder / "manifest.parquet")
        store = Store(folder / "store", manifest)
        return [store.choose(modality, name).read(manifest.ids).values for modality, (name, _) in FEATURES.items()]

    return Whole(read)


def whole_npy(place: str) -> Whole:
    return Whole(lambda: [np.load(Path(place) / "npy" / f"{name}.npy") for name in NAMES])


def whole_safetensors(place: str) -> Whole:
    from safetensors.numpy import load_file

    def read() -> list[np.ndarray]:
        found = load_file(Path(place) / "all.safetensors")
        return [found[name] for name in NAMES]

    return Whole(read)


def whole_datasets(place: str) -> Whole:
    import datasets

    def read() -> list[np.ndarray]:
        found = datasets.load_from_disk(str(Path(place) / "datasets")).with_format("numpy")[:]
        return [found[name] for name in NAMES]

    return Whole(read)


def whole_lance(place: str) -> Whole:
    import lance

    return Whole(lambda: _of_table(lance.dataset(str(Path(place) / "lance")).to_table()))


def _of_table(table: Any) -> list[np.ndarray]:
    """The arrays of an Arrow table, copied where it has them in several pieces."""
    columns = [table.column(name).combine_chunks() for name in NAMES]
    return [
        column.flatten().to_numpy(zero_copy_only=False).reshape(-1, width)
        for column, (_, width) in zip(columns, FEATURES.values(), strict=True)
    ]


def whole_files(place: str) -> Whole:
    folder, ids = Path(place) / "files", _ids(place)

    def read() -> list[np.ndarray]:
        return [np.stack([np.load(file_of(folder, name, utterance)) for utterance in ids]) for name in NAMES]

    return Whole(read)


def _ids(place: str) -> list[str]:
    from features.manifest import read_manifest

    return read_manifest(Path(place) / "manifest.parquet").ids


class Minibatches(ABC):
    """Random minibatches of BATCH utterances, all features of each as float32 [BATCH, width] of its own memory.

    Opening is not timed. The rows are drawn with the same seed for all.
    """

    def __init__(self, place: str, batches: int) -> None:
        self.place = Path(place)
        self.ids = _ids(place)
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
        return _of_table(self.data.take(rows.tolist()))


class FilesBatches(Minibatches):
    """np.load of an utterance's own file."""

    def batch(self, rows: np.ndarray) -> list[np.ndarray]:
        folder = self.place / "files"
        return [np.stack([np.load(file_of(folder, name, self.ids[row])) for row in rows.tolist()]) for name in NAMES]


def one_split(place: Path, dataset: Any) -> Any:
    """FeatureDataset of a manifest all of whose utterances are of one split."""
    import polars as pl

    from features.manifest import build_manifest, read_manifest

    whole = read_manifest(place / "manifest.parquet")
    # source digests are of texts: a split's name is in none of them
    manifest = build_manifest(whole.frame.with_columns(split=pl.lit("train")), whole.card)
    return dataset(place / "store", manifest, {modality: name for modality, (name, _) in FEATURES.items()}, "train")


class Epoch:
    """An epoch of a DataLoader with batches of 64 in a shuffled order, the same for all; workers start with it."""

    def __init__(self, data: Any, workers: int, batches: Callable[[Any], list[Any]], collate: Any = None) -> None:
        import torch
        from torch.utils.data import DataLoader

        torch.set_num_threads(1)
        order = np.random.default_rng(0).permutation(len(data)).tolist()
        self._loader = DataLoader(data, batch_size=64, sampler=order, num_workers=workers, collate_fn=collate)
        self._batches = batches

    def __call__(self) -> None:
        for batch in self._loader:
            self._batches(batch)

    def rows(self) -> np.ndarray:
        return np.concatenate([shown([part.numpy() for part in self._batches(batch)]) for batch in self._loader])


def epoch_features(place: str, workers: int) -> Epoch:
    from features.torch import FeatureDataset, collate

    return Epoch(
        one_split(Path(place), FeatureDataset),
        workers,
        lambda batch: [batch["inputs"][key] for key in FEATURES],
        collate,
    )


def epoch_tensors(place: str, workers: int) -> Epoch:
    """All features in memory, as torch's own TensorDataset: read before the epoch."""
    import torch
    from torch.utils.data import TensorDataset

    arrays = [torch.from_numpy(np.load(Path(place) / "npy" / f"{name}.npy")) for name in NAMES]
    labels = torch.zeros(len(arrays[0]), dtype=torch.int64)
    return Epoch(TensorDataset(*arrays, labels), workers, lambda batch: batch[:-1])


def epoch_memmap(place: str, workers: int) -> Epoch:
    """A dataset over np.memmap, as users write it where memory does not hold the features."""
    import torch
    from torch.utils.data import Dataset

    arrays = [np.load(Path(place) / "npy" / f"{name}.npy", mmap_mode="r") for name in NAMES]

    class Mapped(Dataset[tuple[Any, ...]]):
        def __len__(self) -> int:
            return len(arrays[0])

        def __getitem__(self, place: int) -> tuple[Any, ...]:
            return (*(torch.from_numpy(np.array(rows[place])) for rows in arrays), 0)

    return Epoch(Mapped(), workers, lambda batch: batch[:-1])
