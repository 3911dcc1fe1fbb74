"""`erc ingest mosei`: a manifest of CMU-MOSEI as MMSA prepares it."""

from __future__ import annotations

from pathlib import Path

import click

from pipeline.commands.ingest_options import finish, out_option
from pipeline.terminal.options import LocalPath, json_option


@click.command(
    epilog="""\b
Example:
  erc ingest mosei MOSEI --out mosei.parquet

ROOT holds label.csv, with the columns video_id, clip_id, text, label and mode. It may also hold the clips
Raw/VIDEO/CLIP.mp4. The annotation is a score of sentiment from -3 to 3. --classes says how it becomes a label:

\b
7: the nearest whole number; halves go to the even number.
3: the sign of the score.
2: the sign of the score; a score of 0 belongs to neither class.

The column `sentiment` holds the sign of the score, and `note` holds the score itself.
"""
)
@click.argument("root", type=LocalPath())
@out_option
@click.option(
    "--classes",
    type=click.Choice(["7", "3", "2"]),
    default="7",
    show_default=True,
    help="Number of classes of sentiment; see below.",
)
@click.option("--media-root", type=LocalPath(), help="Folder that holds Raw, if it is not in ROOT.")
@json_option
def command(root: Path, out: Path, classes: str, media_root: Path | None, as_json: bool) -> None:
    """CMU-MOSEI in the layout of MMSA: label.csv and Raw."""
    from pipeline.ingest.mmsa import ingest_mmsa

    finish(*ingest_mmsa(root, "mosei", int(classes), media_root), out, as_json)
