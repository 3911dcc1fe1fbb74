"""What every `erc ingest` command shares: its options, and the end, where the manifest is written and told about."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from features.defaults import DEFAULT_MANIFEST, MANIFEST_VARIABLE
from features.errors import UsageError
from pipeline.terminal.options import Command, LocalPath
from pipeline.terminal.output import print_json

if TYPE_CHECKING:
    from features.manifest import Manifest
    from pipeline.ingest.summary import IngestSummary


def out_option(command: Command) -> Command:
    """--out, which defaults to where the other commands look for a manifest."""
    return click.option(
        "--out",
        type=LocalPath(dir_okay=False),
        envvar=MANIFEST_VARIABLE,
        default=DEFAULT_MANIFEST,
        show_default=True,
        show_envvar=True,
        help="The manifest to write. A .parquet file also keeps the dataset card and the media root; .csv and"
        " .jsonl do not.",
    )(command)


def probe_option(command: Command) -> Command:
    """--probe, where utterances may be cut out of longer clips."""
    return click.option(
        "--probe/--no-probe",
        default=True,
        show_default=True,
        help="If utterances are cut from longer files, check that the files are long enough.",
    )(command)


def card_options(command: Command) -> Command:
    """--labels, --neutral, --card and --write-card."""
    for option in (
        click.option(
            "--write-card",
            type=LocalPath(dir_okay=False),
            help="Write a dataset card with what was found, for you to complete.",
        ),
        click.option(
            "--card",
            type=LocalPath(dir_okay=False),
            help="A dataset card of your own (YAML): labels in order, the neutral label, main speakers, bad clips,"
            " licence.",
        ),
        click.option(
            "--neutral",
            metavar="LABEL",
            help="The neutral label, which a baseline always predicts.  [default: a label spelt neutral, in any case]",
        ),
        click.option(
            "--labels", callback=comma_separated, metavar="A,B,...", help="The labels, in the order that reports show."
        ),
    ):
        command = option(command)
    return command


def reading_options(command: Command) -> Command:
    """How text files and workbooks are read where they do not say it themselves."""
    for option in (
        click.option("--sheet", metavar="NAME", help="Which sheet of an .xlsx."),
        click.option("--no-quotes", "text_quotes", is_flag=True, help="In a CSV, read quote marks as plain text."),
        click.option(
            "--encoding",
            metavar="NAME",
            help="Encoding of text files, such as gb18030.  [default: UTF-8, or what a byte order mark says]",
        ),
        click.option(
            "--delimiter",
            callback=delimiter_of,
            metavar="CHAR|NAME",
            help="Delimiter of a CSV: a character, or comma, semicolon, tab, bar.  [default: detected]",
        ),
    ):
        command = option(command)
    return command


def dev_option(command: Command) -> Command:
    return click.option(
        "--dev",
        type=click.FloatRange(0, 1, min_open=True, max_open=True),
        metavar="SHARE",
        help="Move this share of train to dev, in whole groups; if there are no groups, in whole dialogues.",
    )(command)


def seed_option(command: Command) -> Command:
    return click.option(
        "--seed", type=click.IntRange(0), default=0, show_default=True, help="Seed of the draw that --dev makes."
    )(command)


def delimiter_of(context: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
    names = {"comma": ",", "semicolon": ";", "tab": "\t", "\\t": "\t", "bar": "|"}
    chosen = names.get(value, value) if value is not None else None
    if chosen is not None and (len(chosen) != 1 or chosen in '"\r\n'):
        raise click.BadParameter(f"{value!r} is not one character, nor one of comma, semicolon, tab and bar")
    return chosen


def pair(option: str, text: str, form: str, may_be_empty: bool = False) -> tuple[str, str]:
    """`A=B` as (A, B); with may_be_empty also `A=`. Raises UsageError for what has another form."""
    key, equals, value = (part.strip() for part in text.partition("="))
    if not (key and equals and (value or may_be_empty)):
        raise UsageError(f"{option} {text!r} is not {form}")
    return key, value


def pairs(
    option: str, items: Sequence[str], form: str, may_be_empty: bool = False, separator: str | None = ","
) -> dict[str, str]:
    """`A=B,C=D` and its repetitions as a dict. separator: between the pairs of an item; None where an item is one.

    Raises UsageError for what has another form, or a key given twice.
    """
    found: dict[str, str] = {}
    for text in (part.strip() for item in items for part in (item.split(separator) if separator else (item,))):
        key, value = pair(option, text, form, may_be_empty)
        if key in found:
            raise UsageError(f"{option} {key} is given twice, as {found[key]!r} and as {value!r}")
        found[key] = value
    return found


def comma_separated(context: click.Context, parameter: click.Parameter, value: str | None) -> tuple[str, ...] | None:
    if value is None:
        return None
    items = tuple(item.strip() for item in value.split(",") if item.strip())
    if not items:
        raise click.BadParameter("names nothing")
    return items


def check_out(out: Path, sources: Sequence[Path]) -> None:
    """Before they are read. Raises UsageError where the manifest would replace one of its own sources."""
    if any(source.resolve() == out.resolve() for source in sources):
        raise UsageError(f"--out {out} is one of the files that are read, and would be lost: give another --out")


def finish(
    manifest: Manifest, summary: IngestSummary, out: Path, as_json: bool, write_card: Path | None = None
) -> None:
    """Write the manifest, and a card to fill in where one is asked for; tell what was found, on stdout."""
    from features.manifest import write_manifest

    write_manifest(manifest, out)
    summary = _with_lost_card(manifest, summary, out)
    if write_card is not None:
        from pipeline.ingest.card_template import write_card_template

        write_card_template(manifest, write_card)
    if as_json:
        card = {"card": str(write_card)} if write_card else {}
        print_json({"manifest": str(out)} | card | summary.to_dict(), indent=1)
        return
    for line in summary.lines():
        click.echo(line)
    if write_card is not None:
        click.echo(f"wrote {write_card}: a card to fill in, for --card")
    click.echo(f"wrote {out}: {len(manifest):,} utterances")


def _with_lost_card(manifest: Manifest, summary: IngestSummary, out: Path) -> IngestSummary:
    """The summary, with a hint where the file cannot carry what the dataset card says."""
    from features.manifest import read_manifest

    if out.suffix.lower() == ".parquet" or read_manifest(out).card == manifest.card:
        return summary
    lost = f"{out} does not carry its dataset card (the order of labels, neutral, leads, ...): write .parquet"
    return replace(summary, hints=(*summary.hints, lost))
