"""Reading an export back, as `features.store.export` wrote it: its rows, block by block, with the crc32 of each.

What is read may be damaged: where it contradicts itself StoreError is raised, and libraries raise what they like.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, NamedTuple

import h5py
import numpy as np

from features.errors import StoreError
from features.spec import EncoderSpec
from features.store.export_parquet import embedding_type
from features.store.stream import BLOCK_BYTES

Format = Literal["parquet", "hdf5", "npy"]


class ExportedRows(NamedTuple):
    """Consecutive rows: the id of each, its embedding in the stored dtype, and its crc32; None where it has none."""

    ids: list[str]
    values: list[np.ndarray | None]
    crc32: list[int | None]


Opened = tuple[EncoderSpec, Iterator[ExportedRows]]


def export_format(path: Path) -> Format:
    """Which format an export is of. Raises StoreError for a file whose first bytes are of none."""
    if path.is_dir():
        return "npy"
    with path.open("rb") as file:
        start = file.read(8)
    if start[:4] == b"PAR1":
        return "parquet"
    if start == b"\x89HDF\r\n\x1a\n":
        return "hdf5"
    raise StoreError("begins neither as Parquet nor as HDF5: it is no export, or damaged there")


@contextmanager
def open_export(path: Path, file_format: Format) -> Iterator[Opened]:
    """What the numbers are, and the rows. HDF5 and .npy hold only those with an embedding."""
    opened = {"parquet": _open_parquet, "hdf5": _open_hdf5, "npy": _open_npy}[file_format]
    with opened(path) as found:
        yield found


@contextmanager
def _open_parquet(path: Path) -> Iterator[Opened]:
    import pyarrow.parquet as pq

    with pq.ParquetFile(path) as file:
        schema = file.schema_arrow
        if b"erc.spec" not in (schema.metadata or {}):
            raise StoreError("is no Parquet file of `erc store export`: its metadata has no erc.spec")
        spec = EncoderSpec.from_json(schema.metadata[b"erc.spec"].decode(), "erc.spec")
        for name in ("utterance_id", "crc32", "embedding"):
            if name not in schema.names:
                raise StoreError(f"has no column {name}: export it again")
        if schema.field("embedding").type != embedding_type(spec.kind, spec.shape, spec.stored_dtype):
            raise StoreError(f"embedding is {schema.field('embedding').type}, which is not what erc.spec says")
        yield spec, _parquet_rows(file, spec)


def _parquet_rows(file: Any, spec: EncoderSpec) -> Iterator[ExportedRows]:
    for group in range(file.num_row_groups):
        table = file.read_row_group(group, columns=["utterance_id", "crc32", "embedding"])
        yield ExportedRows(
            table["utterance_id"].to_pylist(),
            _list_rows(table["embedding"].combine_chunks(), spec),
            table["crc32"].to_pylist(),
        )


def _list_rows(column: Any, spec: EncoderSpec) -> list[np.ndarray | None]:
    """The rows of an Arrow array of (nested) lists, each [*shape], or [length, *shape]; None for a null."""
    import pyarrow.compute as pc

    flat = valid = column.drop_null()
    for _ in range(len(spec.shape) + (spec.kind == "sequence")):
        flat = flat.flatten()
    if flat.null_count:
        raise StoreError("embedding has null within an embedding")
    numbers = flat.to_numpy(zero_copy_only=False)
    if spec.kind == "sequence":
        ends = np.cumsum(pc.list_value_length(valid).to_numpy(zero_copy_only=False))
        rows = np.split(numbers.reshape(-1, *spec.shape), ends[:-1]) if len(valid) else []
    else:
        rows = list(numbers.reshape(len(valid), *spec.shape))
    found: list[np.ndarray | None] = [None] * len(column)
    for position, row in zip(np.flatnonzero(column.is_valid().to_numpy(zero_copy_only=False)), rows, strict=True):
        found[position] = row
    return found


@contextmanager
def _open_hdf5(path: Path) -> Iterator[Opened]:
    with h5py.File(path, "r", locking=False) as file:
        if "spec" not in file.attrs:
            raise StoreError("is no HDF5 file of `erc store export`: it has no attribute spec")
        spec = EncoderSpec.from_json(str(file.attrs["spec"]), "its attribute spec")
        is_sequence = spec.kind == "sequence"
        for name in ("utterance_id", "crc32", *(("values", "offsets") if is_sequence else ("embedding",))):
            _check_dataset(file, name, path.stat().st_size)
        ids = file["utterance_id"].asstr()[:].tolist()
        offsets = file["offsets"][:] if is_sequence else None
        dataset = file["values" if is_sequence else "embedding"]
        _check_shapes(spec, dataset.dtype, dataset.shape, offsets, len(ids), file["crc32"])
        yield spec, _array_rows(spec, ids, file["crc32"][:], offsets, lambda start, stop: dataset[start:stop])


def _check_dataset(file: h5py.File, name: str, size: int) -> None:
    """Raises StoreError for a dataset that is absent, lies elsewhere, or is larger than the file could hold."""
    if name not in file:
        raise StoreError(f"has no /{name}: export it again")
    dataset = file[name]
    is_here = isinstance(file.get(name, getlink=True), h5py.HardLink) and isinstance(dataset, h5py.Dataset)
    if not is_here or dataset.is_virtual or dataset.external or dataset.size * dataset.dtype.itemsize > size:
        raise StoreError(f"/{name} is not a plain dataset of this file")


@contextmanager
def _open_npy(path: Path) -> Iterator[Opened]:
    spec = EncoderSpec.from_json((path / "spec.json").read_text(encoding="utf-8"), "spec.json")
    is_sequence = spec.kind == "sequence"
    values = path / ("values.npy" if is_sequence else "embedding.npy")
    ids = json.loads((path / "ids.json").read_text(encoding="utf-8"))
    crc32, mapped = _load(path / "crc32.npy"), _load(values)
    offsets = np.array(_load(path / "offsets.npy")) if is_sequence else None
    _check_shapes(spec, mapped.dtype, mapped.shape, offsets, len(ids), crc32)
    _check_utterances(path / "utterances.parquet", ids, crc32)
    # Opened anew for each block: what is read of a map counts as memory until it is closed.
    yield spec, _array_rows(spec, ids, crc32, offsets, lambda start, stop: np.array(_load(values)[start:stop]))


def _load(path: Path) -> np.ndarray:
    """A map: a damaged header cannot ask for more memory than the file has bytes."""
    loaded: np.ndarray = np.load(path, mmap_mode="r", allow_pickle=False)
    return loaded


def _check_utterances(path: Path, ids: list[str], crc32: np.ndarray) -> None:
    """Raises StoreError where the table of all utterances and the array's own lists say different things."""
    import pyarrow.parquet as pq

    names = ("utterance_id", "row", "crc32")
    with path.open("rb") as file:
        table = pq.ParquetFile(file).read(list(names))
    rows = [item for item in zip(*(table[name].to_pylist() for name in names), strict=True) if item[1] is not None]
    if rows != list(zip(ids, range(len(ids)), crc32.tolist(), strict=True)):
        raise StoreError("utterances.parquet has other rows than ids.json and crc32.npy")


def _check_shapes(
    spec: EncoderSpec, dtype: np.dtype, shape: tuple[int, ...], offsets: np.ndarray | None, count: int, crc32: Any
) -> None:
    total = count
    if offsets is not None:
        if offsets.shape != (count + 1,) or offsets.dtype.kind != "i" or offsets[0] or (np.diff(offsets) < 0).any():
            raise StoreError(f"offsets are not those of {count} sequences")
        total = int(offsets[-1])
    expected = np.dtype(spec.stored_dtype).newbyteorder("<")
    if dtype != expected or shape != (total, *spec.shape):
        raise StoreError(f"the numbers are {dtype} {shape}, not {expected} {(total, *spec.shape)}")
    if crc32.shape != (count,) or crc32.dtype.kind != "u":
        raise StoreError(f"crc32 is {crc32.dtype} {crc32.shape}, not that of {count} rows")


def _array_rows(
    spec: EncoderSpec,
    ids: list[str],
    crc32: np.ndarray,
    offsets: np.ndarray | None,
    read: Callable[[int, int], np.ndarray],
) -> Iterator[ExportedRows]:
    """Rows of arrays, about BLOCK_BYTES at once, and one at least."""
    bounds = np.arange(len(ids) + 1) if offsets is None else offsets
    element = int(np.prod(spec.shape, dtype=np.int64)) * np.dtype(spec.stored_dtype).itemsize
    at_once = max(1, BLOCK_BYTES // element)
    start = 0
    while start < len(ids):
        stop = int(np.searchsorted(bounds, bounds[start] + at_once, side="right")) - 1
        stop = max(start + 1, min(stop, len(ids)))
        block = read(int(bounds[start]), int(bounds[stop]))
        rows = list(block) if offsets is None else np.split(block, offsets[start + 1 : stop] - offsets[start])
        yield ExportedRows(ids[start:stop], [*rows], crc32[start:stop].tolist())
        start = stop
