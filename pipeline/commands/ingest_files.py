"""`erc ingest files`: a manifest of files whose names carry codes."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from features.errors import UsageError
from pipeline.commands.ingest_options import card_options, finish, out_option, pair, pairs
from pipeline.commands.ingest_split_options import choice_of, split_options
from pipeline.terminal.options import LocalPath, json_option


@click.command(
    epilog="""\b
Example:
  erc ingest files EmoDB/wav --pattern '{speaker:2}{sentence:3}{emotion:1}{version:1}' \\
      --values emotion:W=anger,N=neutral,F=joy,T=sadness,A=fear,E=disgust,L=boredom --out emodb.parquet
  erc ingest files corpus --pattern '{speaker}/{emotion}/{split}/{id}.wav' --out corpus.parquet

A pattern describes a file's name. If it has a /, it also describes the folders above the file. {name} is a
field that reaches to the next separator; {name:2} is a field of two characters. A field that occurs twice must
have the same text in both places. You may leave out the file's ending.

The fields label (or emotion), speaker (or actor), group, split, dialogue, turn, text and sentiment fill the
manifest's columns. Other fields only tell utterances apart. Without {dialogue}, every file is a dialogue of its
own. Without {split}, whole speakers are drawn for test and dev. Files that do not match are counted and named.
"""
)
@click.argument("root", type=LocalPath())
@out_option
@click.option("--pattern", required=True, help="How the files are named, such as '{speaker}_{emotion}_{take}'.")
@click.option(
    "--values",
    multiple=True,
    metavar="FIELD:CODE=VALUE,...",
    help="What a field's codes mean; repeatable. CODE= leaves the column empty.",
)
@click.option("--map", "maps", multiple=True, metavar="COLUMN=FIELD,...", help="Fill this column from this field.")
@click.option(
    "--keep", multiple=True, metavar="FIELD=VALUE,...", help="Take only files with one of these values; repeatable."
)
@click.option("--dataset", metavar="NAME", help="Name of the corpus.  [default: ROOT's name]")
@card_options
@split_options
@json_option
def command(
    root: Path,
    out: Path,
    pattern: str,
    values: tuple[str, ...],
    maps: tuple[str, ...],
    keep: tuple[str, ...],
    dataset: str | None,
    labels: tuple[str, ...] | None,
    neutral: str | None,
    card: Path | None,
    write_card: Path | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Media files whose names tell speaker, emotion and more, by a pattern that you give."""
    from features.cards import DatasetCard
    from pipeline.ingest.card_template import check_is_new
    from pipeline.ingest.file_names import FileNames, ingest_files
    from pipeline.ingest.own_card import given_card

    check_is_new(write_card)
    kept = {
        field: items.split(",") for field, items in pairs("--keep", keep, "FIELD=VALUE,...", separator=None).items()
    }
    columns = pairs("--map", maps, "COLUMN=FIELD")
    names = FileNames(pattern, _meanings(values), columns, kept)
    name = dataset or root.resolve().name
    own = given_card(card, dataset) or DatasetCard(dataset=name, title=name)
    own = replace(own, labels=labels or own.labels, neutral=None if labels else own.neutral)
    finish(*ingest_files(root, names, own, choice_of(options), neutral=neutral), out, as_json, write_card)


def _meanings(values: tuple[str, ...]) -> dict[str, dict[str, str]]:
    """Field -> code -> value. A comma parts codes only where CODE= follows, so that a value may hold one."""
    meanings: dict[str, dict[str, str]] = {}
    for text in values:
        field, colon, codes = (part.strip() for part in text.partition(":"))
        if not (field and colon):
            raise UsageError(f"--values {text!r} is not FIELD:CODE=VALUE,..., like emotion:01=neutral,02=calm")
        for item in re.split(r",(?=[^,=]+=)", codes):
            code, value = pair(f"--values {field}:", item, "CODE=VALUE", may_be_empty=True)
            if meanings.setdefault(field, {}).setdefault(code, value) != value:
                raise UsageError(
                    f"--values {field}:{code} is given twice, as {meanings[field][code]!r} and as {value!r}"
                )
    return meanings
