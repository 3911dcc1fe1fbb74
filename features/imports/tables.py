"""Parquet: a column of ids and a column of lists, in one file or in the files of a folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from features.errors import bare_line
from features.imports.foreign import Foreign, ForeignError, LazyRows
from features.imports.numpy_files import ID_NAMES, choose_field, facts_of, first_of


def read_parquet(path: Path, field: str | None, ids: str | None) -> Foreign:
    """path: a file, or a folder of them (one a split, as Hugging Face's hub has them). A null list is a row that the
    file says there is none of, for the reason in a column `reason`, if it has one."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    files = sorted(path.rglob("*.parquet")) if path.is_dir() else [path]
    try:
        tables = [pq.ParquetFile(file).read() for file in files]
        table = pa.concat_tables(tables, promote_options="default")
    except (OSError, pa.ArrowException) as error:
        raise ForeignError(f"{path}: is no Parquet file, or damaged: {bare_line(error)}") from error
    name = ids if ids in table.column_names else first_of(table.column_names, ID_NAMES)
    if name is None or (ids is not None and ids != name):
        raise ForeignError(
            f"{path}: has no column {ids or 'of ids'}: name it by --ids, of {', '.join(table.column_names)}"
        )
    listed = [item for item in table.column_names if _is_list(table.schema.field(item).type)]
    chosen = choose_field(listed, field, path)
    rows = _rows(table[chosen].combine_chunks(), path)
    others = {item: table[item] for item in table.column_names if item not in listed and item != name}
    found = Foreign("parquet", chosen, [str(item) for item in table[name].to_pylist()], rows)
    told = facts_of({item: column.to_pylist() for item, column in others.items()})
    found.texts, found.labels = told.get("texts"), told.get("labels")
    found.sentiments, found.splits = told.get("sentiments"), told.get("splits")
    if found.splits is None and path.is_dir():
        from features.imports.foreign import SPLITS

        of_files = [SPLITS.get(file.name.partition("-")[0].partition(".")[0]) for file in files]
        found.splits = [split for split, part in zip(of_files, tables, strict=True) for _ in range(part.num_rows)]
    if "reason" in others:
        reasons = others["reason"].to_pylist()
        found.absent = {key: str(reason) for key, reason in zip(found.ids, reasons, strict=True) if reason}
    return found


def _is_list(kind: Any) -> bool:
    import pyarrow as pa

    def inner(kind: Any) -> Any:
        while pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
            kind = kind.value_type
        return kind

    last = inner(kind)
    return last is not kind and (pa.types.is_floating(last) or pa.types.is_integer(last))


def _rows(column: Any, path: Path) -> Sequence[np.ndarray | None]:
    """Rows of an Arrow array of (nested) lists, each an array of the column's own dtype."""
    import pyarrow as pa

    def read(place: int) -> np.ndarray | None:
        return _array(column[place].values, path) if column[place].is_valid else None

    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks()
    return LazyRows(len(column), read)


def _array(values: Any, path: Path) -> np.ndarray:
    import pyarrow as pa

    if values.null_count:
        raise ForeignError(f"{path}: has null within a list")
    kind = values.type
    if pa.types.is_fixed_size_list(kind):
        flat: np.ndarray = _array(values.flatten(), path)
        return flat.reshape(len(values), kind.list_size, *flat.shape[1:])
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        parts = [_array(item.values, path) for item in values]
        if len({part.shape for part in parts}) > 1:
            raise ForeignError(f"{path}: has lists of different lengths within a row")
        return np.stack(parts) if parts else np.zeros((0, 0), np.float32)
    return np.asarray(values.to_numpy(zero_copy_only=False))
