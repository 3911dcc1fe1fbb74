"""Repairing a store: damaged shards and orphans are moved away, so that `erc extract` makes just them again.

Nothing is deleted: the files go to `.damaged/` in their feature's folder. A shard's commit record goes first and
durably, then its files: a kill in between leaves orphans, which the next repair moves. What could not be read is left
alone, and so is what a later version wrote. spec.json is written again from a ledger, where one holds it. The file of
an encoder's top layers is moved with its record; `erc extract` writes it again.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from features.errors import ShardError, StoreError
from features.files import sync_folder
from features.store.commit import clear_write_errors, orphans, write_once
from features.store.damaged import DamagedFolder, damaged_notes
from features.store.faults import Fault, FaultKind
from features.store.feature import read_spec
from features.store.lock import writer_lock
from features.store.reading import is_there, read_bytes
from features.store.spec_repair import spec_in_ledgers
from features.store.top_checks import move_top, top_faults
from features.store.verify import FeatureReport, StoreReport, feature_folders, verify_feature

Advance = Callable[[int], object]


def repair_store(root: Path, advance: Advance = lambda number: None) -> tuple[StoreReport, list[str]]:
    """Verify every feature under its lock, and move away what is damaged.

    Returns what is left, and a line for each thing that was done. A feature that another run holds, or whose folder
    cannot be written, is verified only, and stands among the report's `untouched`.
    """
    reports: list[FeatureReport] = []
    done: list[str] = []
    untouched: list[str] = []
    folders, strays = feature_folders(root)
    for folder in folders:
        try:
            reports.append(_repair_feature(root, folder, advance, done))
        except StoreError as error:
            untouched.append(str(error))
            reports.append(verify_feature(root, folder))
        reports[-1].notes += damaged_notes(root / folder)
    faults = [*strays, *(fault for report in reports for fault in report.faults)]
    return StoreReport(reports, faults, untouched), done


def _repair_feature(root: Path, folder: str, advance: Advance, done: list[str]) -> FeatureReport:
    """Adds to `done` what it did, step by step: also where it then fails. Raises StoreBusyError, and StoreError where
    the folder cannot be written."""
    path = root / folder
    with clear_write_errors(path), writer_lock(path) as locked:
        place = DamagedFolder(path)
        _repair_spec(path, folder, place, done)
        report = verify_feature(root, folder, alone=locked, advance=advance)
        if any(fault.path == path / "spec.json" for fault in report.faults):
            # Without its spec nothing says how a shard is made again.
            report.notes.append(f"{path}: nothing else was moved: first its spec.json must be mended")
            return report
        damaged = sorted({fault.shard for fault in report.faults if fault.shard is not None})
        for stem in damaged:
            place.take([f"{stem}.json"])
            target = place.take([f"{stem}.{kind}" for kind in ("h5", "parquet")])
            done.append(f"{path / stem}.*: moved to {target} ({_reasons(report.faults, stem)}){_older(stem)}")
        if line := move_top(path, place, report.faults):
            done.append(line)
            left, _ = top_faults(path, folder, read_spec(path, folder), has_shards=True)
            report.faults = [fault for fault in report.faults if not fault.top] + left
        if locked:
            for orphan in list(orphans(path)):
                done.append(f"{orphan}: moved to {place.take([orphan.name])} (orphan)")
        moved = (FaultKind.ORPHAN,) if locked else ()
        mended = [fault for fault in report.faults if fault.shard is not None or fault.kind in moved]
        report.faults = [fault for fault in report.faults if fault not in mended]
        report.shards -= len(damaged)
    return report


def _repair_spec(path: Path, folder: str, place: DamagedFolder, done: list[str]) -> None:
    """Write spec.json again where it is damaged or absent and a ledger holds it."""
    where = path / "spec.json"
    try:
        if read_spec(path, folder).to_json().encode() == read_bytes(where):
            return
    except ShardError:
        pass
    except StoreError:
        return  # it may be sound
    found = spec_in_ledgers(path, folder)
    if found is None:
        return
    text, stem = found
    moved = f"the old one was moved to {place.take([where.name])}, and it was " if is_there(where) else ""
    write_once(path, where.name, text)
    done.append(f"{where}: {moved}written again from the ledger of shard {stem}")


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
