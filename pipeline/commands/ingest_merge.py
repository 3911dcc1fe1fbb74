"""`erc ingest merge`: several manifests as one."""

from __future__ import annotations

from pathlib import Path

import click

from pipeline.commands.ingest_options import card_options, check_out, dev_option, finish, out_option, seed_option
from pipeline.terminal.options import LocalPath, json_option


@click.command(
    epilog="""\b
Example:
  erc ingest merge train.parquet test.parquet --dev 0.1 --out talk.parquet
  erc ingest merge meld.parquet mine.parquet --labels anger,joy,neutral,sadness --out both.parquet

The ids stay the same, so the features in a store still fit. Ids must be unique: if two corpora have the same
name, ingest one of them again with another --dataset. If the manifests' cards have different labels, say which
ones to use with --labels or --card. A row with any other label is refused.
"""
)
@click.argument("manifests", nargs=-1, required=True, type=LocalPath(), metavar="MANIFEST...")
@out_option
@click.option(
    "--dataset", metavar="NAME", help="Name of the joined corpus in reports.  [default: the cards' names, joined by +]"
)
@dev_option
@seed_option
@card_options
@click.option(
    "--media-root",
    type=LocalPath(),
    help="A folder that holds all clips.  [default: the folder that all clips have in common]",
)
@json_option
def command(
    manifests: tuple[Path, ...],
    out: Path,
    dataset: str | None,
    dev: float | None,
    seed: int,
    labels: tuple[str, ...] | None,
    neutral: str | None,
    card: Path | None,
    write_card: Path | None,
    media_root: Path | None,
    as_json: bool,
) -> None:
    """Join several manifests into one."""
    from pipeline.ingest.card_template import check_is_new
    from pipeline.ingest.merge import merge_manifests

    check_out(out, manifests)
    check_is_new(write_card)
    made = merge_manifests(manifests, dataset, labels, neutral, card, media_root, dev, seed)
    finish(*made, out, as_json, write_card)
