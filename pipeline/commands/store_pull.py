"""`erc store pull`: a pack fetched, checked, and put into a store."""

from __future__ import annotations

import re
from pathlib import Path

import click

from pipeline.terminal.options import LocalPath, json_option, refuse_scheme, store_option
from pipeline.terminal.output import print_json


@click.command("pull")
@click.argument("address", metavar="PACK")
@store_option
@click.option("--feature", "wanted", multiple=True, metavar="NAME", help="Only this feature of it; may be repeated.")
@click.option("--to", type=LocalPath(file_okay=False), help="Where a fetched pack is kept.  [default: packs/NAME]")
@json_option
def command(address: str, store: Path, wanted: tuple[str, ...], to: Path | None, as_json: bool) -> None:
    """Put a pack's rows into a store, bit for bit, after every byte of it is checked.

    PACK is a folder, hf://OWNER/NAME, or an address that fsspec knows (s3://..., https://...). Its manifest stays in
    the pack: give it to `erc ablate --manifest`. Rows that the store has are kept. If it has other numbers for the
    same input, nothing is written. What was fetched before is not fetched again.

    \b
    Example:
      erc store pull packs/meld --store store
      erc store pull hf://me/meld-features --store store
      erc ablate meld-text --manifest packs/meld-features/manifest.parquet --store store
    """
    from dataclasses import asdict

    from features.errors import UsageError
    from features.packs.install import install_pack
    from features.packs.layout import MANIFEST, read_pack
    from features.packs.places import fetch_pack, is_remote
    from pipeline.terminal.progress import progress_bar

    if is_remote(address):
        folder = to or Path("packs") / re.sub(r"[^\w.-]", "-", address.rstrip("/").rpartition("/")[2])
        fetch_pack(address, folder)
    else:
        refuse_scheme("PACK", address)
        if to is not None:
            raise UsageError(f"--to is for packs that are fetched: {address} is a folder here, and is read where it is")
        folder = Path(address)
    pack = read_pack(folder)
    with progress_bar(len(wanted or pack.features) * pack.utterances, "utt", "pull") as bar:
        installed = install_pack(folder, store, wanted, advance=bar.update)
    if as_json:
        print_json({"manifest": str(folder / MANIFEST), "features": [asdict(item) for item in installed]}, indent=1)
        return
    for item in installed:
        kept = f", {item.kept:,} were there" if item.kept else ""
        click.echo(f"{store}/{item.folder}: {item.added:,} rows added{kept}")
    click.echo(f"its manifest: {folder / MANIFEST}")
