"""`erc ingest merge`: several manifests as one."""

from __future__ import annotations

from pathlib import Path

import click

from pipeline.commands.ingest_options import card_options, dev_option, finish, out_option, seed_option
from pipeline.terminal.options import LocalPath, json_option


@click.command(
    epilog="""\b
Example:
  erc ingest merge train.parquet test.parquet --dev 0.1 --out talk.parquet
  erc ingest merge meld.parquet mine.parquet --labels anger,joy,neutral,sadness --out both.parquet

Ids stay, so a store's features are found again. They must not collide: two corpora of one name are
ingested again with --dataset. Where the manifests' cards name different labels, --labels or --card
says which hold; a row with another is refused.
"""
)
@click.argument("manifests", nargs=-1, required=True, type=LocalPath(), metavar="MANIFEST...")
@out_option
@click.option(
    "--dataset", metavar="NAME", help="What reports call the whole.  [default: the cards' names, joined by +]"
)
@dev_option
@seed_option
@card_options
@click.option(
    "--media-root", type=LocalPath(), help="A folder that all clips lie in.  [default: what they have in common]"
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
    """Several manifests as one."""
    from pipeline.ingest.card_template import check_is_new
    from pipeline.ingest.merge import merge_manifests

    check_is_new(write_card)
    made = merge_manifests(manifests, dataset, labels, neutral, card, media_root, dev, seed)
    finish(*made, out, as_json, write_card)
