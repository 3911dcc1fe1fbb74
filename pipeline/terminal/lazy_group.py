"""A group of commands that are imported only when they run."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

import click


class LazyGroup(click.Group):
    """Knows its commands by name; imports one when it is asked for."""

    def __init__(self, *arguments: Any, members: Mapping[str, tuple[str, str]], **options: Any) -> None:
        """members: name -> (module of pipeline.commands, one line of help), in the order of the help."""
        super().__init__(*arguments, **options)
        self._members = members

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self._members)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in self._members:
            return None
        module, _ = self._members[name]
        loaded: click.Command = importlib.import_module(f"pipeline.commands.{module}").command
        return loaded

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, summary) for name, (_, summary) in self._members.items()])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        from features.errors import nearest

        if args and args[0] not in self._members and not args[0].startswith("-"):
            ctx.fail(f"no command {args[0]!r}: {nearest(args[0], self._members)}")
        return super().resolve_command(ctx, args)
