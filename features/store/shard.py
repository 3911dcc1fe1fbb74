"""One shard's tensors: an HDF5 file that a reader can memory-map.

A vector or stack feature is `/embedding`, [n, *shape]; a sequence feature is `/values`, [sum of lengths, *shape], with
`/offsets`, int64 [n + 1]. Datasets are contiguous, uncompressed and aligned, and the file holds nothing else.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import h5py
import numpy as np

from features.errors import ShardError
from features.spec import EncoderSpec
from features.store.reading import REPAIR, read_error

_ALIGNMENT = 64


def stored_array(spec: EncoderSpec, array: np.ndarray) -> np.ndarray:
    """An embedding as the shard keeps it: C-contiguous, little-endian, in the stored dtype.

    Raises ShardError where the shape is not the spec's.
    """
    shape = array.shape[1:] if spec.kind == "sequence" else array.shape
    if shape != spec.shape or (spec.kind == "sequence" and array.ndim != len(spec.shape) + 1):
        raise ShardError(
            f"{spec.folder}: an embedding has shape {array.shape}, the spec says {spec.kind} of {spec.shape}"
        )
    with np.errstate(over="ignore"):  # what does not fit becomes infinite, and is told of as that
        return np.ascontiguousarray(array, dtype=np.dtype(spec.stored_dtype).newbyteorder("<"))


def row_crc32(stored: np.ndarray) -> int:
    """crc32 of a stored embedding's bytes."""
    return zlib.crc32(stored.tobytes())


def shard_bytes(spec: EncoderSpec, rows: Sequence[np.ndarray]) -> bytes:
    """The HDF5 file of one shard's stored arrays; equal arrays give equal bytes.

    Made in memory, so that only plain writes meet a full disk: HDF5 may crash where closing a file fails.
    """
    dtype = np.dtype(spec.stored_dtype).newbyteorder("<")
    in_memory = {"driver": "core", "backing_store": False}
    with h5py.File("shard", "w", **in_memory, alignment_threshold=1, alignment_interval=_ALIGNMENT) as file:
        file.attrs["fingerprint"] = spec.fingerprint
        if spec.kind == "sequence":
            lengths = np.array([len(row) for row in rows], dtype="<i8")
            offsets = np.concatenate([np.zeros(1, "<i8"), np.cumsum(lengths, dtype="<i8")])
            file.create_dataset("offsets", data=offsets)
            total = int(offsets[-1])
            values = np.concatenate(rows) if total else np.zeros((0, *spec.shape), dtype)
            file.create_dataset("values", data=values, dtype=dtype)
        else:
            stacked = np.stack(rows) if rows else np.zeros((0, *spec.shape), dtype)
            file.create_dataset("embedding", data=stacked, dtype=dtype)
        file.flush()
        image: bytes = file.id.get_file_image()
    return image


@dataclass(frozen=True)
class Shard:
    """A checked shard.

    values:  a read-only memory map, as a plain array: one row of an `np.memmap` takes ten times as long to take
    begin:   where they begin in the file, in bytes; None where there are none, and nothing is mapped
    offsets: int64 [n + 1] for a sequence, else None
    """

    path: Path
    values: np.ndarray
    begin: int | None
    offsets: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.values) if self.offsets is None else len(self.offsets) - 1

    def row(self, row: int) -> np.ndarray:
        """One stored embedding (a view of the map). Raises ShardError for a row that there is not."""
        if row is None or not 0 <= row < len(self):
            raise self._no_row(row)
        if self.offsets is None:
            return self.values[row]
        return self.values[self.offsets[row] : self.offsets[row + 1]]

    def take(self, rows: np.ndarray) -> np.ndarray:
        """Stored embeddings of a vector or stack feature, [len(rows), *shape]. Raises as `row`."""
        return self.values[self._checked(rows)]

    def span(self, first: int, count: int) -> np.ndarray:
        """So many stored embeddings of a vector or stack feature from one on, as a view. Raises as `row`."""
        if not 0 <= first <= len(self) - count:
            raise self._no_row(first if first < 0 else first + count - 1)
        return self.values[first : first + count]

    def lengths(self, rows: np.ndarray) -> np.ndarray:
        """int64 [len(rows)], of sequences; 1 for other features. Raises as `row`."""
        rows = self._checked(rows)
        return np.ones(len(rows), np.int64) if self.offsets is None else np.diff(self.offsets)[rows]

    def _checked(self, rows: np.ndarray) -> np.ndarray:
        if len(rows) and (rows.dtype.kind != "i" or rows.min() < 0 or rows.max() >= len(self)):
            raise self._no_row(rows.max())
        return rows

    def _no_row(self, row: object) -> ShardError:
        return ShardError(f"{self.path}: has {len(self)} rows, its ledger asks for row {row}: {REPAIR}")


def open_shard(path: Path, spec: EncoderSpec, size: int | None = None) -> Shard:
    """Open a shard for reading without reading its tensors.

    Raises ShardError where the file is absent, its size is not `size`, its fingerprint, shapes or dtypes are not the
    spec's, or its datasets are external, virtual, chunked, filtered or behind a link. Raises UnreadableError where it
    cannot be read.
    """
    try:
        with path.open("rb") as file:
            found = os.fstat(file.fileno()).st_size
            if size is not None and found != size:
                raise ShardError(f"{path}: is {found} bytes, its commit record says {size}: {REPAIR}")
            # A committed file is never written again, so it needs no lock, which some file systems do not have. HDF5
            # reads through Python's file, whose errors keep their number.
            with h5py.File(file, "r", locking=False) as tensors:
                return _checked(path, file, tensors, spec)
    except OSError as error:
        if error.errno is not None:
            raise read_error(path, error) from error
        raise _not_of_the_form(path, error) from error  # HDF5's own, of what it read
    except (KeyError, RuntimeError, ValueError, TypeError, AttributeError, OverflowError) as error:
        raise _not_of_the_form(path, error) from error


def _not_of_the_form(path: Path, error: Exception) -> ShardError:
    return ShardError(f"{path}: cannot be opened: {error}: {REPAIR}")


def _checked(path: Path, file: BinaryIO, tensors: h5py.File, spec: EncoderSpec) -> Shard:
    fingerprint = tensors.attrs.get("fingerprint")
    if not isinstance(fingerprint, str) or fingerprint != spec.fingerprint:
        raise ShardError(f"{path}: holds another feature (fingerprint {str(fingerprint)[:8]}): {REPAIR}")
    names = {"offsets", "values"} if spec.kind == "sequence" else {"embedding"}
    if set(tensors) != names:
        raise ShardError(f"{path}: holds {sorted(tensors)}, expected {sorted(names)}: {REPAIR}")
    dtype = np.dtype(spec.stored_dtype).newbyteorder("<")
    if spec.kind != "sequence":
        return Shard(path, *_map(path, file, tensors, "embedding", dtype, spec.shape))
    values, begin = _map(path, file, tensors, "values", dtype, spec.shape)
    offsets = np.array(_map(path, file, tensors, "offsets", np.dtype("<i8"), ())[0])
    if len(offsets) < 1 or offsets[0] != 0 or offsets[-1] != len(values) or (np.diff(offsets) < 0).any():
        raise ShardError(f"{path}: /offsets do not fit /values: {REPAIR}")
    return Shard(path, values, begin, offsets)


def _map(
    path: Path, file: BinaryIO, tensors: h5py.File, name: str, dtype: np.dtype, shape: tuple[int, ...]
) -> tuple[np.ndarray, int | None]:
    """Memory-map one dataset, after checking that it is plain; with where it begins. One without values is no map."""
    if not isinstance(tensors.get(name, getlink=True), h5py.HardLink):
        raise ShardError(f"{path}: /{name} is a link: refused")
    dataset = tensors[name]
    if not isinstance(dataset, h5py.Dataset) or dataset.is_virtual or dataset.external or dataset.chunks is not None:
        raise ShardError(f"{path}: /{name} is external, virtual or chunked: refused")
    if dataset.id.get_create_plist().get_nfilters():
        raise ShardError(f"{path}: /{name} is filtered: refused")
    if dataset.dtype != dtype or dataset.ndim != len(shape) + 1 or dataset.shape[1:] != shape:
        raise ShardError(f"{path}: /{name} is {dataset.dtype} {dataset.shape}, the spec says {dtype} [n, {shape}]")
    if dataset.size == 0:
        return np.zeros(dataset.shape, dtype), None
    offset = dataset.id.get_offset()
    if offset is None or offset + dataset.nbytes > os.fstat(file.fileno()).st_size:
        raise ShardError(f"{path}: /{name} reaches past the end of the file")
    return map_values(file, dtype, offset, dataset.shape), offset


def map_values(file: BinaryIO | Path, dtype: np.dtype, begin: int, shape: tuple[int, ...]) -> np.ndarray:
    """A read-only map of a part of a file, as a plain array. Raises OSError where it cannot be opened."""
    return np.memmap(file, dtype, "r", begin, shape).view(np.ndarray)
