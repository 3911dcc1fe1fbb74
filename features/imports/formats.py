"""Which reader reads a source, by what it is."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

from features.digests import canonical_json, sha256_file
from features.errors import StoreError
from features.imports.exports import is_export, read_export
from features.imports.foreign import Foreign, ForeignError
from features.imports.hdf5 import read_hdf5
from features.imports.numpy_files import read_npy, read_npy_folder, read_npz
from features.imports.pickles import read_pickle
from features.imports.tables import read_parquet
from features.spec import Modality

FORMATS = ("auto", "npy", "npz", "parquet", "hdf5", "mmsa", "conv-emotion", "mertools", "dict")
_PICKLES = ("mmsa", "conv-emotion", "dict")


def read_foreign(
    path: Path, modality: Modality, file_format: str = "auto", field: str | None = None, ids: str | None = None
) -> Foreign:
    """The rows of one field of a source.

    field: which one, where it has several
    ids:   the file that lists them, for one .npy; the column or dataset that holds them, for a table
    Raises UsageError (ForeignError, UnsafePickleError) in one line for what cannot be read.
    """
    if not path.exists():
        raise ForeignError(f"{path}: is not there")
    chosen = format_of(path) if file_format == "auto" else file_format
    if chosen == "erc":
        return read_export(path)
    if chosen in ("npy", "mertools") and path.is_dir():
        return read_npy_folder(path, chosen)
    if chosen == "npy":
        return read_npy(path, ids)
    if chosen == "npz":
        return read_npz(path, field, ids)
    if chosen == "parquet":
        return read_parquet(path, field, ids)
    if chosen == "hdf5":
        return read_hdf5(path, field, ids)
    if path.is_dir():
        raise ForeignError(f"{path}: is a folder, and {chosen} is a file")
    return read_pickle(path, field, modality, chosen if chosen in _PICKLES else "auto")


def format_of(path: Path) -> str:
    """One of FORMATS, `pickle` for one of those that are pickles, or `erc`: what `erc store export` wrote."""
    if is_export(path):
        return "erc"
    if path.is_dir():
        if any(path.rglob("*.parquet")):
            return "parquet"
        return "npy"
    try:
        with path.open("rb") as file:
            start = file.read(8)
    except OSError as error:
        raise ForeignError(f"{path}: cannot be read: {error.strerror or error}") from error
    beginnings: list[tuple[bytes, str]] = [
        (b"\x93NUMPY", "npy"),
        (b"PK\x03\x04", "npz"),
        (b"PAR1", "parquet"),
        (b"\x89HDF\r\n\x1a\n", "hdf5"),
    ]
    return next((name for beginning, name in beginnings if start.startswith(beginning)), "pickle")


def source_digest(path: Path, advance: Callable[[int], object] = lambda count: None) -> str:
    """sha256 (hex) of a file's bytes; of a folder, of the names and sha256 of every file in it, by name.

    Raises StoreError where it cannot be read. advance: called with the bytes that were read
    """
    try:
        if path.is_file():
            return sha256_file(path, advance)
        files = sorted(item for item in path.rglob("*") if item.is_file())
        named = [[item.relative_to(path).as_posix(), sha256_file(item, advance)] for item in files]
        return hashlib.sha256(canonical_json(named).encode()).hexdigest()
    except OSError as error:
        raise StoreError(f"{path}: cannot be read: {error.strerror or error}") from error
