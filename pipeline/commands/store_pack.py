"""`erc store pack`: features and their manifest in a folder that travels."""

from __future__ import annotations

from pathlib import Path

import click

from pipeline.terminal import completion
from pipeline.terminal.options import LocalPath, json_option, manifest_option, store_option
from pipeline.terminal.output import print_json


@click.command("pack")
@click.argument("names", metavar="FEATURE...", nargs=-1, required=True, shell_complete=completion.features)
@click.option(
    "--to", "out", type=LocalPath(), required=True, help="The folder to write. It appears only when it is complete."
)
@manifest_option
@store_option
@click.option("--overwrite", is_flag=True, help="Replace the pack at --to.")
@json_option
def command(names: tuple[str, ...], out: Path, manifest: Path, store: Path, overwrite: bool, as_json: bool) -> None:
    """Write features and their manifest as a pack, a folder to send to others.

    FEATURE is NAME, NAME@FINGERPRINT or MODALITY/NAME. A pack has one Parquet file per split, the spec, the ledger,
    sha256 sums and a card. It also has the manifest with its texts and labels. It does not have the clips, nor the path
    of their folder. Before you send a pack, check what the licence of the corpus allows.

    \b
    Example:
      erc store pack sentence --to packs/sentence
      erc store pack text/sentence audio/logmel --to packs/meld --store store
    """
    from dataclasses import asdict

    from features.manifest import read_manifest
    from features.packs.write import write_pack
    from features.store import Store
    from pipeline.terminal.progress import progress_bar

    table, opened = read_manifest(manifest), Store(store)
    features = list({found.folder: found for found in (opened.find(name) for name in names)}.values())
    with progress_bar(len(features) * len(table), "utt", "pack") as bar:
        pack = write_pack(features, table, out, overwrite=overwrite, advance=bar.update)
    if as_json:
        print_json(asdict(pack), indent=1)
        return
    for item in pack.features:
        counts = ", ".join(f"{split} {count:,}" for split, count in item.splits.items())
        click.echo(f"{item.folder}: {counts} (rows {item.rows[:16]})")
    click.echo(f"{out}: `erc store pull {out} --store STORE` puts it into a store; `erc store push` sends it")
