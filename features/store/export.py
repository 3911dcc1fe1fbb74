"""Exporting one feature as a file that other tools read: Parquet, one HDF5 file, or .npy beside its ids.

Parquet keeps a row for every utterance, with a null embedding and its reason where there is none. Arrays have no null,
and zeros would look like embeddings: HDF5 and .npy hold the ok rows alone, and beside them a table of all utterances.
Each row has the crc32 of its bytes, and each file a sha256 (see `features.store.export_verify`). What is written
appears whole or not at all. With a feature that has `from_top` go the layers of its encoder (see `export_top`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from features.digests import sha256_file
from features.errors import StaleFeaturesError, UsageError
from features.files import beside, sync_file, sync_folder, write_folder_whole
from features.manifest import Manifest
from features.store.checksums import FOLDER_SUMS, sums_bytes, sums_path
from features.store.commit import clear_write_errors
from features.store.export_top import exported_top, top_path
from features.store.feature import Feature
from features.store.stream import RowStream
from features.top import FILE as TOP_FILE

FORMATS = ("parquet", "hdf5", "npy")
NPY_FILES = (
    *("embedding.npy", "values.npy", "offsets.npy", "crc32.npy", "ids.json", "utterances.parquet", "spec.json"),
    FOLDER_SUMS,
    TOP_FILE,
    "ids.txt",  # of older exports
)

Advance = Callable[[int], object]


@dataclass(frozen=True)
class Exported:
    """What was written: how many utterances, how many of them have an embedding, and how many bytes."""

    path: Path
    utterances: int
    ok: int
    num_bytes: int


def export_feature(
    feature: Feature,
    out: Path,
    file_format: str,
    *,
    manifest: Manifest | None = None,
    overwrite: bool = False,
    allow_stale: bool = False,
    advance: Advance = lambda number: None,
) -> Exported:
    """Write a feature to `out`: a file for `parquet` and `hdf5`, a folder for `npy`.

    manifest: its utterances, in its order, with `stream.MANIFEST_COLUMNS`; else all of the feature's
    advance:  is called with the number of utterances written
    Raises UsageError where `out` exists and `overwrite` is not set, StaleFeaturesError where rows were made from other
    input than the manifest's, ShardError where a row's bytes are not its ledger's or the top is damaged, and StoreError
    where nothing can be written.
    """
    check_target(out, file_format, overwrite)
    if manifest is not None and not allow_stale:
        refuse_stale(feature, manifest)
    stream, top = RowStream(feature, manifest), exported_top(feature)
    with clear_write_errors(out):
        out.parent.mkdir(parents=True, exist_ok=True)
        if file_format == "parquet":
            from features.store.export_parquet import write_parquet

            _write_file_whole(out, lambda temporary: write_parquet(stream, temporary, advance), top)
        elif file_format == "hdf5":
            from features.store.export_arrays import write_hdf5

            _write_file_whole(out, lambda temporary: write_hdf5(stream, temporary, advance), top)
        else:
            from features.store.export_arrays import write_npy

            write_folder_whole(out, lambda temporary: write_npy(stream, temporary, advance, top))
        files = list(out.iterdir()) if file_format == "npy" else [out, *([top_path(out)] if top else [])]
        num_bytes = sum(path.stat().st_size for path in files)
    return Exported(out, len(stream), int(stream.present.sum()), num_bytes)


def refuse_stale(feature: Feature, manifest: Manifest) -> None:
    """Raises StaleFeaturesError where rows were made from other input than the manifest's."""
    if stale := feature.stale(manifest):
        raise StaleFeaturesError(
            f"{feature.path}: {len(stale)} rows were made from other input than the manifest's, first {stale[0]}: run"
            f" {feature.spec.made_by} again, or give --allow-stale"
        )


def check_target(out: Path, file_format: str, overwrite: bool) -> None:
    """Raises UsageError for an unknown format, and for a target that must not be replaced; StoreError where that cannot
    be told."""
    if file_format not in FORMATS:
        raise UsageError(f"no format {file_format!r}: choose one of {', '.join(FORMATS)}")
    with clear_write_errors(out):
        _check_place(out, file_format, overwrite)


def _check_place(out: Path, file_format: str, overwrite: bool) -> None:
    taken = [
        path for path in ([out] if file_format == "npy" else [out, sums_path(out), top_path(out)]) if path.exists()
    ]
    if taken and not overwrite:
        raise UsageError(f"{taken[0]} exists: give --overwrite, or another --to")
    if not out.exists():
        return
    if out.is_dir() != (file_format == "npy"):
        wanted, there = ("folder", "file") if file_format == "npy" else ("file", "folder")
        raise UsageError(f"{out} is a {there}, and {file_format} writes a {wanted}: give another --to")
    if out.is_dir() and (others := [path.name for path in out.iterdir() if path.name not in NPY_FILES]):
        raise UsageError(f"{out} holds {sorted(others)[0]!r}, which is not of an export: give another --to")


def _write_file_whole(out: Path, write: Callable[[Path], object], top: bytes | None) -> None:
    """`write` a temporary file beside `out`, and put it, its sha256 and the top in their places.

    The sha256 goes first: a kill in between leaves one without a file, or with the older file. Verifying names both.
    """
    places = {beside(path, "tmp"): path for path in (sums_path(out), top_path(out), out)}
    temporary_sums, temporary_top, temporary = places
    if top is None:
        del places[temporary_top]
    try:
        write(temporary)
        if top is not None:
            temporary_top.write_bytes(top)
        digests = {path.name: sha256_file(made) for made, path in places.items() if made != temporary_sums}
        temporary_sums.write_bytes(sums_bytes(dict(reversed(digests.items()))))
        for made in places:
            sync_file(made)
        for made, path in places.items():
            made.replace(path)
        if top is None:
            top_path(out).unlink(missing_ok=True)  # of what was exported here before
        sync_folder(out.parent)
    finally:
        for made in places:
            made.unlink(missing_ok=True)
