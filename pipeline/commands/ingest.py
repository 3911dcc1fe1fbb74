"""`erc ingest`: make a manifest from a known corpus or any table."""

from __future__ import annotations

import click

from pipeline.terminal.lazy_group import LazyGroup

# name -> (module of pipeline.commands, one line of help)
_COMMANDS: dict[str, tuple[str, str]] = {
    "meld": ("ingest_meld", "MELD, or a generated sample corpus."),
    "emorynlp": ("ingest_emorynlp", "EmoryNLP's emorynlp_SPLIT_final.csv files. Text only."),
    "iemocap": ("ingest_iemocap", "IEMOCAP as it is unpacked."),
    "table": ("ingest_table", "Any .csv, .tsv, .jsonl, .json, .parquet or .xlsx files, by a mapping of their columns."),
    "merge": ("ingest_merge", "Several manifests as one."),
}


@click.group(cls=LazyGroup, members=_COMMANDS)
def command() -> None:
    """Make a manifest, the utterance table that all other commands work on.

    \b
    Example:
      erc ingest meld MELD.Raw --out data/manifest.parquet
    """
