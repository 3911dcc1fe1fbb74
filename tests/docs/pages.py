"""The blocks of README and docs/, and the commands in them."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import click

from pipeline.cli import erc

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
NAMES = [str(page.relative_to(ROOT)) for page in PAGES]

# sh: typed as it stands; console: typed at the prompts of several machines; text: what is seen, and not typed.
TAGS = {"sh", "console", "python", "yaml", "csv", "json", "text"}

_BLOCK = re.compile(r"^(?P<indent> *)```(?P<tag>[^\n`]*)\n(?P<text>.*?)^(?P=indent)```", re.DOTALL | re.MULTILINE)
_PROMPT = re.compile(r"^[\w-]+\$\s+")


@dataclass(frozen=True)
class Block:
    """page: its path from the project's root; line: of the text's first line"""

    page: str
    line: int
    tag: str
    text: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def blocks(page: str) -> list[Block]:
    text = (ROOT / page).read_text(encoding="utf-8")
    return [
        Block(page, text.count("\n", 0, found.start("text")) + 1, found["tag"], found["text"])
        for found in _BLOCK.finditer(text)
    ]


def lines(text: str) -> Iterator[str]:
    """What is typed, a command each: continued lines joined, prompts and comments left off, `a && b` as two."""
    for line in re.sub(r"\\\n\s*", "", text).splitlines():
        typed = _PROMPT.sub("", line.strip())
        if typed and not typed.startswith("#"):
            yield from (part.strip() for part in re.split(r"\s&&\s", typed))


def words(line: str) -> list[str]:
    """Without comments and without `> file`, where output goes."""
    typed = shlex.split(line, comments=True)
    return typed[: typed.index(">")] if ">" in typed else typed


def commands(block: Block) -> list[list[str]]:
    """The words of each command of an `sh` or `console` block."""
    return [words(line) for line in lines(block.text)]


def arguments_of_erc(command: list[str]) -> list[str] | None:
    """What follows `erc`, where that is what a command starts: `extract` is `erc extract`, `srun` starts another."""
    command = command[1:] if command[0] == "srun" else command
    if command[0] == "erc":
        return command[1:]
    return command if command[0] == "extract" else None


def parse(arguments: list[str]) -> click.Context:
    """The context of the command that these words mean. Raises click's UsageError where they are not understood."""
    context, rest = erc.make_context("erc", list(arguments)), list(arguments)
    command: click.Command = erc
    while isinstance(command, click.Group):
        name, found, rest = command.resolve_command(context, rest)
        assert found is not None
        context, command = found.make_context(name, rest, parent=context), found
        rest = [*context._protected_args, *context.args] if isinstance(command, click.Group) else []
    return context


def all_commands(group: click.Group = erc, path: tuple[str, ...] = ()) -> Iterator[tuple[str, click.Command]]:
    """Every command by what is typed: `erc store ls`."""
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        yield " ".join(("erc", *path, name)), command
        if isinstance(command, click.Group):
            yield from all_commands(command, (*path, name))


def help_examples(command: click.Command) -> list[str]:
    """The lines of a command's help that are commands."""
    told = "\n".join(filter(None, (command.help, command.epilog)))
    return [line for line in lines(told) if re.match(r"(erc|extract) ", line)]
