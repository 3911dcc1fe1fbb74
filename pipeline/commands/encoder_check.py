"""`erc encoder check`: what is promised of every embedding, tried on one encoder."""

from __future__ import annotations

from dataclasses import asdict
from typing import Literal

import click

from pipeline.terminal import completion
from pipeline.terminal.options import encoder_options, json_option, parse_settings
from pipeline.terminal.output import print_json


@click.command("check")
@click.argument("name", shell_complete=completion.encoders)
@encoder_options("Weights of the encoder. random: from a seed, if the real weights are not at hand.")
@click.option(
    "--device", default="cpu", show_default=True, metavar="cpu|cuda|cuda:N|mps", help="Where the encoder computes."
)
@click.option(
    "--dtype", type=click.Choice(["fp32", "bf16", "fp16"]), default="fp32", show_default=True, help="Precision."
)
@json_option
def command(
    name: str,
    model: str | None,
    weights: Literal["pretrained", "random"],
    settings: tuple[str, ...],
    as_published: bool,
    device: str,
    dtype: str,
    as_json: bool,
) -> int:
    """Try an encoder on made-up texts, sounds or pictures, and check the promises that every encoder makes:

    \b
    - Its fingerprint is the same each time it is built.
    - Its inputs can be sent between processes.
    - Its embeddings have the shape that its spec says, and finite numbers.
    - The same batch gives the same bits again.
    - An input gives the same numbers alone and in another order, within the rounding of the dtype.
    - Where there is no input, it gives a reason.

    The exit status is 1 if a promise is broken.

    \b
    Example:
      erc encoder check surface
      erc encoder check sentence --dtype bf16 --set pooling=cls
      erc encoder check loudness --set floor=-50
    """
    from features.encoders.check import check_encoder
    from features.encoders.protocol import EncoderRequest

    request = EncoderRequest(
        name, parse_settings(settings), model, weights, device=device, dtype=dtype, as_published=as_published
    )
    promises = []
    for promise in check_encoder(request):
        promises.append(promise)
        if not as_json:
            mark = click.style("kept", fg="green") if promise.kept else click.style("BROKEN", fg="red", bold=True)
            click.echo(f"{promise.name:<28} {mark}  {promise.told}")
    if as_json:
        print_json([asdict(promise) for promise in promises], indent=1)
    return 0 if all(promise.kept for promise in promises) else 1
