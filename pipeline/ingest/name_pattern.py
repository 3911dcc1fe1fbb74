"""Patterns of file names that carry codes: `{modality}-{vocal}-{emotion}`, `{speaker}/{emotion}/{split}/{id}.wav`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import PurePosixPath

from features.errors import UsageError

MEDIA_ENDINGS = (
    ".wav", ".flac", ".mp3", ".m4a", ".ogg", ".opus", ".aac",
    ".mp4", ".avi", ".mov", ".mkv", ".webm", ".flv", ".mpg",
)  # fmt: skip

_FIELD = re.compile(r"\{([A-Za-z_]\w*)(?::([1-9]\d?))?\}")


@dataclass(frozen=True)
class NamePattern:
    """A pattern, ready to match.

    text:    as it was written
    fields:  names, in order
    depth:   how many parts of a path it speaks of, from the file's name upwards
    ending:  the file's ending that it asks for, in lower case, or None for any of MEDIA_ENDINGS
    """

    text: str
    fields: tuple[str, ...]
    depth: int
    ending: str | None
    regex: re.Pattern[str]

    def match(self, path: str) -> dict[str, str] | None:
        """Field -> its text in a path with forward slashes, relative to the root; None where it does not match.

        Folders above those that the pattern speaks of may have any name.
        """
        match = self.regex.fullmatch(self.tail(path))
        return match.groupdict() if match else None

    def takes(self, path: str) -> bool:
        """Whether a path's ending is one that the pattern asks for."""
        ending = PurePosixPath(path).suffix.lower()
        return ending == self.ending if self.ending else ending in MEDIA_ENDINGS

    def tail(self, path: str) -> str:
        """The parts of a path that the pattern speaks of, without the ending."""
        return "/".join(PurePosixPath(path).with_suffix("").parts[-self.depth :])

    def name(self, path: str) -> str:
        """`tail` without a folder that is the split and nothing else: what names an utterance within its split."""
        parts, pattern = self.tail(path).split("/"), self.text.split("/")
        return "/".join(part for part, own in zip(parts, pattern, strict=True) if own != "{split}")


def compile_pattern(text: str) -> NamePattern:
    """A NamePattern. `{name}` is a field up to the separators beside it, `{name:2}` one of two characters; a field that
    occurs twice must have the same text. Raises UsageError for what is no pattern, or could be read in two ways.
    """
    text = text.strip().removeprefix("./")
    body, ending = text, None
    if "." in text.rsplit("}", 1)[-1]:
        body, ending = text[: text.rindex(".")], text[text.rindex(".") :].lower()
    literals = _FIELD.split(body)
    names, widths, between = literals[1::3], literals[2::3], literals[0::3]
    problems = [f"{part!r} holds a brace that begins no field: write {{name}} or {{name:2}}" for part in between if
                "{" in part or "}" in part]  # fmt: skip
    if not names:
        problems.append("it has no field, like {emotion}")
    if body.startswith("/") or ".." in body.split("/") or "\\" in body:
        problems.append("it must be relative to ROOT, with forward slashes, without '..'")
    open_field = None  # an unsized field that nothing but sized ones has parted from here
    for number, (name, width) in enumerate(zip(names, widths, strict=True)):
        if between[number]:
            open_field = None
        if width is None and open_field is not None:
            problems.append(f"{{{open_field}}} and {{{name}}} touch: part them, or give one a width, {{{name}:2}}")
        if width is None:
            open_field = name
    if problems:
        raise UsageError(f"pattern {text!r}: {'; '.join(problems)}")
    return NamePattern(text, tuple(dict.fromkeys(names)), body.count("/") + 1, ending, _regex(names, widths, between))


def _regex(names: list[str], widths: list[str | None], between: list[str]) -> re.Pattern[str]:
    pieces = [re.escape(between[0])]
    for number, (name, width) in enumerate(zip(names, widths, strict=True)):
        if name in names[:number]:
            pieces.append(f"(?P={name})")
        else:
            # Letters and digits beside a field do not part it: the `k` of spk{speaker}_ may be in a speaker's name.
            beside = {char for char in between[number][-1:] + between[number + 1][:1] if not char.isalnum()} | {"/"}
            characters = f"[^{''.join(map(re.escape, sorted(beside)))}]"
            pieces.append(f"(?P<{name}>{characters}{f'{{{width}}}' if width else '+?'})")
        pieces.append(re.escape(between[number + 1]))
    return re.compile("".join(pieces))
