"""`erc ingest dailydialog`: a manifest of DailyDialog as it is unpacked."""

from __future__ import annotations

from pathlib import Path

import click

from pipeline.commands.ingest_options import finish, out_option
from pipeline.terminal.options import LocalPath, json_option


@click.command(
    epilog="""\b
Example:
  erc ingest dailydialog ijcnlp_dailydialog --out dailydialog.parquet

ROOT holds the folders train, validation and test, unpacked from their archives. Each has dialogues_SPLIT.txt
and dialogues_emotion_SPLIT.txt. If a line has another number of labels than of utterances, its dialogue is
kept without labels. Dialogues that occur in several splits are counted and named.
"""
)
@click.argument("root", type=LocalPath())
@out_option
@json_option
def command(root: Path, out: Path, as_json: bool) -> None:
    """DailyDialog in the layout of its archive. Text only."""
    from pipeline.ingest.dailydialog import ingest_dailydialog

    finish(*ingest_dailydialog(root), out, as_json)
