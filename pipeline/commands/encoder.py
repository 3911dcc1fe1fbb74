"""`erc encoder`: whether an encoder keeps its promises."""

from __future__ import annotations

import click

from pipeline.terminal.lazy_group import LazyGroup

# name -> (module of pipeline.commands, one line of help)
_COMMANDS: dict[str, tuple[str, str]] = {
    "check": ("encoder_check", "Try an encoder: does it give the same numbers in any batch and in any order?"),
}


@click.group(cls=LazyGroup, members=_COMMANDS)
def command() -> None:
    """Check encoders: those of this project and those of other packages (docs/own-encoder.md).

    `erc extract --list` shows all encoders.

    \b
    Example:
      erc encoder check surface
    """
