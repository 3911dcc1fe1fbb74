"""`erc sample OUT`: write the generated sample corpus."""

from __future__ import annotations

from pathlib import Path

import click

from pipeline.terminal.options import LocalPath


@click.command("sample")
@click.argument("out", type=LocalPath())
@click.option("--dialogues", type=int, default=100, show_default=True, help="Number of dialogues, at least 3.")
@click.option("--seed", type=int, default=0, show_default=True, help="Another seed gives another corpus.")
@click.option(
    "--workers",
    type=int,
    help="Number of processes that render clips; default one per core. The files are the same with any number.",
)
def command(out: Path, dialogues: int, seed: int, workers: int | None) -> None:
    """Write a small generated corpus in MELD's layout into OUT, a new or empty folder.

    The corpus has drawn faces, synthesised voices and sentences from templates, in three splits. With it you can try
    all other commands without MELD. Scores on it say nothing about emotion recognition. If the command was interrupted,
    give it again: it writes what is missing. A corpus with more --dialogues begins with the same dialogues.

    \b
    Example:
      erc sample sample
      erc ingest meld sample --out sample.parquet
    """
    from pipeline.sample.corpus import write_sample

    click.echo(write_sample(out, dialogues=dialogues, seed=seed, workers=workers).sentence())
