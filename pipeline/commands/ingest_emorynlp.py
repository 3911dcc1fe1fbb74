"""`erc ingest emorynlp`: a manifest of EmoryNLP, of either edition."""

from __future__ import annotations

from pathlib import Path

import click

from pipeline.commands.ingest_options import finish, out_option
from pipeline.terminal.options import LocalPath, json_option


@click.command(
    epilog="""\b
Example:
  erc ingest emorynlp MELD --out emorynlp.parquet
  erc ingest emorynlp emotion-detection --out emorynlp.parquet
  erc ingest emorynlp emorynlp_train_final.csv emorynlp_dev_final.csv --out emorynlp.parquet

ROOT is one of these:

\b
- a clone of declare-lab/MELD, with emorynlp_SPLIT_final.csv in data/emorynlp
- a clone of emorynlp/emotion-detection, with emotion-detection-trn.json, -dev and -tst in json
- a folder that holds such files itself

The JSON files hold more utterances than the CSV files. An utterance has the same id in both.
"""
)
@click.argument("paths", nargs=-1, required=True, type=LocalPath(), metavar="ROOT_OR_FILE...")
@out_option
@json_option
def command(paths: tuple[Path, ...], out: Path, as_json: bool) -> None:
    """EmoryNLP: the MELD repository's CSV files, or the original's JSON. Text only."""
    from pipeline.ingest.emorynlp import ingest_emorynlp

    finish(*ingest_emorynlp(paths), out, as_json)
