"""What `erc store export` writes, read back: every bit, and its kind, as it was; the crc32 of each row is checked."""

from __future__ import annotations

from pathlib import Path

from features.errors import StoreError
from features.imports.foreign import BelowTopError, Foreign, ForeignError
from features.store.export_read import Format, export_format, open_export
from features.store.shard import row_crc32


def is_export(path: Path) -> bool:
    """Whether it is Parquet, HDF5 or a folder of .npy of ours: it carries the spec of the feature."""
    try:
        file_format = export_format(path)
        if file_format == "npy":
            return all((path / name).is_file() for name in ("spec.json", "ids.json", "crc32.npy"))
        with open_export(path, file_format):
            return True
    except (StoreError, OSError, ValueError, KeyError, RuntimeError):
        return False


def read_export(path: Path) -> Foreign:
    """Raises ForeignError where it is damaged, of which `erc store verify` says what, and where it is below a top."""
    try:
        file_format: Format = export_format(path)
        with open_export(path, file_format) as (spec, blocks):
            if spec.from_top:
                raise BelowTopError(path)
            found = Foreign(f"erc-{file_format}", None, [], [], kind=spec.kind, of=spec.fingerprint)
            rows = []
            for block in blocks:
                for key, value, crc32 in zip(*block, strict=True):
                    if value is not None and row_crc32(value) != crc32:
                        raise ForeignError(
                            f"{path}: {key} has other bytes than were exported: `erc store verify {path}`"
                        )
                    found.ids.append(key)
                    rows.append(value)
            found.rows = rows
    except (StoreError, OSError, ValueError, KeyError) as error:
        if isinstance(error, ForeignError):
            raise
        raise ForeignError(f"{path}: is a damaged export: {error}: see `erc store verify {path}`") from error
    found.absent = _reasons(path, file_format)
    return found


def _reasons(path: Path, file_format: Format) -> dict[str, str]:
    """id -> why it has no embedding, as Parquet keeps it."""
    if file_format != "parquet":
        return {}
    import pyarrow.parquet as pq

    with path.open("rb") as file:
        table = pq.ParquetFile(file).read(["utterance_id", "reason"])
    pairs = zip(table["utterance_id"].to_pylist(), table["reason"].to_pylist(), strict=True)
    return {key: reason for key, reason in pairs if reason}
