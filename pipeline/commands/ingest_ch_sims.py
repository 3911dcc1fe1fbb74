"""`erc ingest ch-sims`: a manifest of CH-SIMS as MMSA prepares it."""

from __future__ import annotations

from pathlib import Path

import click

from pipeline.commands.ingest_options import finish, out_option
from pipeline.terminal.options import LocalPath, json_option


@click.command(
    epilog="""\b
Example:
  erc ingest ch-sims SIMS --out ch-sims.parquet

ROOT holds label.csv, with the columns video_id, clip_id, text, label and mode. It may also hold the clips
Raw/VIDEO/CLIP.mp4. The annotation is a score of sentiment from -1 to 1. --classes says how it becomes a label:

\b
5: the edges between classes are -0.7, -0.1, 0.1 and 0.7.
3: the edges are -0.1 and 0.1.
2: the edge is 0.

A score on an edge belongs to the class below. The column `sentiment` holds the sign of the score, and `note` holds the
score itself.
"""
)
@click.argument("root", type=LocalPath())
@out_option
@click.option(
    "--classes",
    type=click.Choice(["5", "3", "2"]),
    default="5",
    show_default=True,
    help="Number of classes of sentiment; see below.",
)
@click.option("--media-root", type=LocalPath(), help="Folder that holds Raw, if it is not in ROOT.")
@json_option
def command(root: Path, out: Path, classes: str, media_root: Path | None, as_json: bool) -> None:
    """CH-SIMS in the layout of MMSA: label.csv and Raw."""
    from pipeline.ingest.mmsa import ingest_mmsa

    finish(*ingest_mmsa(root, "ch-sims", int(classes), media_root), out, as_json)
