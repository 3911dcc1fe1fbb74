"""`erc ingest table`: a manifest of any table, by a mapping of its columns."""

from __future__ import annotations

from pathlib import Path

import click

from features.errors import UsageError
from pipeline.commands.ingest_options import comma_separated, finish, out_option, probe_option
from pipeline.terminal.options import LocalPath, json_option


@click.command(
    epilog="""\b
Example:
  erc ingest table talk.csv --map text=utterance,speaker=who,dialogue=conversation --split train --out talk.parquet

Columns of a manifest: utterance_id, dataset, split, dialogue_id, turn, speaker, text, label,
sentiment, media, start, end, duration, group, note. `dialogue` stands for a key that is unique only
within its split. Only the text must be there: ids are built from dataset, split, dialogue and turn,
and turns from the order of the rows.
"""
)
@click.argument("file", type=LocalPath())
@out_option
@click.option(
    "--map", "maps", multiple=True, metavar="COLUMN=THEIRS,...", help="Manifest column = the file's; repeatable."
)
@click.option("--dataset", metavar="NAME", help="Name of the corpus.  [default: the file's name]")
@click.option("--split", metavar="NAME", help="The split of all rows, where no column tells it.")
@click.option("--labels", callback=comma_separated, metavar="A,B,...", help="Emotions in the order of reports.")
@click.option("--media-root", type=LocalPath(), help="What clip paths are relative to.  [default: FILE's folder]")
@probe_option
@json_option
def command(
    file: Path,
    out: Path,
    maps: tuple[str, ...],
    dataset: str | None,
    split: str | None,
    labels: tuple[str, ...] | None,
    media_root: Path | None,
    probe: bool,
    as_json: bool,
) -> None:
    """Any .csv, .tsv or .jsonl file, by a mapping of its columns."""
    from pipeline.ingest.table import ingest_table

    finish(*ingest_table(file, _mapping(maps), dataset, split, labels, media_root, probe), out, as_json)


def _mapping(maps: tuple[str, ...]) -> dict[str, str]:
    mapping: dict[str, str] = {}
    for pair in (pair.strip() for item in maps for pair in item.split(",")):
        target, equals, column = (part.strip() for part in pair.partition("="))
        if not (target and equals and column):
            raise UsageError(f"--map {pair!r} is not COLUMN=THEIRS, like text=utterance")
        if target in mapping:
            raise UsageError(f"--map {target} is given twice, as {mapping[target]!r} and as {column!r}")
        mapping[target] = column
    return mapping
