"""`erc store`: look at a store, verify and repair it, clear away what is superseded, import and export features."""

from __future__ import annotations

import click

from pipeline.terminal.lazy_group import LazyGroup

# name -> (module of pipeline.commands, one line of help)
_COMMANDS: dict[str, tuple[str, str]] = {
    "ls": ("store_ls", "List the features of a store, one per line."),
    "verify": ("store_verify", "Check every byte of a store; --repair moves damaged shards away."),
    "gc": ("store_gc", "Remove what is no longer needed: replaced rows, leftovers, unused features."),
    "import": ("store_import", "Import vectors from other projects, joined by id."),
    "export": (
        "store_export",
        "Write features as Parquet, HDF5 or .npy, or for MMSA, MERTools, DialogueRNN, datasets.",
    ),
    "pack": ("store_pack", "Write features and their manifest as a folder to send to others."),
    "push": ("store_push", "Send a pack to the Hugging Face hub, S3 or another server."),
    "pull": ("store_pull", "Fetch a pack, check every byte, and put its rows into a store."),
    "tag": ("store_tag", "Record which exact rows features have, so that a paper can cite them."),
}


@click.group(cls=LazyGroup, members=_COMMANDS)
def command() -> None:
    """List, verify, clear up, import, export, pack and share stored embeddings.

    \b
    Example:
      erc store ls store
      erc store verify store --repair
      erc store gc store --dry-run
      erc store import hubert-UTT --modality audio --as hubert-mer
      erc store export store --modality text --feature sentence --to sentence.parquet
    """
