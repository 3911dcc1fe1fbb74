"""What was worked out once on this machine and need not be again: a small file in the user's cache folder.

Nothing depends on it: without the file, or where it is damaged or cannot be written, the answer is worked out again.
The folder is $ERC_CACHE, else erc-feature-store in $XDG_CACHE_HOME or ~/.cache.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from features.digests import digest_of
from features.files import write_whole

_MOST = 500  # answers in one file; the oldest go first

Answer = TypeVar("Answer", bool, int, float, str)


def remembered(kind: str, question: Any, work_out: Callable[[], Answer]) -> Answer:
    """The answer to a question, as `work_out` gave it when it was first asked on this machine.

    kind: names the file; an answer is of the type that `work_out` gives
    question: as JSON values; all that the answer depends on
    Raises what `work_out` raises.
    """
    path = cache_folder() / f"{kind}.json"
    key = digest_of(kind, question)
    answers = _read(path)
    if key in answers:
        kept: Answer = answers[key]
        return kept
    answer = work_out()
    _write(path, {**_read(path), key: answer})
    return answer


def cache_folder() -> Path:
    if own := os.environ.get("ERC_CACHE"):
        return Path(own)
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "erc-feature-store"


def _read(path: Path) -> dict[str, Any]:
    try:
        answers = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return answers if isinstance(answers, dict) else {}


def _write(path: Path, answers: dict[str, Any]) -> None:
    text = json.dumps(dict(list(answers.items())[-_MOST:]), indent=0)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))
    except OSError:
        return  # a home that is read-only, or full
