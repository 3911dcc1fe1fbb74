"""A command with many options, whose --help shows them in groups."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import click

OTHERS = "Options"


class GroupedCommand(click.Command):
    """groups: heading -> the options under it, by their first names; what is in none stands last, under Options."""

    def __init__(self, *arguments: Any, groups: Mapping[str, Sequence[str]], **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.groups = groups

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        heading_of = {name: heading for heading, names in self.groups.items() for name in names}
        lines: dict[str, list[tuple[str, str]]] = {heading: [] for heading in (*self.groups, OTHERS)}
        for parameter in self.get_params(ctx):
            line = parameter.get_help_record(ctx)
            if line is not None:
                lines[heading_of.get(parameter.opts[0], OTHERS)].append(line)
        for heading, found in lines.items():
            if found:
                with formatter.section(heading):
                    formatter.write_dl(found)
