"""`erc store`: look at a store, verify and repair it, clear away what is superseded, import and export features."""

from __future__ import annotations

import click

from pipeline.terminal.lazy_group import LazyGroup

# name -> (module of pipeline.commands, one line of help)
_COMMANDS: dict[str, tuple[str, str]] = {
    "ls": ("store_ls", "What a store holds: one line a feature."),
    "verify": ("store_verify", "Check every byte; --repair moves away what is damaged."),
    "gc": ("store_gc", "Remove what later shards replace, orphans, and features that no run uses."),
    "import": ("store_import", "Take in vectors that others made, joined by id."),
    "export": ("store_export", "Write features as Parquet, HDF5, .npy, or for MMSA, MERTools, DialogueRNN, datasets."),
    "pack": ("store_pack", "Features with their manifest in a folder that travels, and trains without clips."),
    "push": ("store_push", "Send a pack to the Hugging Face hub or another store of objects."),
    "pull": ("store_pull", "Fetch a pack, check every byte, and put its rows into a store."),
    "tag": ("store_tag", "Freeze which very rows some features have, for a paper to cite."),
}


@click.group(cls=LazyGroup, members=_COMMANDS)
def command() -> None:
    """Look after a store of embeddings.

    \b
    Example:
      erc store ls store
      erc store verify store --repair
      erc store gc store --dry-run
      erc store import hubert-UTT --modality audio --as hubert-mer
      erc store export store --modality text --feature sentence --to sentence.parquet
    """
