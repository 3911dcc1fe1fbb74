"""`erc ingest ravdess`: a manifest of RAVDESS, by the codes in its file names."""

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
  erc ingest ravdess RAVDESS --out ravdess.parquet
  erc ingest ravdess RAVDESS --modality audio-video --test-speakers 21,22,23,24 --out ravdess.parquet

ROOT holds Actor_01 to Actor_24, at any depth. If you choose no splits, whole speakers are drawn for test and dev. The
output says who was drawn and with which seed, and the manifest's card keeps it. Ids do not depend on the splits.
"""
)
@click.argument("root", type=LocalPath())
@out_option
@click.option(
    "--modality",
    type=click.Choice(["audio", "audio-video", "video"]),
    default="audio",
    show_default=True,
    help="audio: .wav files whose names begin with 03. audio-video: .mp4, 01. video: .mp4, 02.",
)
@click.option(
    "--vocal",
    type=click.Choice(["speech", "song", "both"]),
    default="speech",
    show_default=True,
    help="Spoken or sung.",
)
@split_options
@json_option
def command(root: Path, out: Path, modality: str, vocal: str, as_json: bool, **options: Any) -> None:
    """RAVDESS: 24 actors, two sentences."""
    from pipeline.ingest.acted import ingest_ravdess

    channels = ["speech", "song"] if vocal == "both" else [vocal]
    finish(*ingest_ravdess(root, modality, channels, choice_of(options)), out, as_json)
