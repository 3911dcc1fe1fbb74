"""`erc encoder`: whether an encoder keeps its promises."""

from __future__ import annotations

import click

from pipeline.terminal.lazy_group import LazyGroup

# name -> (module of pipeline.commands, one line of help)
_COMMANDS: dict[str, tuple[str, str]] = {
    "check": ("encoder_check", "Try an encoder: same bits twice, whatever is beside it, whatever the order."),
}


@click.group(cls=LazyGroup, members=_COMMANDS)
def command() -> None:
    """Encoders: ours, and those of other packages (docs/own-encoder.md). `erc extract --list` shows them all.

    \b
    Example:
      erc encoder check surface
    """
