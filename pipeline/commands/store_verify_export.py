"""`erc store verify EXPORT`: exported files compared with their sha256, and rows with the crc32 that they bring."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from features.store.export_faults import ExportFault
    from features.store.export_verify import ExportReport


def verify_exported(path: Path, as_json: bool) -> int:
    """Verify an export, print what was found, and return the exit status: 0 sound, 1 with faults."""
    from features.store.export_verify import verify_export
    from pipeline.terminal.progress import progress_bar
    from pipeline.terminal.tables import bytes_text

    started = time.perf_counter()
    with progress_bar(2 * _num_bytes(path), "B", "verify", scaled=True) as bar:
        report = verify_export(path, bar.update)
    if as_json:
        click.echo(json.dumps(_document(report), ensure_ascii=False, indent=1))
        return 1 if report.faults else 0
    for note in report.notes:
        click.echo(f"note: {note}", err=True)
    if report.faults:
        _print_faults(path, report.faults)
        return 1
    feature = f"{report.spec.folder}, " if report.spec else ""
    sums = f"sha256 of {report.files} file{'s' if report.files > 1 else ''}" if report.files else "no sha256"
    click.echo(
        f"{path}: sound: {feature}{report.utterances:,} rows, crc32 of {report.ok:,} embeddings, {sums},"
        f" {bytes_text(report.num_bytes)} in {time.perf_counter() - started:.1f} s"
    )
    return 0


def verify_exported_for_tool(path: Path, as_json: bool) -> int:
    """Verify an export for a tool by its sha256 sums, print what was found, and return the exit status."""
    from features.exports.verify import verify_tool_export
    from pipeline.terminal.tables import bytes_text

    started = time.perf_counter()
    report = verify_tool_export(path)
    if as_json:
        document = {
            "export": str(path),
            "format": report.file_format,
            "ok": not report.faults,
            "faults": [fault.to_dict() for fault in report.faults],
            "files_with_sha256": report.files,
            "bytes": report.num_bytes,
        }
        click.echo(json.dumps(document, ensure_ascii=False, indent=1))
    elif report.faults:
        _print_faults(path, report.faults)
    else:
        click.echo(
            f"{path}: sound: {report.file_format}, sha256 of {report.files:,} files (its rows have no crc32),"
            f" {bytes_text(report.num_bytes)} in {time.perf_counter() - started:.1f} s"
        )
    return 1 if report.faults else 0


def _print_faults(path: Path, faults: list[ExportFault]) -> None:
    for fault in faults:
        click.echo(str(fault))
    count = f"{len(faults)} fault{'s' if len(faults) > 1 else ''}"
    click.echo(f"{path}: {count}: export it again with --overwrite, or copy it again")


def _num_bytes(path: Path) -> int:
    from features.store.export_top import top_path

    files = path.iterdir() if path.is_dir() else [path, top_path(path)]
    return sum(file.stat().st_size for file in files if file.is_file())


def _document(report: ExportReport) -> dict[str, object]:
    return {
        "export": str(report.path),
        "format": report.file_format,
        "feature": report.spec.folder if report.spec else None,
        "fingerprint": report.spec.fingerprint if report.spec else None,
        "ok": not report.faults,
        "faults": [fault.to_dict() for fault in report.faults],
        "notes": report.notes,
        "utterances": report.utterances,
        "embeddings": report.ok,
        "files_with_sha256": report.files,
        "bytes": report.num_bytes,
    }
