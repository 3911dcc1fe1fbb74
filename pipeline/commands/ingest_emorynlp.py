"""`erc ingest emorynlp`: a manifest of EmoryNLP's CSV files."""

from __future__ import annotations

from pathlib import Path

import click

from pipeline.commands.ingest_options import finish, out_option
from pipeline.terminal.options import LocalPath, json_option


@click.command(
    epilog="""\b
Example:
  erc ingest emorynlp MELD --out emorynlp.parquet
  erc ingest emorynlp emorynlp_train_final.csv emorynlp_dev_final.csv --out emorynlp.parquet
"""
)
@click.argument("paths", nargs=-1, required=True, type=LocalPath(), metavar="ROOT_OR_CSV...")
@out_option
@json_option
def command(paths: tuple[Path, ...], out: Path, as_json: bool) -> None:
    """EmoryNLP's emorynlp_SPLIT_final.csv files. Text only."""
    from pipeline.ingest.emorynlp import ingest_emorynlp

    finish(*ingest_emorynlp(paths), out, as_json)
