"""`erc store tag`: which very rows some features have, under a name."""

from __future__ import annotations

from pathlib import Path

import click

from pipeline.terminal import completion
from pipeline.terminal.options import LocalPath, store_option


@click.command("tag")
@click.argument("name")
@click.argument("names", metavar="[FEATURE]...", nargs=-1, shell_complete=completion.features)
@click.option(
    "--manifest", type=LocalPath(), help="Record only the rows of this manifest's utterances.  [default: all rows]"
)
@store_option
def command(name: str, names: tuple[str, ...], manifest: Path | None, store: Path) -> None:
    """Record which rows the features have now, and print a digest that a paper can cite.

    Without FEATURE, all features of the store are recorded. Later, `erc store verify --tag NAME` says whether the store
    still has those rows. A tag with --manifest holds although another manifest has newer rows. A tag without it holds
    as long as its rows are the newest. It does not protect rows from being removed. Tags lie in STORE/.tags.

    \b
    Example:
      erc store tag submitted --manifest data/manifest.parquet
      erc store verify store --tag submitted
    """
    from features.manifest import read_manifest
    from features.store import Store
    from features.store.tags import write_tag

    opened = Store(store)
    if opened.damaged and not names:
        raise opened.damaged[0][1]
    features = [opened.find(item) for item in names] if names else opened.features()
    tag = write_tag(store, name, features, read_manifest(manifest) if manifest else None)
    for folder in tag.features:
        click.echo(f"{folder}: {(tag.rows['folder'] == folder).sum():,} rows")
    click.echo(f"tag {name}: {tag.digest}")
