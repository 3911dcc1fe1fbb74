"""`erc ingest`: make a manifest from MELD, EmoryNLP, IEMOCAP or any table."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from features.errors import UsageError
from pipeline.terminal.options import DEFAULT_MANIFEST, Command, LocalPath, json_option
from pipeline.terminal.output import print_json

if TYPE_CHECKING:
    from features.manifest import Manifest
    from pipeline.ingest.summary import IngestSummary


def _out_option(command: Command) -> Command:
    """--out, which defaults to where the other commands look for a manifest."""
    return click.option(
        "--out",
        type=LocalPath(dir_okay=False),
        envvar="ERC_MANIFEST",
        default=DEFAULT_MANIFEST,
        show_default=True,
        show_envvar=True,
        help="The manifest to write: .parquet carries the dataset card and the media root, .csv and .jsonl do not.",
    )(command)


def _probe_option(command: Command) -> Command:
    """--probe, where utterances may be cut out of longer clips."""
    return click.option(
        "--probe/--no-probe",
        default=True,
        show_default=True,
        help="Look whether the clips that utterances are cut out of are as long as the cuts say.",
    )(command)


def _comma_separated(context: click.Context, parameter: click.Parameter, value: str | None) -> tuple[str, ...] | None:
    if value is None:
        return None
    items = tuple(item.strip() for item in value.split(",") if item.strip())
    if not items:
        raise click.BadParameter("names nothing")
    return items


@click.group()
def command() -> None:
    """Make a manifest, the utterance table that all other commands work on.

    \b
    Example:
      erc ingest meld MELD.Raw --out data/manifest.parquet
    """


@command.command(
    epilog="""\b
Example:
  erc ingest meld MELD.Raw --splits train,dev --out data/manifest.parquet

ROOT holds train_sent_emo.csv, dev_sent_emo.csv and test_sent_emo.csv, and perhaps the clip folders
train_splits, dev_splits_complete and output_repeated_splits_test, in itself or where MELD.Raw has
them. A clip that is missing from its folder leaves `media` empty with a note; without a clip
folder, `media` is empty without one.
"""
)
@click.argument("root", type=LocalPath())
@_out_option
@click.option(
    "--splits", callback=_comma_separated, metavar="A,B", help="Of train,dev,test.  [default: those that are there]"
)
@click.option("--media-root", type=LocalPath(), help="Where the clip folders are, if not in ROOT.")
@click.option(
    "--dataset",
    metavar="NAME",
    help="The card and the ids' first part.  [default: sample where ROOT is one, else meld]",
)
@click.option(
    "--probe/--no-probe", default=True, show_default=True, help="Compare the clips' lengths with the annotation."
)
@click.option(
    "--follow-symlinks", is_flag=True, help="Probe clips, too, that symbolic links lead to out of the media root."
)
@json_option
def meld(
    root: Path,
    out: Path,
    splits: tuple[str, ...] | None,
    media_root: Path | None,
    dataset: str | None,
    probe: bool,
    follow_symlinks: bool,
    as_json: bool,
) -> None:
    """MELD, or a generated sample corpus."""
    from pipeline.ingest.meld import ingest_meld

    _finish(*ingest_meld(root, splits, dataset, probe, media_root, follow_symlinks), out, as_json)


@command.command(
    epilog="""\b
Example:
  erc ingest emorynlp MELD --out emorynlp.parquet
  erc ingest emorynlp emorynlp_train_final.csv emorynlp_dev_final.csv --out emorynlp.parquet
"""
)
@click.argument("paths", nargs=-1, required=True, type=LocalPath(), metavar="ROOT_OR_CSV...")
@_out_option
@json_option
def emorynlp(paths: tuple[Path, ...], out: Path, as_json: bool) -> None:
    """EmoryNLP's emorynlp_SPLIT_final.csv files. Text only."""
    from pipeline.ingest.emorynlp import ingest_emorynlp

    _finish(*ingest_emorynlp(paths), out, as_json)


@command.command(
    epilog="""\b
Example:
  erc ingest iemocap IEMOCAP_full_release --labels 4 --test-session 5 --dev session4 --out iemocap.parquet

ROOT holds Session1 to Session5. Utterances with other labels than the four or six stay in their
dialogue as context, with an empty label.
"""
)
@click.argument("root", type=LocalPath())
@_out_option
@click.option(
    "--labels",
    type=click.Choice(["4", "6"]),
    default="6",
    show_default=True,
    help="4: angry, happy (with excited), neutral, sad. 6: excited and frustrated apart.",
)
@click.option("--test-session", type=click.IntRange(1, 5), default=5, show_default=True, help="The session to test on.")
@click.option(
    "--dev",
    default="session4",
    show_default=True,
    metavar="sessionN|random-dialogues",
    help="A session, or a tenth of the dialogues that are not test.",
)
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="For --dev random-dialogues.")
@click.option(
    "--media",
    type=click.Choice(["auto", "avi", "wav", "none"]),
    default="auto",
    show_default=True,
    help="avi: the dialogue's film, cut. wav: the sentence's file, sound only. auto: avi if there are any, else wav.",
)
@_probe_option
@json_option
def iemocap(
    root: Path,
    out: Path,
    labels: str,
    test_session: int,
    dev: str,
    seed: int,
    media: Any,
    probe: bool,
    as_json: bool,
) -> None:
    """IEMOCAP as it is unpacked."""
    from pipeline.ingest.iemocap import ingest_iemocap

    _finish(*ingest_iemocap(root, int(labels), test_session, dev, seed, media, probe), out, as_json)


@command.command(
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
@_out_option
@click.option(
    "--map", "maps", multiple=True, metavar="COLUMN=THEIRS,...", help="Manifest column = the file's; repeatable."
)
@click.option("--dataset", metavar="NAME", help="Name of the corpus.  [default: the file's name]")
@click.option("--split", metavar="NAME", help="The split of all rows, where no column tells it.")
@click.option("--labels", callback=_comma_separated, metavar="A,B,...", help="Emotions in the order of reports.")
@click.option("--media-root", type=LocalPath(), help="What clip paths are relative to.  [default: FILE's folder]")
@_probe_option
@json_option
def table(
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

    _finish(*ingest_table(file, _mapping(maps), dataset, split, labels, media_root, probe), out, as_json)


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


def _finish(manifest: Manifest, summary: IngestSummary, out: Path, as_json: bool) -> None:
    """Write the manifest and tell what was found, on stdout."""
    from features.manifest import write_manifest

    write_manifest(manifest, out)
    if as_json:
        print_json({"manifest": str(out)} | summary.to_dict(), indent=1)
        return
    for line in summary.lines():
        click.echo(line)
    click.echo(f"wrote {out}: {len(manifest):,} utterances")
