"""`erc store`: look at a store, verify and repair it, clear away what is superseded, and export a feature."""

from __future__ import annotations

import importlib

import click

# name -> (module of pipeline.commands, one line of help)
_COMMANDS: dict[str, tuple[str, str]] = {
    "ls": ("store_ls", "What a store holds: one line a feature."),
    "verify": ("store_verify", "Check every byte; --repair removes what is damaged."),
    "gc": ("store_gc", "Remove superseded generations, orphans, and features that no run uses."),
    "export": ("store_export", "Write one feature as Parquet, HDF5 or .npy."),
}


class _StoreGroup(click.Group):
    """Knows its commands by name; imports one when it is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in _COMMANDS:
            return None
        loaded: click.Command = importlib.import_module(f"pipeline.commands.{_COMMANDS[name][0]}").command
        return loaded

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, summary) for name, (_, summary) in _COMMANDS.items()])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        from features.errors import nearest

        if args and args[0] not in _COMMANDS and not args[0].startswith("-"):
            ctx.fail(f"no command {args[0]!r}: {nearest(args[0], _COMMANDS)}")
        return super().resolve_command(ctx, args)


@click.group(cls=_StoreGroup)
def command() -> None:
    """Look after a store of embeddings.

    \b
    Example:
      erc store ls store
      erc store verify store --repair
      erc store gc store --dry-run
      erc store export store --modality text --feature sentence --to sentence.parquet
    """
