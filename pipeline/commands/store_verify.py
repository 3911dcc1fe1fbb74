"""`erc store verify`: every byte of a store accounted for, and damaged shards moved away where that is asked for."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pipeline.terminal.options import LocalPath, json_option, store_or_export_argument
from pipeline.terminal.output import print_json

if TYPE_CHECKING:
    from features.store.faults import Fault
    from features.store.verify import StoreReport

_EPILOG = """\b
Examples:
  erc store verify store
  erc store verify store --manifest data/manifest.parquet
  erc store verify store --repair && erc extract --store store
  erc store verify sentence.parquet

A store is a folder with text/, audio/ or visual/. A file is an export, and so is a folder with embedding.npy or
values.npy. In an export, the sha256 and the crc32 of each row are checked, and wrong rows are named by their ids.
In exports to mmsa, mertools, conv-emotion and hf, only the sha256 of each file is checked.

--repair moves damaged files to .damaged/ in the feature's folder. A file that could not be read does not count
as damaged: it is named, and stays where it is.

Exit status: 0 no faults; 1 faults (after --repair: if faults are left, or if another run holds a feature); 2
wrong usage.
"""


@click.command("verify", epilog=_EPILOG)
@store_or_export_argument
@click.option(
    "--manifest",
    type=LocalPath(),
    help="Also compare the rows with this table of utterances: which are absent, stale, or of other utterances.",
)
@click.option(
    "--repair",
    is_flag=True,
    help="Move damaged shards and leftovers of interrupted commits away. `erc extract` then makes just these rows"
    " again.",
)
@click.option(
    "--tag", metavar="NAME", help="Only check that the store still has the rows that `erc store tag NAME` recorded."
)
@json_option
def command(store: Path, manifest: Path | None, repair: bool, tag: str | None, as_json: bool) -> int:
    """Check every byte of every feature: specs, commit records, checksums, each row's crc32, finite numbers, ledgers.

    Without --repair nothing is written. An extraction may run at the same time: files that it is writing do not count
    as faults. With --manifest, rows that are stale or absent are named. They do not count as faults either, since `erc
    extract` makes them anew.
    """
    from features.errors import UsageError
    from features.exports.verify import is_tool_export
    from features.manifest import read_manifest
    from features.store.export_verify import is_export
    from features.store.repair import repair_store
    from features.store.verify import feature_folders, total_bytes, verify_store
    from pipeline.commands.store_verify_export import verify_exported, verify_exported_for_tool
    from pipeline.terminal.progress import progress_bar
    from pipeline.terminal.tables import bytes_text

    if tag is not None:
        if repair or manifest:
            raise UsageError("--tag cannot be combined with --repair or --manifest: leave them out")
        return _verify_tag(store, tag, as_json)
    is_for_tool = is_tool_export(store)
    if is_for_tool or is_export(store):
        if repair or manifest:
            raise UsageError(
                f"{store} is an export: --repair and --manifest work only on stores; make it again if damaged"
            )
        return (verify_exported_for_tool if is_for_tool else verify_exported)(store, as_json)
    if repair and manifest:
        raise UsageError("--repair and --manifest do not go together: repair first, then verify with --manifest")
    table = read_manifest(manifest) if manifest else None
    started = time.perf_counter()
    done: list[str] = []
    with progress_bar(total_bytes(store, feature_folders(store)[0]), "B", "verify", scaled=True) as bar:
        if repair:
            report, done = repair_store(store, bar.update)
        else:
            report = verify_store(store, table, bar.update)
    if as_json:
        print_json(_document(store, report, done), indent=1)
        return 0 if report.is_sound else 1
    for line in done:
        click.echo(line)
    for fault in report.faults:
        click.echo(str(fault))
    for note in report.notes:
        click.echo(f"note: {note}", err=True)
    for line in report.untouched:
        click.echo(f"not repaired: {line}", err=True)
    if done:
        click.echo(f"{store}: {len(done)} repaired: `erc extract` makes again what was moved away")
    if not report.is_sound:
        click.echo(_summary_of_faults(store, report))
        return 1
    num_bytes = sum(feature.num_bytes for feature in report.features)
    shards, rows, ok = (sum(getattr(feature, name) for feature in report.features) for name in ("shards", "rows", "ok"))
    seconds = time.perf_counter() - started
    click.echo(
        f"{store}: sound: {len(report.features)} features, {shards:,} shards, {rows:,} rows ({ok:,} ok),"
        f" {bytes_text(num_bytes)} in {seconds:.1f} s"
    )
    return 0


def _summary_of_faults(store: Path, report: StoreReport) -> str:
    """How many there are of each sort, and what to do about it: only what repair can mend recommends it."""
    repairable = [fault for fault in report.faults if fault.is_repairable]
    unreadable = sum(fault.kind == "unreadable" for fault in report.faults)
    later = sum(fault.kind == "format" for fault in report.faults)
    others = [fault for fault in report.faults if fault.is_damage and not fault.is_repairable]
    parts = []
    if repairable:
        mend = f"`erc store verify {store} --repair` moves damaged shards away"
        parts.append(f"{_counted(repairable)}: {mend}, then `erc extract` makes them again")
    if others:
        parts.append(f"{_counted(others)} {'more ' if repairable else ''}that no repair mends: see each of them")
    if unreadable:
        parts.append(f"{unreadable} could not be read, which is not damage: nothing is lost, see what prevents reading")
    if later:
        parts.append(f"{later} were written by a later version: upgrade")
    if report.untouched:
        parts.append(f"{len(report.untouched)} features were not repaired")
    return f"{store}: {'; '.join(parts)}"


def _counted(faults: list[Fault]) -> str:
    return f"{len(faults)} faults in {len({fault.feature for fault in faults})} features"


def _verify_tag(store: Path, name: str, as_json: bool) -> int:
    from features.store.tags import check_tag, read_tag

    tag = read_tag(store, name)
    problems = check_tag(store, tag)
    if as_json:
        print_json({"tag": name, "digest": tag.digest, "rows": len(tag.rows), "problems": problems}, indent=1)
    else:
        click.echo("\n".join(problems) or f"tag {name}: all {len(tag.rows):,} rows are there ({tag.digest})")
    return 1 if problems else 0


def _document(store: Path, report: StoreReport, done: list[str]) -> dict[str, object]:
    return {
        "store": str(store),
        "ok": report.is_sound,
        "faults": [fault.to_dict() for fault in report.faults],
        "notes": report.notes,
        "repaired": done,
        "not_repaired": report.untouched,
        "features": [
            {
                "feature": feature.folder,
                "shards": feature.shards,
                "rows": feature.rows,
                "ok": feature.ok,
                "bytes": feature.num_bytes,
                "faults": len(feature.faults),
            }
            for feature in report.features
        ],
    }
