"""Paths as pages show them: pages are handed on, and where files lie on their maker's machine is nobody's business.

A path below a folder that a page is of (`relative_to`), or below the working or home directory, is shown from there on,
any other absolute path as its last name. Relative paths stay as they are.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path, PurePosixPath, PureWindowsPath

_folders: ContextVar[tuple[str, ...]] = ContextVar("_folders", default=())
_NAME = r"[^\s/\\'\"`;:,()<>|=]"
_ABSOLUTE = re.compile(
    rf"(?:file://|(?<![\w.~\-/\\:<]))(?:/(?:{_NAME}+/)+{_NAME}*"  # /home/a/b; one name alone may be a word: /none
    rf"|[A-Za-z]:[\\/](?:{_NAME}+[\\/])*{_NAME}*|\\\\(?:{_NAME}+\\)+{_NAME}*)"  # C:\a\b, \\host\share\b
)
_ALONE = re.compile(r"(?:/[^:`\n]*/|[A-Za-z]:[\\/])[^:`\n]*")  # a path and nothing else, with blanks in it or not
_OWN = ("/", "\\")


class Verbatim(str):
    """A text from data, such as what was said: no path in it is the maker's."""

    __slots__ = ()


@contextmanager
def relative_to(*folders: Path) -> Iterator[None]:
    """Within it, paths below these folders are shown from there on."""
    given = {str(path) for folder in folders for path in (folder.absolute(), folder.resolve())}
    token = _folders.set(tuple(sorted((path for path in given if len(Path(path).parts) > 1), key=len, reverse=True)))
    try:
        yield
    finally:
        _folders.reset(token)


def shareable(text: str) -> str:
    """The text without the maker's paths. A `data:` address holds none: what looks like one is Base64."""
    if isinstance(text, Verbatim) or text.startswith("data:") or not any(mark in text for mark in _OWN):
        return text
    if _ALONE.fullmatch(text):
        return _shareable_word(text)
    for folder in _prefixes():
        text = re.sub(rf"(?<![\w.~\-/\\]){re.escape(folder)}[/\\](?=\S)", "", text)
    return _ABSOLUTE.sub(lambda found: _last_name(found[0]), text)


def shareable_command(command: str) -> str:
    """A command line, its words quoted for a shell, whatever is in its paths."""
    try:
        words = shlex.split(command)
    except ValueError:
        return shareable(command)
    return shlex.join(map(_shareable_word, words)) if words else command


def _shareable_word(word: str) -> str:
    """`/a/b c`, `--out=/a/b c`, `modality=/a/b c`"""
    name, equals, value = word.rpartition("=")
    if not (PurePosixPath(value).is_absolute() or PureWindowsPath(value).is_absolute()):
        return shareable(word)
    folder = next((one for one in _prefixes() if value.startswith((f"{one}/", f"{one}\\"))), None)
    return f"{name}{equals}{value[len(folder) + 1 :] if folder else _last_name(value)}"


def _prefixes() -> list[str]:
    here = [folder for folder in (Path.cwd(), Path.home()) if len(folder.parts) > 1]
    return [*_folders.get(), *map(str, here)]


def _last_name(path: str) -> str:
    return re.split(r"[/\\]", path.rstrip("/\\"))[-1]
