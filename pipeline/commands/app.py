"""`erc app`: a run in a browser."""

from __future__ import annotations

from pathlib import Path

import click

from pipeline.terminal.options import LocalPath


@click.command()
@click.argument("run", metavar="DIR", type=LocalPath())
@click.option("--host", default="127.0.0.1", help="Address to serve at. 0.0.0.0 lets other machines connect.")
@click.option("--port", type=click.IntRange(1, 65535), default=7860, help="Port to serve at.")
@click.option("--device", default="auto", help="Where encoders compute: auto, cpu, cuda, cuda:N or mps.")
def command(run: Path, host: str, port: int, device: str) -> None:
    """Serve a page in the browser that predicts emotions from typed turns and uploaded clips.

    DIR is a run, or a folder that `erc export` wrote. In the page, type or paste turns, with or without clips, or
    upload a recording with its transcript. Uploads stay on this machine, and are deleted within two hours. The command
    needs the extra `app`; `erc doctor` says how to install it. A warning says if the code that makes the heads' output
    has changed since they were trained. Press Ctrl-C to stop.

    \b
    Example:
      erc app runs/mine
      erc export runs/mine --to model --app   # the same page as a Space of the Hugging Face hub
    """
    from pipeline.app.page import build_app, check_gradio, launch
    from pipeline.predict import Predictor
    from pipeline.runs.folder import find_run

    check_gradio()
    with Predictor(find_run(run), device) as predictor:
        page = build_app(predictor)
        address = launch(page, host, port, block=False)
        click.echo(f"app: {address} (Ctrl-C ends it)")
        try:
            page.block_thread()
        finally:
            page.close(verbose=False)
