"""`erc explore`: look inside stored embeddings, a corpus, and what encoders saw of one clip."""

from __future__ import annotations

import click

from pipeline.terminal.lazy_group import LazyGroup

# name -> (module of pipeline.commands, one line of help)
_COMMANDS: dict[str, tuple[str, str]] = {
    "embeddings": ("explore_embeddings", "Stored embeddings in 2-D and 3-D, with probe scores: one interactive page."),
    "data": ("explore_data", "Class balance, durations, dialogues, speakers, tokens, missing clips: one page."),
    "clip": ("explore_clip", "What each encoder saw of one utterance: one page."),
}


@click.group(cls=LazyGroup, members=_COMMANDS)
def command() -> None:
    """Look inside: stored embeddings, the corpus, one clip.

    \b
    Example:
      erc explore embeddings --modality text --out explore
      erc explore data --manifest data/manifest.parquet --out explore
      erc explore clip meld/test/dia38_utt4
    """
