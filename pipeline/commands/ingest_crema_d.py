"""`erc ingest crema-d`: a manifest of CREMA-D, by the codes in its file names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from pipeline.commands.ingest_options import finish, out_option
from pipeline.commands.ingest_split_options import choice_of, split_options
from pipeline.terminal.options import LocalPath, json_option


@click.command(
    epilog="""\b
Example:
  erc ingest crema-d CREMA-D --out crema-d.parquet
  erc ingest crema-d CREMA-D --media flv --test 0.3 --seed 1 --out crema-d.parquet

ROOT holds AudioWAV, AudioMP3 or VideoFlash. The label is the emotion that the actor was asked to show. If you choose no
splits, whole speakers are drawn for test and dev. The output says who was drawn and with which seed, and the manifest's
card keeps it. Ids do not depend on the splits.
"""
)
@click.argument("root", type=LocalPath())
@out_option
@click.option(
    "--media",
    type=click.Choice(["wav", "mp3", "flv"]),
    default="wav",
    show_default=True,
    help="Which files to use. flv has picture and sound; the others have sound only.",
)
@split_options
@json_option
def command(root: Path, out: Path, media: str, as_json: bool, **options: Any) -> None:
    """CREMA-D: 91 actors, twelve sentences."""
    from pipeline.ingest.acted import ingest_crema_d

    finish(*ingest_crema_d(root, media, choice_of(options)), out, as_json)
