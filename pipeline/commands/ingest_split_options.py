"""How rows get a split where a corpus has none: options of the ingests that read file names."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from pipeline.commands.ingest_options import comma_separated
from pipeline.terminal.options import Command

if TYPE_CHECKING:
    from pipeline.ingest.speaker_splits import SplitChoice

_OPTIONS: tuple[Callable[[Any], Any], ...] = (
    click.option("--split", "all_in", metavar="NAME", help="Put all rows into this split."),
    click.option("--test-speakers", callback=comma_separated, metavar="A,B", help="Speakers for test."),
    click.option("--dev-speakers", callback=comma_separated, metavar="A,B", help="Speakers for dev."),
    click.option(
        "--test", type=float, metavar="SHARE", help="Share of the speakers that are drawn for test.  [default: 0.2]"
    ),
    click.option(
        "--dev", type=float, metavar="SHARE", help="Share of the speakers that are drawn for dev.  [default: 0.1]"
    ),
    click.option("--seed", type=click.IntRange(0), help="Seed of the draw.  [default: 0]"),
)
_NAMES = ("all_in", "test_speakers", "dev_speakers", "test", "dev", "seed")


def split_options(command: Command) -> Command:
    """--split, --test-speakers, --dev-speakers, --test, --dev and --seed: `choice_of` reads them."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def choice_of(options: dict[str, Any]) -> SplitChoice | None:
    """Take the options of `split_options` out of a command's: what they choose, or None where none is given."""
    from pipeline.ingest.speaker_splits import SplitChoice

    given = {name: value for name in _NAMES if (value := options.pop(name)) is not None}
    return SplitChoice(**given) if given else None
