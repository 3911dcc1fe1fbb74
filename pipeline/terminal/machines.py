"""Options that say which machines do the work: slices of it, or a Ray cluster. Commands share their names and words."""

from __future__ import annotations

from collections.abc import Callable

import click

from features.errors import UsageError
from pipeline.terminal.options import Command


def shard_option(what: str) -> Callable[[Command], Command]:
    """--shard I/N. what: is cut into slices, and between whom"""
    return click.option("--shard", metavar="I/N", help=f"Do only the I-th of N slices of {what}.")


def parse_shard(text: str | None) -> tuple[int, int] | None:
    """(I, N). Raises UsageError."""
    if text is None:
        return None
    index, _, count = text.partition("/")
    if not (index.isdecimal() and count.isdecimal()) or not 1 <= int(index) <= int(count):
        raise UsageError(f"--shard {text!r} is not I/N with I from 1 to N: for three machines, 1/3, 2/3 and 3/3")
    return int(index), int(count)


def engine_options(cluster: str, actors: str) -> Callable[[Command], Command]:
    """--engine, --ray-address and --ray-actors. cluster: what --engine ray works on; actors: what they do, and how many
    there are by default"""

    def decorate(command: Command) -> Command:
        for option in (
            click.option("--ray-actors", type=click.IntRange(1), metavar="N", help=actors),
            click.option(
                "--ray-address",
                metavar="ADDRESS",
                help="Address of the cluster for --engine ray.  [default: $RAY_ADDRESS; if it is not set, a cluster"
                " is started on"
                " this machine]",
            ),
            click.option(
                "--engine",
                "engine_name",
                type=click.Choice(["local", "ray"]),
                default="local",
                show_default=True,
                help=f"Who does the work: this machine, or {cluster}.",
            ),
        ):
            command = option(command)
        return command

    return decorate


def check_engine(engine: str, ray_address: str | None, ray_actors: int | None) -> None:
    """Raises UsageError for options of Ray without it."""
    if engine == "local" and (ray_address or ray_actors):
        raise UsageError("--ray-address and --ray-actors are for --engine ray")
