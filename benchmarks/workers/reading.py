"""Ways of reading stored features: whole, and through torch's DataLoader; minibatches.py has random minibatches.

What they read is told by `rows`: every 61st column, and the sum of each row. The files were written a moment before, so
that they lie in the memory of the operating system for all; what is timed is opening, checking, copying and joining.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.inputs.meld_features import FEATURES, file_of

NAMES = [name for name, _ in FEATURES.values()]


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

    return Whole(lambda: of_table(lance.dataset(str(Path(place) / "lance")).to_table()))


def of_table(table: Any) -> list[np.ndarray]:
    """The arrays of an Arrow table, copied where it has them in several pieces."""
    columns = [table.column(name).combine_chunks() for name in NAMES]
    return [
        column.flatten().to_numpy(zero_copy_only=False).reshape(-1, width)
        for column, (_, width) in zip(columns, FEATURES.values(), strict=True)
    ]


def whole_files(place: str) -> Whole:
    folder, ids = Path(place) / "files", ids_of(place)

    def read() -> list[np.ndarray]:
        return [np.stack([np.load(file_of(folder, name, utterance)) for utterance in ids]) for name in NAMES]

    return Whole(read)


def ids_of(place: str) -> list[str]:
    from features.manifest import read_manifest

    return read_manifest(Path(place) / "manifest.parquet").ids


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
