"""`erc sample OUT`: write the generated sample corpus."""

from __future__ import annotations

from pathlib import Path

import click

from pipeline.terminal.options import LocalPath


@click.command("sample")
@click.argument("out", type=LocalPath())
@click.option("--dialogues", type=int, default=100, show_default=True, help="How many dialogues, at least 3.")
@click.option("--seed", type=int, default=0, show_default=True, help="Another seed, another corpus.")
@click.option(
    "--workers", type=int, help="Processes that render clips; default one a core. The files do not depend on it."
)
def command(out: Path, dialogues: int, seed: int, workers: int | None) -> None:
    """Write a small generated corpus in MELD's layout into OUT, a new or empty folder.

    Drawn faces, synthesised voices and sentences from templates, in three splits. It is there to try everything else
    without MELD: scores on it say nothing about emotion recognition. The same command completes a run that was
    interrupted; a larger --dialogues begins with the same dialogues.

    \b
    Example:
      erc sample sample
      erc ingest meld sample --out sample.parquet
    """
    from pipeline.sample.corpus import write_sample

    click.echo(write_sample(out, dialogues=dialogues, seed=seed, workers=workers).sentence())
