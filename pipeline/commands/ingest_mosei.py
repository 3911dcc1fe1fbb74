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

ROOT holds label.csv, with video_id, clip_id, text, label and mode, and perhaps the clips
Raw/VIDEO/CLIP.mp4. The label is the score of sentiment, from -3 to 3, as a class. 7: the nearest
whole number, halves to the even one. 3: its sign. 2: its sign, and a score of 0 in neither.
`sentiment` is the score's sign, and `note` holds the score.
"""
)
@click.argument("root", type=LocalPath())
@out_option
@click.option(
    "--classes", type=click.Choice(["7", "3", "2"]), default="7", show_default=True, help="Of sentiment; see below."
)
@click.option("--media-root", type=LocalPath(), help="The folder that holds Raw, if not ROOT.")
@json_option
def command(root: Path, out: Path, classes: str, media_root: Path | None, as_json: bool) -> None:
    """CMU-MOSEI as MMSA prepares it: label.csv and Raw."""
    from pipeline.ingest.mmsa import ingest_mmsa

    finish(*ingest_mmsa(root, "mosei", int(classes), media_root), out, as_json)
