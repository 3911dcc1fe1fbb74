"""Verifying an export for a tool: the sha256 of every file. Its rows are not read: the tools' files hold no crc32."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from features.digests import sha256_file
from features.errors import StoreError
from features.exports.export import side_path
from features.exports.request import FORMATS
from features.store.checksums import FOLDER_SUMS, read_sums, sums_path
from features.store.export_faults import ExportFault, ExportFaultKind, unreadable


@dataclass
class ToolExportReport:
    """What was found. files: how many have the sha256 that was written with them; num_bytes: of all of them."""

    path: Path
    file_format: str | None = None
    files: int = 0
    num_bytes: int = 0
    faults: list[ExportFault] = field(default_factory=list)


def is_tool_export(path: Path) -> bool:
    """Whether the sums of an export name the side file, or that is there and says so; whatever else is damaged."""
    side = side_path(path)
    try:
        if side.name in read_sums(sums_path(path)):
            return True
    except (OSError, StoreError):
        pass
    return _format_of(side) is not None


def verify_tool_export(path: Path, advance: Callable[[int], object] = lambda number: None) -> ToolExportReport:
    """Compare every file that the sums name. advance: is called with the number of bytes read."""
    report, sums, side = ToolExportReport(path), sums_path(path), side_path(path)
    report.file_format = _format_of(side)
    folder = sums.parent
    try:
        expected = read_sums(sums)
    except OSError as error:
        kind = ExportFaultKind.ABSENT if isinstance(error, FileNotFoundError) else ExportFaultKind.UNREADABLE
        report.faults.append(ExportFault(sums, kind, "cannot be read, and nothing else tells what was written"))
        return report
    except StoreError as error:
        report.faults.append(ExportFault(sums, ExportFaultKind.SHA256, str(error).removeprefix(f"{sums}: ")))
        return report
    for name, digest in expected.items():
        _check_file(report, folder, name, digest, advance)
    if path.is_dir():
        there = {file.relative_to(path).as_posix() for file in path.rglob("*") if not file.is_dir()}
        for name in sorted(there - expected.keys() - {FOLDER_SUMS}):
            report.faults.append(ExportFault(path / name, ExportFaultKind.SHA256, f"{sums.name} does not name it"))
    return report


def _check_file(
    report: ToolExportReport, folder: Path, name: str, digest: str, advance: Callable[[int], object]
) -> None:
    file = folder / name
    if not file.resolve().is_relative_to(folder.resolve()):
        report.faults.append(
            ExportFault(folder / FOLDER_SUMS, ExportFaultKind.SHA256, f"names {name!r}, which is outside")
        )
        return
    try:
        found = sha256_file(file, advance)
        report.num_bytes += file.stat().st_size
    except FileNotFoundError:
        report.faults.append(ExportFault(file, ExportFaultKind.ABSENT, "the sums name it"))
    except OSError as error:
        report.faults.append(unreadable(file, error))
    else:
        if found == digest:
            report.files += 1
        else:
            detail = f"begins {found[:8]}, the sums say {digest[:8]}: other bytes than were exported"
            report.faults.append(ExportFault(file, ExportFaultKind.SHA256, detail))


def _format_of(side: Path) -> str | None:
    """The format that a side file names, or None where it is none."""
    try:
        document = json.loads(side.read_text(encoding="utf-8"))
        return document["format"] if document["erc_export"] and document["format"] in FORMATS else None
    except (OSError, ValueError, KeyError, TypeError):
        return None
