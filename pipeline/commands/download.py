"""`erc download`: fetch a corpus that its card tells where to find."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pipeline.terminal.options import LocalPath, PathOrName

if TYPE_CHECKING:
    from features.card_downloads import Downloads
    from features.cards import DatasetCard
    from pipeline.download.plan import Step

_EPILOG = """\b
Examples:
  erc download meld --list
  erc download meld --dry-run
  erc download meld
  erc download emorynlp --to data/emorynlp
  erc download my-card.yaml

Each corpus has a card (data_manifests/NAME.yaml) that says where its files are. docs/corpora.md says how to write a
card of your own. After an interruption, give the same command again: it goes on where it stopped.
"""


@click.command(epilog=_EPILOG)
@click.argument("corpus", type=PathOrName("the name of a corpus whose card ships"))
@click.option(
    "--to",
    "folder",
    type=LocalPath(file_okay=False),
    metavar="DIR",
    help="Folder for the files.  [default: data/CORPUS]",
)
@click.option(
    "--list", "list_only", is_flag=True, help="Print what would be fetched, according to the card. Contact no server."
)
@click.option("--dry-run", is_flag=True, help="Ask the servers for sizes and check the free disk space. Fetch nothing.")
def command(corpus: str, folder: Path | None, list_only: bool, dry_run: bool) -> None:
    """Download CORPUS from the Hugging Face hub, Kaggle or a plain address.

    CORPUS is the name of a card that ships, or the path of a card of your own. Files are compared with the checksums in
    the card. If the card has none, the first run writes them to downloads.json beside the files, and later runs compare
    with them. Each archive, and each archive inside it, is unpacked into a folder of its name. The last line of the
    output is the `erc ingest` command to type next.
    """
    from features.errors import DownloadError, UsageError

    card = _card(corpus)
    downloads = card.downloads
    if downloads is None:
        raise UsageError(f"the card of {card.dataset} has no `downloads`: see docs/corpora.md")
    if list_only:
        _print_list(card, downloads)
        return
    if not downloads.sources:
        raise DownloadError(f"{card.title or card.dataset} cannot be downloaded without your help: {downloads.by_hand}")
    folder = folder or Path("data") / card.dataset

    from pipeline.download.plan import check_room, plan
    from pipeline.download.record import read_record

    record = read_record(folder, card.dataset)
    steps = plan(downloads, folder, record)
    if dry_run:
        _print_steps(steps, folder)
    check_room(steps, folder, card.dataset)
    if not dry_run:
        from pipeline.download.lock import corpus_lock

        with corpus_lock(folder):
            _fetch_all(card, downloads, folder)


def _card(corpus: str) -> DatasetCard:
    from features.cards import load_card, read_card
    from features.errors import UsageError

    is_path = corpus.endswith((".yaml", ".yml")) or "/" in corpus
    card = read_card(Path(corpus)) if is_path else load_card(corpus)
    if Path(card.dataset).name != card.dataset or card.dataset.startswith("."):
        raise UsageError(f"{corpus}: dataset {card.dataset!r} cannot name a folder: give the card a plain name")
    return card


def _fetch_all(card: DatasetCard, downloads: Downloads, folder: Path) -> None:
    from features.units import bytes_text
    from pipeline.download.fetch import fetch
    from pipeline.download.members import folder_name
    from pipeline.download.record import read_record
    from pipeline.download.unpack import is_unpacked, unpack

    record = read_record(folder, card.dataset)
    removable: list[Path] = []
    for source in downloads.sources:
        for path in fetch(source, folder, record):
            if not source.unpack:
                continue
            is_new = folder_name(path.name) is not None and not is_unpacked(path)
            unpack(path, record.files[path.relative_to(folder).as_posix()].sha256)
            removable += [path] if is_new else []
    click.echo(f"{card.title or card.dataset} is in {folder}.")
    for path in removable:
        click.echo(f"{path} ({bytes_text(path.stat().st_size)}) is unpacked, and may be removed.")
    if card.licence:
        click.echo(f"licence: {card.licence}")
    if downloads.by_hand:
        click.echo(f"not fetched: {downloads.by_hand}")
    click.echo(f"next: erc ingest {downloads.ingest.format(folder=shlex.quote(str(folder)))}")


def _print_list(card: DatasetCard, downloads: Downloads) -> None:
    from features.units import bytes_text

    click.echo(card.title or card.dataset)
    for source in downloads.sources:
        exact = getattr(source, "bytes", None) is not None
        size = ("" if exact else "about ") + bytes_text(source.size) if source.size is not None else "size not known"
        check = "checksum known" if getattr(source, "digest", None) else "checksum recorded when it comes"
        click.echo(f"  {source.holds or 'files'}: {size}, {check}\n    {source.place}")
    if downloads.by_hand:
        click.echo(f"  by hand: {downloads.by_hand}")
    if card.licence:
        click.echo(f"licence: {card.licence}")


def _print_steps(steps: list[Step], folder: Path) -> None:
    from features.network.telling import free_bytes
    from features.units import bytes_text

    for step in steps:
        size = "size not known" if step.size is None else bytes_text(step.size)
        told = "here" if step.state == "here" else f"{size} to come"
        room = f", about {bytes_text(step.to_unpack)} to unpack" if step.to_unpack else ""
        click.echo(f"{told}{room}: {step.source.place}")
    click.echo(f"{bytes_text(free_bytes(folder))} free at {folder}; nothing was fetched")
