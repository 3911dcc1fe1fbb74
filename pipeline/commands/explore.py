"""`erc explore`: look inside stored embeddings, a corpus, and what encoders saw of one clip."""

from __future__ import annotations

import importlib

import click

# name -> (module of pipeline.commands, one line of help)
_COMMANDS: dict[str, tuple[str, str]] = {
    "embeddings": ("explore_embeddings", "Stored embeddings in 2-D and 3-D, with probe scores: one interactive page."),
    "data": ("explore_data", "Class balance, durations, dialogues, speakers, tokens, missing clips: one page."),
    "clip": ("explore_clip", "What each encoder saw of one utterance: one page."),
}


class _ExploreGroup(click.Group):
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


@click.group(cls=_ExploreGroup)
def command() -> None:
    """Look inside: stored embeddings, the corpus, one clip.

    \b
    Example:
      erc explore embeddings --modality text --out explore
      erc explore data --manifest data/manifest.parquet --out explore
      erc explore clip meld/test/dia38_utt4
    """
