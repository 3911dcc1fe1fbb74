"""For the site: our docstrings tell of arguments and fields as lines `name: text`, which Markdown would run together.
This extension of Griffe makes a list of such lines."""

from __future__ import annotations

import re
import textwrap
from typing import Any

import griffe

_NAMED = re.compile(r"(?P<names>\*{0,2}\w+(?:, \*{0,2}\w+)*):\s+(?P<text>\S.*)")


class NamedLines(griffe.Extension):
    """Rewrites the docstring of every object that is shown."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        if obj.docstring:
            obj.docstring.value = with_lists(obj.docstring.value)


def with_lists(docstring: str) -> str:
    """The docstring with each block of lines `name: text` as a Markdown list. Other blocks stay as they are."""
    return "\n\n".join(_block(block) for block in re.split(r"\n[ \t]*\n", docstring))


def _block(block: str) -> str:
    """A block whose lines are all `name: text`, or continue one by being indented; what follows them stays below."""
    lines, items, rest = block.split("\n"), list[str](), list[str]()
    if block.startswith((" ", "#")) or not _NAMED.fullmatch(lines[0]):
        return block
    for number, line in enumerate(lines):
        found = _NAMED.fullmatch(line)
        if found:
            names = ", ".join(f"`{name}`" for name in found["names"].split(", "))
            items.append(f"- {names}: {found['text']}")
        elif line.startswith(" "):
            items[-1] += f" {line.strip()}"
        else:
            rest = lines[number:]
            break
    return "\n".join(items) + ("\n\n" + textwrap.dedent("\n".join(rest)) if rest else "")
