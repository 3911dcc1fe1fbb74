"""`erc ingest table`: a manifest of any tables, by a mapping of their columns."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from features.errors import UsageError
from pipeline.commands.ingest_options import (
    card_options,
    check_out,
    dev_option,
    finish,
    out_option,
    pairs,
    probe_option,
    reading_options,
    seed_option,
)
from pipeline.terminal.options import LocalPath, json_option, refuse_scheme

if TYPE_CHECKING:
    from pipeline.ingest.sources import Source


class _File(LocalPath):
    """FILE, or SPLIT=FILE."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        refuse_scheme("FILE", os.fspath(value).partition("=")[2])
        return super().convert(value, param, ctx)


@click.command(
    epilog="""\b
Example:
  erc ingest table talk.csv --map text=utterance,speaker=who,dialogue=conversation --split train --out talk.parquet
  erc ingest table train.csv valid.csv test.csv --dataset talk --map label=Emotion --out talk.parquet
  erc ingest table train=a.xlsx test=b.xlsx --dev 0.1 --write-card talk.yaml --out talk.parquet

\b
Files: .csv, .tsv and .txt (delimiter and encoding are detected), .jsonl, .json, .parquet, .xlsx. Several
files are one corpus. The split of each comes from a column, from SPLIT=FILE, or from the file's name.

Columns of a manifest: utterance_id, dataset, split, dialogue_id, turn, speaker, text, label,
sentiment, media, start, end, duration, group, note. If your dialogue's key is unique only within its split,
map it to `dialogue` instead of dialogue_id. Only the text must be there (or media, for sound and picture
alone). Ids are built from dataset, split, dialogue and turn. Turns come from the order of the rows.
`--map turn=` ignores a column of yours that is named like a column of the manifest.

Splits called valid, val, validation or eval become dev; training becomes train; testing becomes test.

Each row has one label, a class. Scores (regression) and several labels a row (multi-label) are not supported.

docs/own-corpus.md leads from a table to a report.
"""
)
@click.argument("files", nargs=-1, required=True, type=_File(), metavar="[SPLIT=]FILE...")
@out_option
@click.option(
    "--map",
    "maps",
    multiple=True,
    metavar="COLUMN=THEIRS,...",
    help="Take this column of the manifest from this column of the file (THEIRS); repeatable.",
)
@click.option(
    "--dataset",
    metavar="NAME",
    help="Name of the corpus, and first part of the ids.  [default: the name of the file or folder]",
)
@click.option("--split", metavar="NAME", help="The split of all rows, if no column has it.")
@click.option(
    "--split-map",
    multiple=True,
    metavar="THEIRS=OURS,...",
    help="Rename the file's splits, as in eval=test; repeatable.",
)
@dev_option
@seed_option
@card_options
@click.option(
    "--media-root", type=LocalPath(), help="Folder that clip paths are relative to.  [default: FILE's folder]"
)
@reading_options
@probe_option
@json_option
def command(
    files: tuple[Path, ...],
    out: Path,
    maps: tuple[str, ...],
    dataset: str | None,
    split: str | None,
    split_map: tuple[str, ...],
    dev: float | None,
    seed: int,
    labels: tuple[str, ...] | None,
    neutral: str | None,
    card: Path | None,
    write_card: Path | None,
    media_root: Path | None,
    delimiter: str | None,
    encoding: str | None,
    text_quotes: bool,
    sheet: str | None,
    probe: bool,
    as_json: bool,
) -> None:
    """Any .csv, .tsv, .jsonl, .json, .parquet or .xlsx files: you say which column is which."""
    from pipeline.ingest.card_template import check_is_new
    from pipeline.ingest.reading import Reading
    from pipeline.ingest.table import ingest_table

    sources = _sources(files)
    check_out(out, [source.path for source in sources])
    check_is_new(write_card)
    made = ingest_table(
        sources,
        pairs("--map", maps, "COLUMN=THEIRS, like text=utterance", may_be_empty=True),
        dataset,
        split,
        labels,
        media_root,
        probe,
        neutral=neutral,
        card=card,
        split_map=pairs("--split-map", split_map, "THEIRS=OURS, like held-out=test"),
        dev=dev,
        seed=seed,
        reading=Reading(delimiter, encoding, not text_quotes, sheet),
    )
    finish(*made, out, as_json, write_card)


def _sources(files: tuple[Path, ...]) -> list[Source]:
    from pipeline.ingest.sources import parse_source

    sources = [parse_source(str(file)) for file in files]
    repeated = [str(source.path) for source in sources if sources.count(source) > 1]
    if repeated:
        raise UsageError(f"{repeated[0]} is given twice")
    return sources
