"""`erc store push`: a pack sent to where others fetch it."""

from __future__ import annotations

from pathlib import Path

import click

from pipeline.terminal.options import LocalPath


@click.command("push")
@click.argument("pack", type=LocalPath(file_okay=False))
@click.argument("address")
@click.option("--private", is_flag=True, help="If the repository on the hub is new, make it private.")
def command(pack: Path, address: str, private: bool) -> None:
    """Check a pack and send it to ADDRESS.

    ADDRESS is hf://OWNER/NAME, a dataset repository of the Hugging Face hub, or any address that fsspec can write.
    s3:// and gs:// need a package each (`pip install 'fsspec[s3]'` or `'fsspec[gs]'`). Your keys are found where the
    tools of S3 and Google Cloud find them. A pack holds the corpus's texts and labels: you decide who may read them.

    \b
    Example:
      erc store push packs/meld hf://me/meld-features --private
      erc store push packs/meld s3://bucket/packs/meld
    """
    from features.errors import UsageError
    from features.packs.check import pack_sums
    from features.packs.places import is_remote, push_pack
    from features.store.checksums import FOLDER_SUMS
    from pipeline.terminal.progress import progress_bar

    if not is_remote(address):
        raise UsageError(f"{address!r} is not an address: give hf://OWNER/NAME, or one like s3://bucket/folder")
    with progress_bar(len(pack_sums(pack / FOLDER_SUMS)) + 1, "file", "push") as bar:
        push_pack(pack, address, private=private, advance=bar.update)
    click.echo(f"{address}: `erc store pull {address} --store STORE` fetches it")
