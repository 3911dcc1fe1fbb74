"""One feature as Parquet: a fixed-size list an utterance, which polars, DuckDB, pandas and datasets read as such."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from features.spec import EncoderSpec
from features.store.stream import RowStream


def write_parquet(stream: RowStream, path: Path, advance: Callable[[int], object]) -> None:
    """Columns utterance_id, status, reason, the manifest's, crc32 and embedding; one row group a block.

    crc32:     uint32, of the bytes of the embedding (of a sequence, of all its elements); null where there is none
    embedding: fixed-size list [d], nested [layers, d] for a stack, and for a sequence a list of fixed-size lists [d];
               null where there is none. The spec is in the file's metadata, as `erc.spec`.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    spec = stream.feature.spec
    text = {pa.string_view(): pa.string(), pa.large_string(): pa.string()}
    fields = [pa.field(item.name, text.get(item.type, item.type)) for item in stream.table.head(0).to_arrow().schema]
    schema = pa.schema(
        [*fields, pa.field("embedding", embedding_type(spec.kind, spec.shape, spec.stored_dtype))],
        metadata={"erc.spec": spec.to_json(), "erc.fingerprint": spec.fingerprint},
    )
    options: dict[str, Any] = {
        "compression": {item.name: "zstd" for item in fields} | {"embedding" + leaf(spec): "none"},
        "use_dictionary": [item.name for item in fields if item.type == pa.string()],
        "write_statistics": [item.name for item in fields],
    }
    with pq.ParquetWriter(path, schema, **options) as writer:
        for block in stream.blocks():
            columns = block.table.to_arrow().cast(pa.schema(fields)).columns
            embedding = embedding_array(block.values, spec)
            writer.write_table(pa.Table.from_arrays([*columns, embedding], schema=schema))
            advance(len(block.values))


def embedding_type(kind: str, shape: tuple[int, ...], dtype: str) -> Any:
    """The Arrow type of the column `embedding`."""
    import pyarrow as pa

    result = pa.from_numpy_dtype(np.dtype(dtype))
    for size in reversed(shape):
        result = pa.list_(result, size)
    return pa.list_(result) if kind == "sequence" else result


def leaf(spec: EncoderSpec) -> str:
    """What follows a column's name in that of the Parquet column that holds the numbers."""
    return ".list.element" * (len(spec.shape) + (spec.kind == "sequence"))


def embedding_array(values: Sequence[np.ndarray | None], spec: EncoderSpec) -> Any:
    """The Arrow array of the column `embedding`: null where a value is None."""
    import pyarrow as pa

    dtype = np.dtype(spec.stored_dtype)
    is_null = np.array([value is None for value in values])
    if spec.kind == "sequence":
        lengths = [0 if value is None else len(value) for value in values]
        offsets = np.concatenate([np.zeros(1, np.int32), np.cumsum(lengths, dtype=np.int32)])
        parts = [value for value in values if value is not None]
        flat = np.concatenate(parts) if parts else np.zeros((0, *spec.shape), dtype)
        return pa.ListArray.from_arrays(pa.array(offsets), _nested(flat, spec.shape), mask=pa.array(is_null))
    dense = np.zeros((len(values), *spec.shape), dtype)
    for row, value in enumerate(values):
        if value is not None:
            dense[row] = value
    return _nested(dense, spec.shape, is_null)


def _nested(values: np.ndarray, shape: tuple[int, ...], is_null: np.ndarray | None = None) -> Any:
    """[n, *shape] as n (nested) fixed-size lists; the outermost is null where `is_null`."""
    import pyarrow as pa

    result = pa.array(values.reshape(-1))
    for depth, size in reversed(list(enumerate(shape))):
        mask = pa.array(is_null) if depth == 0 and is_null is not None else None
        result = pa.FixedSizeListArray.from_arrays(result, size, mask=mask)
    return result
