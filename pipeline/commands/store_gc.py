"""`erc store gc`: remove what a store no longer needs."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from features.errors import RunError, UsageError
from pipeline.terminal.options import LocalPath, json_option, store_argument
from pipeline.terminal.output import print_json

if TYPE_CHECKING:
    from features.store.garbage import GarbagePlan

_EPILOG = """\b
Examples:
  erc store gc store --dry-run
  erc store gc store --manifest data/manifest.parquet --manifest data/edited.parquet
  erc store gc store --unused runs

A row is replaced by a later row of the same utterance and the same source. Rows of another source
(such as an edited text) stay, since another manifest may read them. With --manifest, every row is removed
that none of the given manifests reads. So name all manifests that are in use.

--unused removes whole features. A feature is in use if the features.json of a run anywhere below RUNS
names its fingerprint, or if a feature that is in use is derived from it.
"""


@click.command("gc", epilog=_EPILOG)
@store_argument
@click.option(
    "--unused",
    "runs",
    type=LocalPath(file_okay=False),
    metavar="RUNS",
    help="Also remove every feature that no run in this folder uses.",
)
@click.option(
    "--manifest",
    "manifests",
    type=LocalPath(),
    multiple=True,
    help="A manifest that is in use; repeatable. Rows that none of these manifests reads are removed, too.",
)
@click.option("--dry-run", is_flag=True, help="List what would be removed, and remove nothing.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@json_option
def command(
    store: Path, runs: Path | None, manifests: tuple[Path, ...], dry_run: bool, yes: bool, as_json: bool
) -> None:
    """Remove shards whose rows were all replaced by later rows, and files that interrupted commits left behind.

    The command first lists what it would remove, with sizes, and then asks you. A shard stays if one of its rows is
    still in use, if it is damaged or cannot be read, or if the shard that replaces it is damaged or cannot be read.
    """
    from features.manifest import read_manifest
    from features.store.garbage import plan_garbage, remove_garbage
    from pipeline.terminal.tables import bytes_text

    tables = [read_manifest(path) for path in manifests]
    plan = plan_garbage(store, used_fingerprints(runs) if runs else None, tables)
    for note in plan.notes:
        click.echo(f"note: {note}", err=True)
    if not as_json:
        _print(store, plan)
    removed = 0
    if plan.items and not dry_run:
        if not yes:
            if as_json or not sys.stdin.isatty():
                raise UsageError("gc asks before it removes anything, and here it cannot: give --yes, or --dry-run")
            click.confirm("Remove them?", abort=True)
        removed = remove_garbage(store, plan.items, tables, (lambda: used_fingerprints(runs)) if runs else None)
        if not as_json:
            click.echo(f"{store}: {bytes_text(removed)} freed")
    if as_json:
        document = {
            "store": str(store),
            "dry_run": dry_run,
            "garbage": [
                {"feature": item.folder, "kind": item.kind, "name": item.name or None, "bytes": item.num_bytes}
                for item in plan.items
            ],
            "bytes": plan.num_bytes,
            "removed_bytes": removed,
            "notes": plan.notes,
        }
        print_json(document, indent=1)


_ENDING = {"superseded": ".*", "unused": "/"}


def _print(store: Path, plan: GarbagePlan) -> None:
    from pipeline.terminal.tables import bytes_text, text_table

    if not plan.items:
        click.echo(f"{store}: nothing to remove")
        return
    rows = [
        [str(Path(item.folder, item.name)) + _ENDING.get(item.kind, ""), item.kind, bytes_text(item.num_bytes)]
        for item in plan.items
    ]
    click.echo(text_table(["file", "why", "size"], rows))
    click.echo(f"{len(rows)} to remove, {bytes_text(plan.num_bytes)}")


def used_fingerprints(runs: Path) -> set[str]:
    """The fingerprints that the runs below a folder name in features.json. Raises RunError where there is no run."""
    if not runs.is_dir():
        raise RunError(f"no folder of runs at {runs}: give the folder that `erc ablate --out` wrote")
    used: set[str] = set()
    paths = sorted(runs.rglob("features.json"))
    if not paths:
        raise RunError(f"{runs} holds no run: every feature would be unused; give the folder that `erc ablate` wrote")
    for path in paths:
        try:
            used |= {item["fingerprint"] for item in json.loads(path.read_text(encoding="utf-8"))["features"]}
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise RunError(
                f"{path}: cannot be read ({type(error).__name__}: {error}): mend or remove its run"
            ) from error
    return used
