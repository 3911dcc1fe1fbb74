"""`erc ingest esd`: a manifest of ESD, by its folders and file names."""

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
  erc ingest esd ESD --language english --out esd.parquet
  erc ingest esd ESD --language english --test-speakers 0019,0020 --dev-speakers 0018 --out esd.parquet

ROOT holds SPEAKER/EMOTION/SPLIT/SPEAKER_NUMBER.wav and SPEAKER/SPEAKER.txt. All speakers occur in each of the
corpus's own splits. If you give an option that chooses speakers, those splits are not used. The later edition
has no folders of splits: there, whole speakers are drawn.
"""
)
@click.argument("root", type=LocalPath())
@out_option
@click.option(
    "--language",
    type=click.Choice(["mandarin", "english"]),
    help="Take only the speakers of this language.  [default: both]",
)
@split_options
@json_option
def command(root: Path, out: Path, language: str | None, as_json: bool, **options: Any) -> None:
    """ESD: 20 speakers of Mandarin and English."""
    from pipeline.ingest.acted import ingest_esd

    finish(*ingest_esd(root, language, choice_of(options)), out, as_json)
