"""`erc ingest meld`: a manifest of MELD, or a generated sample corpus."""

from __future__ import annotations

from pathlib import Path

import click

from pipeline.commands.ingest_options import comma_separated, finish, out_option
from pipeline.terminal.options import LocalPath, json_option


@click.command(
    epilog="""\b
Example:
  erc ingest meld MELD.Raw --splits train,dev --out data/manifest.parquet

ROOT holds train_sent_emo.csv, dev_sent_emo.csv and test_sent_emo.csv, and perhaps the clip folders
train_splits, dev_splits_complete and output_repeated_splits_test, in itself or where MELD.Raw has
them. A clip that is missing from its folder leaves `media` empty with a note; without a clip
folder, `media` is empty without one.
"""
)
@click.argument("root", type=LocalPath())
@out_option
@click.option(
    "--splits",
    callback=comma_separated,
    metavar="A,B",
    help="Which of train,dev,test.  [default: those that are there]",
)
@click.option("--media-root", type=LocalPath(), help="Where the clip folders are, if not in ROOT.")
@click.option(
    "--dataset",
    metavar="NAME",
    help="Name of the dataset card, and the first part of ids.  [default: sample for a generated corpus, else meld]",
)
@click.option(
    "--probe/--no-probe", default=True, show_default=True, help="Compare each clip's length with the annotation."
)
@click.option(
    "--follow-symlinks", is_flag=True, help="Also probe clips to which symbolic links lead out of the media root."
)
@json_option
def command(
    root: Path,
    out: Path,
    splits: tuple[str, ...] | None,
    media_root: Path | None,
    dataset: str | None,
    probe: bool,
    follow_symlinks: bool,
    as_json: bool,
) -> None:
    """MELD, or a generated sample corpus."""
    from pipeline.ingest.meld import ingest_meld

    finish(*ingest_meld(root, splits, dataset, probe, media_root, follow_symlinks), out, as_json)
