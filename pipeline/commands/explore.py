"""`erc explore`: look inside stored embeddings, a corpus, and what encoders saw of one clip."""

from __future__ import annotations

import click

from pipeline.terminal.lazy_group import LazyGroup

# name -> (module of pipeline.commands, one line of help)
_COMMANDS: dict[str, tuple[str, str]] = {
    "embeddings": (
        "explore_embeddings",
        "Plot stored embeddings in 2-D and 3-D, with scores of simple classifiers beside them.",
    ),
    "data": ("explore_data", "Show a corpus: classes, durations, dialogues, speakers, tokens, missing clips."),
    "clip": ("explore_clip", "Show what each encoder saw of one utterance."),
}


@click.group(cls=LazyGroup, members=_COMMANDS)
def command() -> None:
    """Make pages that show stored embeddings, the corpus, or one clip. Each page is one file that works offline.

    \b
    Example:
      erc explore embeddings --modality text --out explore
      erc explore data --manifest data/manifest.parquet --out explore
      erc explore clip meld/test/dia38_utt4
    """
