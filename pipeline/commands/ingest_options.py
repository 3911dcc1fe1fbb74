"""What every `erc ingest` command shares: its options, and the end, where the manifest is written and told about."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from pipeline.terminal.options import DEFAULT_MANIFEST, Command, LocalPath
from pipeline.terminal.output import print_json

if TYPE_CHECKING:
    from features.manifest import Manifest
    from pipeline.ingest.summary import IngestSummary


def out_option(command: Command) -> Command:
    """--out, which defaults to where the other commands look for a manifest."""
    return click.option(
        "--out",
        type=LocalPath(dir_okay=False),
        envvar="ERC_MANIFEST",
        default=DEFAULT_MANIFEST,
        show_default=True,
        show_envvar=True,
        help="The manifest to write: .parquet carries the dataset card and the media root, .csv and .jsonl do not.",
    )(command)


def probe_option(command: Command) -> Command:
    """--probe, where utterances may be cut out of longer clips."""
    return click.option(
        "--probe/--no-probe",
        default=True,
        show_default=True,
        help="Look whether the clips that utterances are cut out of are as long as the cuts say.",
    )(command)


def comma_separated(context: click.Context, parameter: click.Parameter, value: str | None) -> tuple[str, ...] | None:
    if value is None:
        return None
    items = tuple(item.strip() for item in value.split(",") if item.strip())
    if not items:
        raise click.BadParameter("names nothing")
    return items


def finish(manifest: Manifest, summary: IngestSummary, out: Path, as_json: bool) -> None:
    """Write the manifest and tell what was found, on stdout."""
    from features.manifest import write_manifest

    write_manifest(manifest, out)
    if as_json:
        print_json({"manifest": str(out)} | summary.to_dict(), indent=1)
        return
    for line in summary.lines():
        click.echo(line)
    click.echo(f"wrote {out}: {len(manifest):,} utterances")
