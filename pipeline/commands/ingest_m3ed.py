"""`erc ingest m3ed`: a manifest of M3ED, Chinese television series."""

from __future__ import annotations

from pathlib import Path

import click

from pipeline.commands.ingest_options import finish, out_option
from pipeline.terminal.options import LocalPath, json_option


@click.command(
    epilog="""\b
Example:
  erc ingest m3ed RUCM3ED --media-root M3ED_audio --out m3ed.parquet

ROOT holds annotation.json, and splitInfo with its three lists of series. The label is the main emotion.
Utterances with several emotions are counted. Clips are SPEAKER_UTTERANCE.wav, in the media root or in its
folder modality_speech.
"""
)
@click.argument("root", type=LocalPath())
@out_option
@click.option("--media-root", type=LocalPath(), help="Folder that holds the wav files, if they are not in ROOT.")
@json_option
def command(root: Path, out: Path, media_root: Path | None, as_json: bool) -> None:
    """M3ED: a clone of its repository, and its wav files."""
    from pipeline.ingest.m3ed import ingest_m3ed

    finish(*ingest_m3ed(root, media_root), out, as_json)
