"""The rule that joins a file's ids to utterances: a template over the manifest's columns and the parts of its ids.

    dia{Dialogue_ID}_utt{Utterance_ID}

beside the columns there are, of `meld/dev/dia38_utt4`:

    {path}          dev/dia38_utt4      {key}           dia38_utt4      {folder}      dev
    {Dialogue_ID}   38                  {Utterance_ID}  4               {dialogue}    dia38
    {val}, {valid}  val, valid: the split as some tools call `dev`      {position}    place in its dialogue, from 0
    {file}, {stem}  the clip's name, with its ending and without
"""

from __future__ import annotations

import re
import string
from collections.abc import Iterator
from typing import Any

from features.errors import UsageError, nearest
from features.manifest import Manifest

_END_NUMBER = re.compile(r"(\d+)$")
_FORMAT = re.compile(r"(0?\d+)?d?")
_COLUMNS = ("utterance_id", "dataset", "split", "dialogue_id", "turn", "speaker", "text", "label", "media", "group")
_PARTS = (
    "path",
    "key",
    "folder",
    "Dialogue_ID",
    "Utterance_ID",
    "dialogue",
    "val",
    "valid",
    "position",
    "file",
    "stem",
)

UTTERANCE_RULES = (
    "{utterance_id}",
    "{path}",
    "{val}_{key}",
    "{valid}_{key}",
    "{split}_{key}",
    "{val}/{key}",
    "{valid}/{key}",
    "{folder}$_${key}",
    "{folder}/{key}",
    "{folder}_{key}",
    "{key}",
    "{media}",
    "{file}",
    "{stem}",
    "{key}.mp4",
    "{key}.wav",
    "{Dialogue_ID}_{Utterance_ID}",
    "dia{Dialogue_ID}_utt{Utterance_ID}",
)
"""What is tried for a file's ids where no rule is given, in this order; the one that fits most of them is used."""

DIALOGUE_RULES = ("{dialogue_id}", "{dialogue}", "{split}_{dialogue}", "{Dialogue_ID}")
"""The same for the keys of a file that holds lists by dialogue."""


def row_names(manifest: Manifest) -> list[dict[str, Any]]:
    """What a template may name, for each row of the manifest."""
    found = []
    position, last = -1, None
    for row in manifest.frame.select(_COLUMNS).iter_rows(named=True):
        position = position + 1 if row["dialogue_id"] == last else 0
        last = row["dialogue_id"]
        found.append(row | _parts_of(row, position))
    return found


def _parts_of(row: dict[str, Any], position: int) -> dict[str, Any]:
    parts = row["utterance_id"].split("/")
    dialogue = row["dialogue_id"].rpartition("/")[2]
    dialogue_number, number = _END_NUMBER.search(dialogue), _END_NUMBER.search(parts[-1])
    dev = row["split"] == "dev"
    file = (row["media"] or "").rpartition("/")[2] or None
    return {
        "path": "/".join(parts[1:]) or None,
        "key": parts[-1],
        "folder": parts[-2] if len(parts) > 1 else None,
        "dialogue": dialogue,
        "Dialogue_ID": int(dialogue_number[1]) if dialogue_number else None,
        "Utterance_ID": int(number[1]) if number else None,
        "val": "val" if dev else row["split"],
        "valid": "valid" if dev else row["split"],
        "position": position,
        "file": file,
        "stem": file.rpartition(".")[0] or file if file else None,
    }


class Rule:
    """A template that was read and checked. Raises UsageError for a name that there is not, and for anything but
    names and `0`-filled widths."""

    def __init__(self, template: str) -> None:
        self.template = template
        try:
            self._pieces = list(_pieces(template))
        except ValueError as error:
            raise UsageError(f"--id {template!r}: is no template ({error}): write it like {{split}}_{{key}}") from error
        if not any(name for _, name, _ in self._pieces):
            raise UsageError(f"--id {template!r}: names no column: {', '.join(sorted((*_COLUMNS, *_PARTS)))}")

    def of(self, names: dict[str, Any]) -> str | None:
        """The id that the rule makes of a row, None where a value that it names is not there."""
        made = []
        for literal, name, width in self._pieces:
            made.append(literal)
            if name:
                value = names[name]
                if value is None or (width and not isinstance(value, int)):
                    return None
                made.append(format(value, width) if width else str(value))
        return "".join(made)


def _pieces(template: str) -> Iterator[tuple[str, str, str]]:
    for literal, name, width, conversion in string.Formatter().parse(template):
        if name is not None and name not in (*_COLUMNS, *_PARTS):
            raise UsageError(f"--id {template!r}: no column {name!r}: {nearest(name, (*_COLUMNS, *_PARTS))}")
        if conversion or not _FORMAT.fullmatch(width or ""):
            raise UsageError(f"--id {template!r}: only names and widths like {{Dialogue_ID:04d}} can be written")
        yield literal, name or "", width or ""
