"""`erc heads`: what a head can be made of."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from pipeline.terminal import completion
from pipeline.terminal.options import json_option
from pipeline.terminal.output import print_json

if TYPE_CHECKING:
    from heads.config.parts import Part, Setting


@click.command()
@click.argument("name", required=False, shell_complete=completion.parts)
@click.option("--list", "everything", is_flag=True, help="List every part with its settings and sources.")
@json_option
def command(name: str | None, everything: bool, as_json: bool) -> None:
    """List what a head can be made of: readers, fusions, contexts, losses, samplers, normalisations, YAML sections.

    Without NAME, the command prints one line for each part. With NAME, it prints everything about that part: its
    equations, their source, and what differs from the source. docs/suites.md has the same list.

    \b
    Example:
      erc heads
      erc heads focal
      erc heads --list
    """
    from features.errors import UsageError, nearest
    from heads.config.parts import all_parts, all_sections

    parts = [*all_parts(), *all_sections()]
    if name is not None:
        chosen = [part for part in parts if part.name == name]
        if not chosen:
            raise UsageError(f"no part {name!r}: {nearest(name, [part.name for part in parts])}")
        parts = chosen
    if as_json:
        print_json([_document(part) for part in parts], indent=1)
    elif name is not None:
        click.echo("\n\n".join(_whole(part) for part in parts))
    else:
        _print_list(parts, settings=everything)


def _print_list(parts: list[Part], settings: bool) -> None:
    for kind in dict.fromkeys(part.kind for part in parts):
        click.echo(click.style(f"{_PLURALS[kind]}", bold=True))
        for part in parts:
            if part.kind != kind:
                continue
            click.echo(_wrapped(f"{part.name:<{_COLUMN}}{part.summary}", _COLUMN))
            if settings:
                for setting in part.settings:
                    click.echo(_wrapped(f"{'':<{_COLUMN}}{_told(setting)}", _COLUMN + 2))
                if part.sources:
                    click.echo(_wrapped(f"{'':<{_COLUMN}}source: {', '.join(part.sources)}", _COLUMN + 2))
        click.echo()


_COLUMN = 30
_PLURALS = {
    "reader": "readers: a sequence or a stack of layers becomes a vector",
    "fusion": "fusion: the modalities become one vector",
    "context": "context, modality_context: an utterance sees its dialogue",
    "loss": "loss: a list, summed by weight",
    "sampler": "batch.sampler: in which order examples are shown",
    "normalise": "normalise: by the train rows",
    "section": "sections",
}


def _wrapped(text: str, indent: int) -> str:
    return click.wrap_text(text, width=100, initial_indent="  ", subsequent_indent=" " * (indent + 2))


def _told(setting: Setting) -> str:
    from heads.config.parts import limits

    said = f"{setting.name}: {limits(setting.schema)}"
    if not setting.required:
        said += f" [{setting.default_text}]"
    return f"{said}  {setting.text}" if setting.text else said


def _whole(part: Part) -> str:
    settings = "\n".join(f"  {_told(setting)}" for setting in part.settings)
    head = f"{part.kind} {part.name}"
    return f"{click.style(head, bold=True)}\n\n{part.text}" + (f"\n\nSettings:\n{settings}" if settings else "")


def _document(part: Part) -> dict[str, Any]:
    return {
        "kind": part.kind,
        "name": part.name,
        "summary": part.summary,
        "sources": part.sources,
        "text": part.text,
        "settings": [
            {"name": setting.name, "schema": dict(setting.schema), "text": setting.text}
            | ({} if setting.required else {"default": setting.default})
            for setting in part.settings
        ],
    }
