"""`--format hf`: a folder that `datasets.load_dataset(FOLDER)` reads as the manifest's splits, never as one.

data/SPLIT-00000-of-00001.parquet  the rows of a split, in the manifest's order
README.md                          the card, whose `configs` name these files

Columns: utterance_id, dataset, the manifest's, and for each feature NAME (modality_name):
NAME  fixed-size list [d], nested for a stack, for a sequence a list of fixed-size lists; in the stored dtype; null
      where there is no embedding
NAME_status, NAME_reason, NAME_crc32  as in an export of one feature
The specs are in each file's metadata, as `erc.specs` (JSON, by column). Labels are texts; the card tells their order.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from features.errors import UsageError
from features.exports.hf_card import card_text
from features.exports.request import Missing, Request, Written, column_names, feature_name
from features.manifest import Manifest
from features.store.export_parquet import embedding_array, embedding_type, leaf
from features.store.feature import Feature
from features.store.stream import BLOCK_BYTES, MANIFEST_COLUMNS, RowStream

_MOST_ROWS = 8192
_SPLIT = re.compile(r"\w+(\.\w+)*")


def write(request: Request, folder: Path) -> Written:
    """The folder, in bounded memory."""
    written, splits = Written(), request.manifest.frame["split"].unique(maintain_order=True).to_list()
    for split in splits:
        if not _SPLIT.fullmatch(split) or split == "all":
            raise UsageError(f"datasets allows no split {split!r}: name it with letters, digits and '_', and not 'all'")
    columns = dict(zip(column_names(request.features), request.features, strict=True))
    (folder / "data").mkdir()
    for split in splits:
        part = request.manifest.select_splits([split])
        _write_split(request, part, columns, folder / "data" / f"{split}-00000-of-00001.parquet", written)
        written.splits[split] = len(part)
    written.facts["features"] = {name: feature_name(feature) for name, feature in columns.items()}
    (folder / "README.md").write_text(card_text(request, columns, written), encoding="utf-8")
    return written


def _write_split(
    request: Request, manifest: Manifest, columns: dict[str, Feature], path: Path, written: Written
) -> None:
    import pyarrow.parquet as pq

    streams = {name: RowStream(feature, manifest) for name, feature in columns.items()}
    table = _table(manifest, streams, written)
    schema, plain = _schema(table, columns)
    options: dict[str, Any] = {
        "compression": {item.name: "zstd" for item in plain}
        | {name + leaf(feature.spec): "none" for name, feature in columns.items()},
        "use_dictionary": [item.name for item in plain if item.type == "string"],
        "write_statistics": [item.name for item in plain],
    }
    with pq.ParquetWriter(path, schema, **options) as writer:
        start = 0
        for block in _blocks(request, streams):
            rows = table[start : start + len(block[0])]
            writer.write_table(_arrow(rows, block, columns, schema, plain))
            start += len(block[0])


def _table(manifest: Manifest, streams: dict[str, RowStream], written: Written) -> pl.DataFrame:
    """All columns but the embeddings, a row an utterance of the manifest."""
    table = manifest.frame.select("utterance_id", "dataset", *MANIFEST_COLUMNS)
    for name, stream in streams.items():
        told = stream.table.select("status", "reason", "crc32")
        table = table.hstack(told.rename({column: f"{name}_{column}" for column in told.columns}))
        without = stream.table.filter(~stream.present).select("utterance_id", "status", "reason")
        written.missing += [Missing(feature_name(stream.feature), *row) for row in without.iter_rows()]
    return table


def _schema(table: pl.DataFrame, columns: dict[str, Feature]) -> tuple[Any, list[Any]]:
    """The file's Arrow schema, and its fields without the embeddings."""
    import pyarrow as pa

    text = {pa.string_view(): pa.string(), pa.large_string(): pa.string()}
    plain = [pa.field(item.name, text.get(item.type, item.type)) for item in table.head(0).to_arrow().schema]
    specs = {name: json.loads(feature.spec.to_json()) for name, feature in columns.items()}
    embeddings = [
        pa.field(name, embedding_type(item.spec.kind, item.spec.shape, item.spec.stored_dtype))
        for name, item in columns.items()
    ]
    return pa.schema([*plain, *embeddings], metadata={"erc.specs": json.dumps(specs, ensure_ascii=False)}), plain


def _blocks(request: Request, streams: dict[str, RowStream]) -> Iterator[list[list[np.ndarray | None]]]:
    """Per feature the values of some consecutive rows, as many rows of each, about BLOCK_BYTES together."""
    size, rows = 0, []
    for values in zip(*(_values(request, stream) for stream in streams.values()), strict=True):
        rows.append(values)
        size += sum(value.nbytes for value in values if value is not None)
        if size >= BLOCK_BYTES or len(rows) == _MOST_ROWS:
            yield [list(column) for column in zip(*rows, strict=True)]
            size, rows = 0, []
    if rows:
        yield [list(column) for column in zip(*rows, strict=True)]


def _values(request: Request, stream: RowStream) -> Iterator[np.ndarray | None]:
    for block in stream.blocks():
        yield from block.values
        request.advance(len(block.values))


def _arrow(
    rows: pl.DataFrame, block: list[list[np.ndarray | None]], columns: dict[str, Feature], schema: Any, plain: list[Any]
) -> Any:
    import pyarrow as pa

    arrays = rows.to_arrow().cast(pa.schema(plain)).columns
    embeddings = [embedding_array(values, item.spec) for values, item in zip(block, columns.values(), strict=True)]
    return pa.Table.from_arrays([*arrays, *embeddings], schema=schema)
