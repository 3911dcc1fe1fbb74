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

ROOT holds train_sent_emo.csv, dev_sent_emo.csv and test_sent_emo.csv. It may also hold the clip folders
train_splits, dev_splits_complete and output_repeated_splits_test, in ROOT itself or where MELD.Raw has
them. If a clip is missing from its folder, the column `media` is empty and the column `note` says why. If
the clip folder itself is missing, `media` is empty and there is no note.
"""
)
@click.argument("root", type=LocalPath())
@out_option
@click.option(
    "--splits",
    callback=comma_separated,
    metavar="A,B",
    help="Which of train,dev,test to read.  [default: those that are there]",
)
@click.option("--media-root", type=LocalPath(), help="Folder that holds the clip folders, if they are not in ROOT.")
@click.option(
    "--dataset",
    metavar="NAME",
    help="Name of the dataset card, and first part of the ids.  [default: sample for a generated corpus, else meld]",
)
@click.option(
    "--probe/--no-probe",
    default=True,
    show_default=True,
    help="Open each clip and compare its length with the annotation.",
)
@click.option(
    "--follow-symlinks", is_flag=True, help="Also probe clips that symbolic links place outside the media root."
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
