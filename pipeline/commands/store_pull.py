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
@click.option("--feature", "wanted", multiple=True, metavar="NAME", help="Only this feature of the pack; repeatable.")
@click.option(
    "--to", type=LocalPath(file_okay=False), help="Folder that keeps the fetched pack.  [default: packs/NAME]"
)
@json_option
def command(address: str, store: Path, wanted: tuple[str, ...], to: Path | None, as_json: bool) -> None:
    """Fetch a pack, check every byte of it, and copy its rows into a store, bit for bit.

    PACK is a folder, hf://OWNER/NAME, or an address that fsspec knows (s3://..., https://...). The manifest stays in
    the pack: give its path to `erc ablate --manifest`. Rows that the store already has stay as they are. If the store
    has other numbers for the same input, nothing is written. Files that were fetched before are not fetched again.

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
