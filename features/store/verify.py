"""Verifying a store: every file of every feature is what a commit record says, or is named as a fault.

Nothing is written, and no lock is held while files are read: an extraction may run at the same time. What it has in
hand is not a fault, and a shard that is removed meanwhile is passed over. What cannot be read is named as that.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl

from features.errors import ShardError, StoreError
from features.manifest import Manifest
from features.spec import MODALITIES, EncoderSpec
from features.store.commit import file_role, orphans
from features.store.damaged import damaged_notes
from features.store.faults import Fault, FaultKind, kind_of
from features.store.feature import SPEC_MEND, SPEC_REPAIR, read_spec
from features.store.lock import no_writer
from features.store.reading import check_store, folder_entries, is_folder, is_there, read_bytes, read_error
from features.store.shard_checks import check_shard
from features.store.spec_repair import spec_in_ledgers
from features.store.top_checks import top_faults
from features.store.versions import mixed_versions

Advance = Callable[[int], object]


@dataclass
class FeatureReport:
    """What was found of one feature.

    faults: what is wrong, or could not be read
    notes:  what a reader should know and is no fault: a run is writing, rows that the manifest does not fit
    rows:   of all generations; ok: those of them with an embedding
    """

    folder: str
    faults: list[Fault] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    shards: int = 0
    rows: int = 0
    ok: int = 0
    num_bytes: int = 0


@dataclass(frozen=True)
class StoreReport:
    """What was found of a store. untouched: why features that should have been repaired were not, a line each"""

    features: list[FeatureReport]
    faults: list[Fault]
    untouched: list[str] = field(default_factory=list)

    @property
    def is_sound(self) -> bool:
        return not self.faults and not self.untouched

    @property
    def notes(self) -> list[str]:
        return [note for report in self.features for note in report.notes]


def feature_folders(root: Path) -> tuple[list[str], list[Fault]]:
    """Every folder MODALITY/NAME of a store that can be listed, with or without a spec. And what else is in the folder
    of a modality, or why that cannot be listed; the store's own folder may hold anything else.

    Raises StoreError where there is neither, and UnreadableError where the store's own folder cannot be listed.
    """
    check_store(root)
    folders, faults = _look_around(root)
    if not folders and not faults:
        raise StoreError(f"{root} holds no feature: fill it with `erc extract --modality text --store {root}`")
    return folders, faults


def _look_around(root: Path) -> tuple[list[str], list[Fault]]:
    folders, faults = [], []
    for modality in MODALITIES:
        here = root / modality
        try:
            for entry in folder_entries(here):
                if is_folder(entry):
                    folders.append(f"{modality}/{entry.name}")
                else:
                    detail = "is not a feature's folder: move it away"
                    faults.append(Fault(modality, here / entry.name, FaultKind.UNKNOWN, detail))
        except ShardError:
            continue  # no feature of this modality
        except StoreError as error:
            faults.append(_unreadable(modality, here, error))
    return folders, faults


def _unreadable(folder: str, path: Path, error: StoreError) -> Fault:
    return Fault(folder, path, FaultKind.UNREADABLE, str(error).removeprefix(f"{path}: "))


def total_bytes(root: Path, folders: list[str]) -> int:
    """How much there is to read in these features, as far as that can be told."""
    total = 0
    for folder in folders:
        try:
            for entry in folder_entries(root / folder):
                if file_role(entry.name) in ("record", "member", "top"):
                    total += entry.stat().st_size
        except (StoreError, OSError):
            continue
    return total


def verify_store(root: Path, manifest: Manifest | None = None, advance: Advance = lambda number: None) -> StoreReport:
    """Verify every feature. `advance` is called with the bytes read. Raises as `feature_folders`."""
    reports = []
    folders, strays = feature_folders(root)  # once: a list that was short in silence would make a store sound
    for folder in folders:
        reports.append(verify_feature(root, folder, manifest, advance=advance))
        reports[-1].notes += damaged_notes(root / folder)
    return StoreReport(reports, [*strays, *(fault for report in reports for fault in report.faults)])


def verify_feature(
    root: Path,
    folder: str,
    manifest: Manifest | None = None,
    *,
    alone: bool = False,
    advance: Advance = lambda number: None,
) -> FeatureReport:
    """Verify one feature. `alone`: the caller holds its lock, so that no other run has anything in hand."""
    report = FeatureReport(folder)
    path = root / folder
    try:
        names = [entry.name for entry in folder_entries(path)]
    except ShardError:
        return report  # it was removed meanwhile
    except StoreError as error:
        report.faults.append(_unreadable(folder, path, error))
        return report
    stems = [name.removesuffix(".json") for name in names if file_role(name) == "record"]
    spec = _spec(root, folder, report, has_shards=any(file_role(name) in ("record", "member") for name in names))
    frames, ledgers = [], []
    for stem in stems:
        found = check_shard(root, folder, stem, spec, advance)
        report.faults += found.faults
        report.num_bytes += found.num_bytes
        if found.gone:
            continue
        report.shards += 1
        if found.metadata:
            ledgers.append(found.metadata)
        if found.rows is not None:
            report.rows += found.rows.height
            report.ok += int((found.rows["status"] == "ok").sum())
            frames.append(_placed(found.rows if manifest else found.rows.drop("source_digest"), stem))
    rows = pl.concat(frames) if frames else None
    if rows is not None:
        unknown = {fault.path.name.rpartition(".")[0] for fault in report.faults if not fault.is_damage}
        report.faults += _doubled(path, folder, rows, unknown)
    found_top, num_bytes = top_faults(path, folder, spec, has_shards=bool(stems))
    report.faults += found_top
    report.num_bytes += num_bytes
    advance(num_bytes)
    report.faults += _orphan_faults(path, folder, alone, report)
    report.faults += _unknown(path, folder, names)
    report.notes += [f"{folder}: shards of different versions: {text}" for text in mixed_versions(ledgers)]
    if manifest is not None and spec is not None:
        report.notes += _manifest_notes(folder, spec, rows, manifest)
    return report


def _spec(root: Path, folder: str, report: FeatureReport, has_shards: bool) -> EncoderSpec | None:
    where = root / folder / "spec.json"
    spec = None
    try:
        if not is_there(where) and not has_shards:
            return None  # an extraction that was stopped before anything was there to describe
        spec = read_spec(root / folder, folder)
        if spec.to_json().encode() == read_bytes(where):
            return spec
        kind, detail = FaultKind.SPEC, "is not written as this package writes it: the file was changed"
    except StoreError as error:
        detail = str(error).removeprefix(f"{where}: ").removesuffix(f": {SPEC_REPAIR}")
        kind = kind_of(error, FaultKind.SPEC)
    stem = None
    if kind is FaultKind.SPEC:
        found = spec_in_ledgers(root / folder, folder)
        stem = found[1] if found else None
        detail += f": {f'`--repair` writes it again from the ledger of shard {stem}' if stem else SPEC_MEND}"
    report.faults.append(Fault(folder, where, kind, detail, ledger=stem))
    return spec


def _placed(rows: pl.DataFrame, stem: str) -> pl.DataFrame:
    chunk, _, generation = stem.partition(".")
    return rows.with_columns(
        generation=pl.lit(int(generation or 0), pl.Int64), chunk=pl.lit(int(chunk), pl.Int64), stem=pl.lit(stem)
    )


def _doubled(path: Path, folder: str, rows: pl.DataFrame, unknown: set[str]) -> Iterator[Fault]:
    """Utterances that two shards of one generation hold: the later shard is at fault. One of `unknown` is not moved."""
    if rows["utterance_id"].n_unique() == rows.height:
        return
    ordered = rows.sort("generation", "chunk", maintain_order=True)
    later = ordered.filter(~pl.struct("generation", "utterance_id").is_first_distinct())
    for (stem,), group in later.group_by("stem", maintain_order=True):
        ids = group["utterance_id"]
        more = f" and {len(ids) - 1} more" if len(ids) > 1 else ""
        detail = f"{ids[0]}{more}: another shard of the same generation has it too"
        yield Fault(
            folder, path / f"{stem}.parquet", FaultKind.DUPLICATE, detail, None if stem in unknown else str(stem)
        )


def _orphan_faults(path: Path, folder: str, alone: bool, report: FeatureReport) -> list[Fault]:
    """Orphans, judged while nobody writes: else they may be a commit in hand."""
    try:
        if not any(orphans(path)):
            return []
        found: list[Path] | None = list(orphans(path)) if alone else None
        if found is None:
            with no_writer(path) as is_quiet:
                found = list(orphans(path)) if is_quiet else None
    except StoreError as error:
        return [_unreadable(folder, path, error)]
    except OSError as error:
        return [_unreadable(folder, path / ".lock", read_error(path / ".lock", error))]
    if found is None:
        report.notes.append(f"{path}: a run may be writing it: files of a commit in hand were not judged")
        return []
    return [Fault(folder, orphan, FaultKind.ORPHAN, _orphan_text(orphan)) for orphan in found]


def _orphan_text(path: Path) -> str:
    if file_role(path.name) == "temporary":
        return "is what an interrupted commit left"
    return "has no commit record: an interrupted commit, or the record was deleted"


def _unknown(path: Path, folder: str, names: list[str]) -> Iterator[Fault]:
    for name in names:
        here, role = path / name, file_role(name)
        if role == "unknown" or os.path.isdir(here) != (role == "damaged"):  # noqa: PTH112  # Path.is_dir may raise
            yield Fault(folder, here, FaultKind.UNKNOWN, "no file of a store is called so: move it away")


def _manifest_notes(folder: str, spec: EncoderSpec, rows: pl.DataFrame | None, manifest: Manifest) -> Iterator[str]:
    """How the rows that hold fit a manifest. None of it is a fault of the store: extraction mends it."""
    today = pl.DataFrame({"utterance_id": manifest.ids, "today": manifest.source_digests(spec.depends)})
    if rows is None:
        yield f"{folder}: no row for {len(manifest)} utterances of the manifest: {spec.made_by} makes them"
        return
    placed = rows.sort("generation", "chunk", maintain_order=True)
    fits = placed.join(today, left_on=["utterance_id", "source_digest"], right_on=["utterance_id", "today"], how="semi")
    others = placed.join(fits, on="utterance_id", how="anti", maintain_order="left")
    holding = pl.concat([fits, others]).unique("utterance_id", keep="last")  # as readers take them
    absent = today.join(holding, on="utterance_id", how="anti")
    if absent.height:
        yield f"{folder}: no row for {absent.height} utterances of the manifest: {spec.made_by} makes them"
    joined = today.join(holding, on="utterance_id", how="inner")
    stale = joined.filter(pl.col("today") != pl.col("source_digest")).height
    if stale:
        yield f"{folder}: {stale} rows were made from other input than the manifest's: {spec.made_by} redoes them"
    other = holding.height - joined.height
    if other:
        yield f"{folder}: {other} rows belong to utterances that the manifest does not have"
