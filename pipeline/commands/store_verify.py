"""`erc store verify`: every byte of a store accounted for, and damaged shards removed where that is asked for."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pipeline.terminal.options import LocalPath, json_option, store_or_export_argument

if TYPE_CHECKING:
    from features.store.verify import StoreReport

_EPILOG = """\b
Examples:
  erc store verify store
  erc store verify store --manifest data/manifest.parquet
  erc store verify store --repair && erc extract --store store
  erc store verify sentence.parquet

A store is a folder with text/, audio/ or visual/; a file, or a folder with embedding.npy or values.npy,
is an export: its sha256 and the crc32 of each row are compared, and wrong rows named by their ids.

Exit status: 0 sound, 1 with faults (after --repair: with faults that are left), 2 wrong usage.
"""


@click.command("verify", epilog=_EPILOG)
@store_or_export_argument
@click.option(
    "--manifest",
    type=LocalPath(),
    help="Tell also how the rows fit this utterance table: which are absent, stale or of other utterances.",
)
@click.option(
    "--repair", is_flag=True, help="Remove damaged shards and orphans; `erc extract` then makes just them again."
)
@json_option
def command(store: Path, manifest: Path | None, repair: bool, as_json: bool) -> int:
    """Check every byte of every feature: specs, commit records, checksums, each row's crc32, finiteness and ledgers.

    Nothing is written without --repair, and an extraction may run meanwhile: what it has in hand is no fault. Rows that
    a manifest lacks or that are stale are told, but are no faults: `erc extract` mends them.
    """
    from features.errors import UsageError
    from features.manifest import read_manifest
    from features.store.export_verify import is_export
    from features.store.repair import repair_store
    from features.store.verify import feature_folders, total_bytes, verify_store
    from pipeline.commands.store_verify_export import verify_exported
    from pipeline.terminal.progress import progress_bar
    from pipeline.terminal.tables import bytes_text

    if is_export(store):
        if repair or manifest:
            raise UsageError(f"{store} is an export: --repair and --manifest are of stores; a damaged one is made anew")
        return verify_exported(store, as_json)
    if repair and manifest:
        raise UsageError("--repair and --manifest do not go together: repair first, then verify with --manifest")
    table = read_manifest(manifest) if manifest else None
    started = time.perf_counter()
    removed: list[str] = []
    with progress_bar(total_bytes(store, feature_folders(store)), "B", "verify", scaled=True) as bar:
        if repair:
            report, removed = repair_store(store, bar.update)
        else:
            report = verify_store(store, table, bar.update)
    if as_json:
        click.echo(json.dumps(_document(store, report, removed), ensure_ascii=False, indent=1))
        return 1 if report.faults else 0
    for line in removed:
        click.echo(line)
    for fault in report.faults:
        click.echo(str(fault))
    for note in report.notes:
        click.echo(f"note: {note}", err=True)
    if removed:
        click.echo(f"{store}: {len(removed)} removed: run `erc extract` again to make what is gone")
    if report.faults:
        click.echo(_faults_line(store, report, repair))
        return 1
    num_bytes = sum(feature.num_bytes for feature in report.features)
    shards, rows, ok = (sum(getattr(feature, name) for feature in report.features) for name in ("shards", "rows", "ok"))
    seconds = time.perf_counter() - started
    click.echo(
        f"{store}: sound: {len(report.features)} features, {shards:,} shards, {rows:,} rows ({ok:,} ok),"
        f" {bytes_text(num_bytes)} in {seconds:.1f} s"
    )
    return 0


def _faults_line(store: Path, report: StoreReport, repair: bool) -> str:
    features = {fault.feature for fault in report.faults}
    count = f"{store}: {len(report.faults)} faults in {len(features)} features"
    if repair:
        return f"{count} are left, which no extraction mends: see each of them"
    return f"{count}: `erc store verify {store} --repair` removes damaged shards, then `erc extract` makes them again"


def _document(store: Path, report: StoreReport, removed: list[str]) -> dict[str, object]:
    return {
        "store": str(store),
        "ok": not report.faults,
        "faults": [fault.to_dict() for fault in report.faults],
        "notes": report.notes,
        "removed": removed,
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
