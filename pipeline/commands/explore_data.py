"""`erc explore data`: class balance, durations, dialogues, speakers, tokens and missing clips of a corpus."""

from __future__ import annotations

from pathlib import Path

import click

from pipeline.terminal.options import MODEL_OR_PATH, LocalPath, json_option, manifest_option, media_root_option
from pipeline.terminal.output import print_json

_EPILOG = """\b
Examples:
  erc explore data --manifest data/manifest.parquet --out explore
  erc explore data --model gpt2_folder --json

Tokens are counted with two tokenizers: that of the packaged MiniLM (the extra `embedded`) and that of GPT-2, if it
is in the hub's cache or --model names its folder. If a tokenizer is not available, the command says that it was
not measured.
"""


@click.command("data", epilog=_EPILOG)
@manifest_option
@media_root_option
@click.option(
    "--model",
    "gpt2_model",
    type=MODEL_OR_PATH,
    metavar="FOLDER_OR_ID",
    help="Causal model whose tokenizer counts prompts: a folder, or a hub id that is in the cache.  [default: GPT-2]",
)
@click.option(
    "--out",
    type=LocalPath(file_okay=False),
    default="explore",
    help="Folder to write to. It is made if it does not exist.",
)
@json_option
def command(manifest: Path, media_root: Path | None, gpt2_model: str | None, out: Path, as_json: bool) -> None:
    """Show what a corpus holds. The command writes data.html, which works offline, and its figures as PNG and SVG.

    All splits are counted. No embedding is read, and no clip is opened.
    """
    from features.manifest import read_manifest
    from pipeline.explore.data_page import data_files, document, look_at
    from pipeline.pages.files import write_files
    from pipeline.terminal.progress import progress_bar

    table = read_manifest(manifest, media_root)
    with progress_bar(2 * len(table), "utt", "tokens") as bar:
        corpus = look_at(table, gpt2_model, bar.update)
    write_files(out, data_files(corpus))
    page = out / "data.html"
    if as_json:
        print_json({"page": str(page)} | document(corpus))
        return
    for item in corpus.tokens:
        if item.problem:
            click.echo(f"erc explore data: {item.encoder} is not measured: {item.problem}", err=True)
        for split, spread in item.by_split.items():
            over = ", ".join(
                f"{number:,} over {window.tokens:,}"
                for window, number in zip(item.windows, item.over(split), strict=True)
            )
            median, most = spread.quantiles[2], spread.quantiles[-1]
            click.echo(f"{item.encoder}, {split}: tokens of {item.reads}: median {median:.0f}, most {most:.0f}; {over}")
    click.echo(f"page: {page}")
