"""Finding: one thing that was looked at."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

State = Literal["ok", "note", "absent", "failed"]


@dataclass(frozen=True)
class Finding:
    """group, name: what was looked at; text: what was found; mend: what to do about it, where there is something.

    state: ok; note: works, and could be better or surprise; absent: optional, and not here; failed: extraction and
           training on this machine cannot run
    """

    group: str
    name: str
    state: State
    text: str
    mend: str | None = None
