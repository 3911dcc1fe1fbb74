"""Talks and their turns, which are the input of `erc predict`, and the JSON files that hold them.

A file holds one dialogue or several. A dialogue is a list of turns, or a mapping with `turns` (and `dialogue_id`), or a
mapping with the columns `speakers`, `texts` and `clips`. A turn is a mapping with `text`, `speaker`, `clip`, `start`
and `end`. Each of these may be left out. Clips are relative to the file's folder.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from features.errors import UsageError, nearest

_KEYS = ("speaker", "text", "clip", "start", "end")
_COLUMNS = {"speakers": "speaker", "texts": "text", "clips": "clip", "starts": "start", "ends": "end"}
_SHOWN_PROBLEMS = 10


@dataclass(frozen=True)
class Turn:
    """One utterance to predict. clip: a file, or None; start, end: where the utterance begins and ends in the clip, in
    seconds, or None."""

    speaker: str = ""
    text: str = ""
    clip: Path | None = None
    start: float | None = None
    end: float | None = None


@dataclass(frozen=True)
class Talk:
    """One dialogue, in the order of its turns."""

    name: str
    turns: tuple[Turn, ...]


def read_talks(path: Path) -> list[Talk]:
    """The dialogues of a JSON file. Raises UsageError, which lists every problem with its place in the file."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, ValueError, RecursionError) as error:
        raise UsageError(f"{path}: cannot be read as JSON ({error}): see `erc predict --help`") from error
    problems: list[str] = []
    talks = [
        _talk(item, f"dialogue {place}" if several else "the dialogue", str(place), path.parent, problems)
        for several, items in [_dialogues(content)]
        for place, item in enumerate(items)
    ]
    names = [talk.name for talk in talks]
    problems += [f"dialogue_id {name!r} is given twice" for name in sorted({n for n in names if names.count(n) > 1})]
    if not problems and not any(talk.turns for talk in talks):
        problems.append("holds no turn")
    if problems:
        more = f"; and {len(problems) - _SHOWN_PROBLEMS} more" if len(problems) > _SHOWN_PROBLEMS else ""
        raise UsageError(f"{path}: {'; '.join(problems[:_SHOWN_PROBLEMS])}{more}")
    return [talk for talk in talks if talk.turns]


def _dialogues(content: Any) -> tuple[bool, list[Any]]:
    """Whether a file holds several dialogues, and what each is read from."""
    if isinstance(content, Mapping) and "dialogues" in content:
        return True, list(content["dialogues"]) if isinstance(content["dialogues"], list) else [content["dialogues"]]
    if isinstance(content, list) and content and all(_is_dialogue(item) for item in content):
        return True, content
    return False, [content]


def _is_dialogue(item: Any) -> bool:
    return isinstance(item, list) or (isinstance(item, Mapping) and bool({"turns", *_COLUMNS} & set(item)))


def _talk(item: Any, where: str, name: str, folder: Path, problems: list[str]) -> Talk:
    if isinstance(item, Mapping):
        given = item.get("dialogue_id", name)
        name = str(given) if isinstance(given, (str, int)) and str(given).strip() else name
        turns = item["turns"] if "turns" in item else _of_columns(item, where, problems)
        known = ("dialogue_id", "turns") if "turns" in item else ("dialogue_id", *_COLUMNS)
        problems += [f"{where}: unknown key {key!r}: {nearest(str(key), known)}" for key in item if key not in known]
    else:
        turns = item
    if not isinstance(turns, list):
        problems.append(f"{where}: must be a list of turns, or a mapping with `turns`, not {type(turns).__name__}")
        return Talk(name, ())
    return Talk(name, tuple(_turn(turn, f"{where}, turn {at}", folder, problems) for at, turn in enumerate(turns)))


def _of_columns(item: Mapping[str, Any], where: str, problems: list[str]) -> list[dict[str, Any]]:
    columns = {one: item[many] for many, one in _COLUMNS.items() if many in item}
    if not all(isinstance(values, list) for values in columns.values()) or len(set(map(len, columns.values()))) != 1:
        problems.append(f"{where}: {', '.join(_COLUMNS)} must be lists of one length, or give `turns`")
        return []
    return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]


def _turn(item: Any, where: str, folder: Path, problems: list[str]) -> Turn:
    if not isinstance(item, Mapping):
        problems.append(f"{where}: must be a mapping of {', '.join(_KEYS)}, not {item!r}")
        return Turn()
    problems += [f"{where}: unknown key {key!r}: {nearest(str(key), _KEYS)}" for key in item if key not in _KEYS]
    texts = {}
    for key in ("speaker", "text", "clip"):
        value = item.get(key)
        if value is not None and not isinstance(value, str):
            problems.append(f"{where}: {key} must be text, not {value!r}")
        texts[key] = value if isinstance(value, str) else ""
    times = {key: _seconds(item.get(key), f"{where}: {key}", problems) for key in ("start", "end")}
    clip = folder / texts["clip"] if texts["clip"].strip() else None
    turn = Turn(texts["speaker"], texts["text"], clip, **times)
    problems += [f"{where}: {problem}" for problem in turn_problems(turn)]
    return turn


def _seconds(value: Any, what: str, problems: list[str]) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value) or value < 0:
        problems.append(f"{what} must be seconds, not {value!r}")
        return None
    return float(value)


def turn_problems(turn: Turn) -> list[str]:
    """What is wrong with a turn: nothing to predict from, a clip that is not there, a cut of nothing."""
    problems = []
    if not turn.text.strip() and turn.clip is None:
        problems.append("has neither text nor clip")
    if turn.clip is not None and not turn.clip.is_file():
        problems.append(f"no clip at {turn.clip}")
    if turn.clip is None and (turn.start is not None or turn.end is not None):
        problems.append("start and end are a cut of a clip, and there is none")
    if turn.start is not None and turn.end is not None and turn.end <= turn.start:
        problems.append(f"end ({turn.end:g}) must be after start ({turn.start:g})")
    return problems
