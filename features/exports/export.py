"""Exporting several features for a tool: the target, the side file that says what it is, and the sums.

Beside a file NAME go NAME.json and NAME.sha256, within a folder export.json and SHA256SUMS. The side file names the
features and their specs, the manifest's digest, the order of labels, every utterance that has no embedding, and the
command. Nothing in it depends on the time, the machine or the target: the same export twice is the same bytes.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from features.digests import sha256_file
from features.errors import UsageError
from features.exports.request import FORMATS, Request, Written, check_features, command_line, feature_name
from features.files import beside, sync_file, sync_folder, write_folder_whole
from features.manifest import file_digest
from features.store.checksums import FOLDER_SUMS, read_sums, sums_bytes, sums_path
from features.store.commit import clear_write_errors
from features.store.export import refuse_stale

SIDE_FILE = "export.json"


@dataclass(frozen=True)
class Exported:
    """What was written, and how much of it."""

    path: Path
    written: Written
    num_bytes: int


def export_for_tool(
    request: Request, out: Path, file_format: str, *, overwrite: bool = False, allow_stale: bool = False
) -> Exported:
    """Write `out`, whole or not at all.

    Raises UsageError for what the format cannot hold and for a target that must not be replaced, StaleFeaturesError
    where rows were made from other input than the manifest's, ShardError where a row's bytes are not its ledger's, and
    StoreError where nothing can be written.
    """
    check_place(out, file_format, overwrite)
    check_features(request.features)
    for feature in request.features:
        if not allow_stale:
            refuse_stale(feature, request.manifest)
    module = import_module(f"features.exports.{file_format.replace('-', '_')}")
    write: Callable[[Request, Path], Written] = module.write
    told: list[Written] = []

    def write_folder(folder: Path) -> None:
        told.append(write(request, folder))
        (folder / SIDE_FILE).write_bytes(side_bytes(request, file_format, told[0]))
        files = {path.relative_to(folder).as_posix(): sha256_file(path) for path in _files(folder)}
        (folder / FOLDER_SUMS).write_bytes(sums_bytes(files))

    with clear_write_errors(out):
        out.parent.mkdir(parents=True, exist_ok=True)
        if FORMATS[file_format] == "folder":
            write_folder_whole(out, write_folder)
            written_files = _files(out)
        else:
            told.append(_write_file(request, out, file_format, write))
            written_files = [out, side_path(out)]
        num_bytes = sum(path.stat().st_size for path in written_files)
    return Exported(out, told[0], num_bytes)


def side_path(export: Path) -> Path:
    return export / SIDE_FILE if export.is_dir() else export.with_name(f"{export.name}.json")


def check_place(out: Path, file_format: str, overwrite: bool) -> None:
    """Raises UsageError for a target that must not be replaced; StoreError where that cannot be told."""
    wanted = FORMATS[file_format]
    with clear_write_errors(out):
        taken = [
            path for path in (out, *((side_path(out), sums_path(out)) if wanted == "file" else ())) if path.exists()
        ]
        if taken and not overwrite:
            raise UsageError(f"{taken[0]} exists: give --overwrite, or another --to")
        if out.exists() and out.is_dir() != (wanted == "folder"):
            there = "folder" if out.is_dir() else "file"
            raise UsageError(f"{out} is a {there}, and {file_format} writes a {wanted}: give another --to")
        if out.is_dir() and (others := _others(out)):
            raise UsageError(f"{out} holds {others[0]!r}, which is not of an export: give another --to")


def _others(folder: Path) -> list[str]:
    """Files of a folder that no export for a tool wrote there."""
    there = [path.relative_to(folder).as_posix() for path in _files(folder)]
    known = set(read_sums(folder / FOLDER_SUMS)) if {SIDE_FILE, FOLDER_SUMS} <= set(there) else set()
    return [name for name in there if name not in known | {FOLDER_SUMS}]


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if not path.is_dir())


def _write_file(request: Request, out: Path, file_format: str, write: Callable[[Request, Path], Written]) -> Written:
    """The sums go first: a kill in between leaves one without a file, or with the older file."""
    sums, side, made = (beside(path, "tmp") for path in (sums_path(out), side_path(out), out))
    try:
        written = write(request, made)
        side.write_bytes(side_bytes(request, file_format, written))
        sums.write_bytes(sums_bytes({out.name: sha256_file(made), side_path(out).name: sha256_file(side)}))
        for path in (sums, side, made):
            sync_file(path)
        for temporary, path in ((sums, sums_path(out)), (side, side_path(out)), (made, out)):
            temporary.replace(path)
        sync_folder(out.parent)
    finally:
        for path in (sums, side, made):
            path.unlink(missing_ok=True)
    return written


def side_bytes(request: Request, file_format: str, written: Written) -> bytes:
    """The side file: JSON."""
    manifest = request.manifest
    document: dict[str, Any] = {
        "erc_export": 1,
        "format": file_format,
        "command": command_line(request, file_format),
        "dataset": manifest.card.dataset,
        "licence": manifest.card.licence,
        "synthetic": manifest.card.synthetic,
        "manifest_sha256": file_digest(manifest),
        "specs": [json.loads(feature.spec.to_json()) for feature in request.features],
        "rows_digests": {feature_name(item): item.rows_digest(manifest.ids) for item in request.features},
        "splits": written.splits,
        "places": written.facts,
        "notes": written.notes,
        "left_out": written.left_out,
        "missing_counts": dict(sorted(Counter(item.feature for item in written.missing).items())),
        "missing": [asdict(item) for item in written.missing],
    }
    return (json.dumps(document, indent=1, ensure_ascii=False) + "\n").encode("utf-8", "surrogatepass")
