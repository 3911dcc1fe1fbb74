"""`erc export`: a run as a folder for others."""

from __future__ import annotations

from pathlib import Path

import click

from pipeline.terminal.options import LocalPath


@click.command()
@click.argument("run", metavar="RUN", type=LocalPath())
@click.option("--to", "folder", type=LocalPath(file_okay=False), required=True, help="The folder to write.")
@click.option("--replace", is_flag=True, help="Replace an earlier export at --to.")
@click.option(
    "--onnx",
    is_flag=True,
    help="Also write head.onnx: the heads of all seeds as one graph. Its results are compared with torch first."
    " Needs the extra `onnx`: see `erc doctor`.",
)
@click.option(
    "--app",
    is_flag=True,
    help="Also write app.py and requirements.txt, which make the folder a demo (a Space of the Hugging Face hub).",
)
@click.option("--push-to-hub", "hub_id", metavar="OWNER/NAME", help="Also send the folder to the Hugging Face hub.")
@click.option("--private", is_flag=True, help="With --push-to-hub: make the repository private.")
def command(run: Path, folder: Path, replace: bool, onnx: bool, app: bool, hub_id: str | None, private: bool) -> None:
    """Write a run as a Hugging Face model folder, which works without the store and the manifest.

    The folder holds the heads of all seeds (safetensors), the encoders' names and settings, the scores, the temperature
    that calibrates probabilities, and a model card with the run's results. It holds no paths or commands of this
    machine, and no texts of the corpus. A warning says if the code that makes the heads' output has changed since they
    were trained; the card says so, too, where head.onnx was made by it.
    `erc predict` and `Predictor.from_pretrained` read it.

    \b
    Example:
      erc export runs/mine --to model
      erc predict model --text "You did what?"
      erc export runs/mine --to model --replace --onnx --app
      erc export runs/mine --to model --replace --push-to-hub me/erc-meld
    """
    from features.errors import UsageError
    from pipeline.runs.folder import find_run
    from pipeline.share.model_folder import export_run

    if private and hub_id is None:
        raise UsageError("--private is for --push-to-hub")
    export_run(find_run(run), folder, replace, onnx=onnx, app=app)
    click.echo(f"model: {folder}")
    if hub_id is not None:
        from pipeline.predict.hub import push_folder

        click.echo(f"on the hub: {push_folder(folder, hub_id, private)}")
