"""One feature as plain arrays: one HDF5 file, or .npy files in a folder. They hold the ok rows, in order.

Numbers are appended by plain writes, also to the HDF5 file, whose dataset is laid out first: memory stays small, and a
disk that fills up gives an error where HDF5 itself may crash.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

import h5py
import numpy as np
import polars as pl

from features.store.checksums import FOLDER_SUMS, sums_of_folder
from features.store.stream import RowStream
from features.top import FILE as TOP_FILE

Advance = Callable[[int], object]

_TEXTS = h5py.string_dtype("utf-8")


def write_hdf5(stream: RowStream, path: Path, advance: Advance) -> None:
    """One HDF5 file.

    /embedding [n, *shape], or for sequences /values [sum of lengths, *shape] with /offsets, int64 [n + 1]
    /utterance_id [n], and the manifest's columns under /manifest (an empty string, or NaN, where there is none)
    /crc32, uint32 [n]: of the bytes of each embedding (of a sequence, of all its elements)
    /left_out/utterance_id, status and reason: the utterances without an embedding
    Attributes: `spec` (spec.json's text) and `fingerprint`.
    """
    spec = stream.feature.spec
    shape, dtype = _array_shape(stream), _dtype(stream)
    with h5py.File(path, "w") as file:
        file.attrs["spec"] = spec.to_json()
        file.attrs["fingerprint"] = spec.fingerprint
        ok = stream.table.filter(stream.present)
        _write_texts(file, "utterance_id", ok["utterance_id"])
        file.create_dataset("crc32", data=_crc32(ok))
        for name in stream.manifest_columns:
            if ok[name].dtype.is_numeric():
                file.create_dataset(f"manifest/{name}", data=ok[name].to_numpy())
            else:
                _write_texts(file, f"manifest/{name}", ok[name])
        left_out = stream.table.filter(~stream.present)
        for name in ("utterance_id", "status", "reason"):
            _write_texts(file, f"left_out/{name}", left_out[name])
        offsets = _offsets(stream)
        if offsets is not None:
            file.create_dataset("offsets", data=offsets)
        layout = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        layout.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)  # its place is known at once,
        layout.set_fill_time(h5py.h5d.FILL_TIME_NEVER)  # and nothing but the rows is written there
        space, kind = h5py.h5s.create_simple(shape), h5py.h5t.py_create(dtype)
        dataset = b"embedding" if offsets is None else b"values"
        start = h5py.h5d.create(file.id, dataset, kind, space, dcpl=layout).get_offset()
    if start is not None:
        with path.open("r+b") as plain:
            plain.seek(start)
            _append_rows(stream, plain, advance)


def write_npy(stream: RowStream, folder: Path, advance: Advance, top: bytes | None = None) -> None:
    """A folder: embedding.npy [n, *shape], or values.npy with offsets.npy; and beside them

    ids.json            utterance ids of the rows of the array, a JSON list: an id may hold what ends a line
    crc32.npy           uint32 [n], of the bytes of each embedding (of a sequence, of all its elements)
    utterances.parquet  every utterance with its status and reason, its `row` in the array and `crc32` (null where it
                        has none), and the manifest's columns
    spec.json           what the numbers are
    top.safetensors     of a feature with `from_top`: the layers above the states
    SHA256SUMS          of all the others, for `sha256sum -c`
    """
    offsets = _offsets(stream)
    with (folder / ("embedding.npy" if offsets is None else "values.npy")).open("wb") as file:
        header = {"descr": _dtype(stream).str, "fortran_order": False, "shape": _array_shape(stream)}
        np.lib.format.write_array_header_1_0(file, header)
        _append_rows(stream, file, advance)
    if offsets is not None:
        np.save(folder / "offsets.npy", offsets, allow_pickle=False)
    ok = stream.table.filter(stream.present)
    np.save(folder / "crc32.npy", _crc32(ok), allow_pickle=False)
    ids = json.dumps(ok["utterance_id"].to_list(), ensure_ascii=False, indent=0)
    (folder / "ids.json").write_text(f"{ids}\n", encoding="utf-8")
    row = pl.when(stream.present).then(stream.present.cum_sum() - 1).cast(pl.Int64)
    stream.table.with_columns(row=row).write_parquet(folder / "utterances.parquet")
    (folder / "spec.json").write_text(stream.feature.spec.to_json(), encoding="utf-8")
    if top is not None:
        (folder / TOP_FILE).write_bytes(top)
    (folder / FOLDER_SUMS).write_bytes(sums_of_folder(folder))


def _dtype(stream: RowStream) -> np.dtype:
    return np.dtype(stream.feature.spec.stored_dtype).newbyteorder("<")


def _array_shape(stream: RowStream) -> tuple[int, ...]:
    count = int(stream.present.sum()) if stream.lengths is None else int(stream.lengths.sum())
    return (count, *stream.feature.spec.shape)


def _offsets(stream: RowStream) -> np.ndarray | None:
    """int64 [n + 1] over the ok rows of a sequence feature, else None."""
    if stream.lengths is None:
        return None
    lengths = stream.lengths[stream.present.to_numpy()]
    return np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)])


def _crc32(ok: pl.DataFrame) -> np.ndarray:
    return ok["crc32"].to_numpy().astype("<u4")


def _append_rows(stream: RowStream, file: BinaryIO, advance: Advance) -> None:
    for block in stream.blocks():
        for value in block.values:
            if value is not None:
                file.write(value.reshape(-1).view(np.uint8).data)
        advance(len(block.values))


def _write_texts(file: h5py.File, name: str, values: pl.Series) -> None:
    file.create_dataset(name, data=values.fill_null("").to_numpy().astype(object), dtype=_TEXTS)
