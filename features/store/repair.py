"""Repairing a store: damaged shards and orphans are removed, so that `erc extract` makes just them again.

A shard's commit record goes first and durably, then its files: a kill in between leaves orphans, which the next repair
or extraction removes. What cannot be made again from the manifest (spec.json, files of others) is left as it is.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from features.store.commit import clear_write_errors, orphans, sync_folder
from features.store.faults import Fault, FaultKind
from features.store.lock import writer_lock
from features.store.verify import FeatureReport, StoreReport, feature_folders, stray_files, verify_feature

Advance = Callable[[int], object]


def repair_store(root: Path, advance: Advance = lambda number: None) -> tuple[StoreReport, list[str]]:
    """Verify every feature under its lock and remove what is damaged.

    Returns what is left, and a line for each removal.

    Raises StoreBusyError where another run holds a feature, and StoreError where its folder cannot be written.
    """
    reports, removed = [], []
    for folder in feature_folders(root):
        report, lines = _repair_feature(root, folder, advance)
        reports.append(report)
        removed += lines
    return StoreReport(
        reports, [*stray_files(root), *(fault for report in reports for fault in report.faults)]
    ), removed


def _repair_feature(root: Path, folder: str, advance: Advance) -> tuple[FeatureReport, list[str]]:
    path = root / folder
    with clear_write_errors(path), writer_lock(path) as locked:
        report = verify_feature(root, folder, alone=locked, advance=advance)
        if any(fault.kind is FaultKind.SPEC for fault in report.faults):
            # Without its spec nothing says how a shard is made again.
            report.notes.append(f"{path}: nothing was removed: first its spec.json must be mended")
            return report, []
        removed = []
        damaged = sorted({fault.shard for fault in report.faults if fault.shard is not None})
        for stem in damaged:
            drop_shard(path, stem)
            removed.append(f"{path / stem}.*: removed ({_reasons(report.faults, stem)}){_older(stem)}")
        if locked:
            for orphan in list(orphans(path)):
                orphan.unlink(missing_ok=True)
                removed.append(f"{orphan}: removed (orphan)")
        gone = [fault for fault in report.faults if fault.shard is not None or fault.kind is FaultKind.ORPHAN]
        report.faults = [fault for fault in report.faults if fault not in gone]
        report.shards -= len(damaged)
    return report, removed


def drop_shard(folder: Path, stem: str) -> None:
    """Remove a shard: first its commit record, durably, so that what a kill leaves are orphans."""
    (folder / f"{stem}.json").unlink(missing_ok=True)
    sync_folder(folder)
    for kind in ("h5", "parquet"):
        (folder / f"{stem}.{kind}").unlink(missing_ok=True)
    sync_folder(folder)


def _reasons(faults: list[Fault], stem: str) -> str:
    return ", ".join(dict.fromkeys(str(fault.kind) for fault in faults if fault.shard == stem))


def _older(stem: str) -> str:
    """Older rows hold again: those of other input are stale and are redone, but `failed` ones only when asked for."""
    if "." not in stem:
        return ""
    return "; older rows of its utterances hold again: what had failed before is tried again with --retry-failed"
