"""How much a command says on stderr while it works: `-q` nothing but errors and warnings, `-v` each epoch, too."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

Command = TypeVar("Command", bound=Callable[..., Any])

_QUIET, _NORMAL, _VERBOSE = range(3)
_level = _NORMAL  # of the command that this process runs


def is_quiet() -> bool:
    return _level == _QUIET


def is_verbose() -> bool:
    return _level == _VERBOSE


def loudness_options(command: Command) -> Command:
    """-q/--quiet and -v/--verbose; they hold until the process' next command."""
    told = "Also print each epoch as it ends."
    return quiet_option(
        click.option("-v", "--verbose", is_flag=True, expose_value=False, callback=_set(_VERBOSE), help=told)(command)
    )


def quiet_option(command: Command) -> Command:
    """-q/--quiet alone, for a command that has no more to say than it says."""
    told = "Print only errors, warnings and the result. Show no progress."
    return click.option(
        "-q", "--quiet", is_flag=True, is_eager=True, expose_value=False, callback=_set(_QUIET), help=told
    )(command)


def _set(level: int) -> Callable[[click.Context, click.Parameter, bool], None]:
    def callback(context: click.Context, parameter: click.Parameter, given: bool) -> None:
        global _level
        if level == _QUIET:  # which is looked at first
            _level = _QUIET if given else _NORMAL
        elif given and _level == _QUIET:
            raise click.UsageError("--quiet and --verbose: give one of them")
        elif given:
            _level = level

    return callback
