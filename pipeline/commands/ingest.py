"""`erc ingest`: make a manifest from a known corpus or any table."""

from __future__ import annotations

import click

from pipeline.terminal.lazy_group import LazyGroup

# name -> (module of pipeline.commands, one line of help)
_COMMANDS: dict[str, tuple[str, str]] = {
    "meld": ("ingest_meld", "MELD, or a generated sample corpus."),
    "emorynlp": ("ingest_emorynlp", "EmoryNLP: the MELD repository's CSV files, or the original's JSON. Text only."),
    "iemocap": ("ingest_iemocap", "IEMOCAP in the layout of its archive."),
    "dailydialog": ("ingest_dailydialog", "DailyDialog in the layout of its archive. Text only."),
    "m3ed": ("ingest_m3ed", "M3ED: a clone of its repository, and its wav files."),
    "mosei": ("ingest_mosei", "CMU-MOSEI in the layout of MMSA: label.csv and Raw."),
    "ch-sims": ("ingest_ch_sims", "CH-SIMS in the layout of MMSA: label.csv and Raw."),
    "ravdess": ("ingest_ravdess", "RAVDESS: 24 actors, two sentences."),
    "crema-d": ("ingest_crema_d", "CREMA-D: 91 actors, twelve sentences."),
    "esd": ("ingest_esd", "ESD: 20 speakers of Mandarin and English."),
    "files": ("ingest_files", "Media files whose names tell speaker, emotion and more, by a pattern that you give."),
    "table": ("ingest_table", "Any .csv, .tsv, .jsonl, .json, .parquet or .xlsx files: you say which column is which."),
    "merge": ("ingest_merge", "Join several manifests into one."),
}


@click.group(cls=LazyGroup, members=_COMMANDS)
def command() -> None:
    """Make a manifest, the table of utterances that all other commands work on.

    \b
    Example:
      erc ingest meld MELD.Raw --out data/manifest.parquet
    """
