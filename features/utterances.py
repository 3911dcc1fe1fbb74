"""An utterance, and the dialogue that it is a turn of. Importing this loads no library: decoding processes do."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Utterance:
    """One row of the manifest. Times are seconds; the columns are described in the README."""

    utterance_id: str
    dataset: str
    split: str
    dialogue_id: str
    turn: int
    speaker: str
    text: str
    label: str | None = None
    sentiment: str | None = None
    media: str | None = None
    start: float | None = None
    end: float | None = None
    duration: float | None = None
    group: str | None = None
    note: str | None = None


@dataclass(frozen=True, slots=True)
class Dialogue:
    """The utterances of one dialogue, in the order of their turns."""

    dialogue_id: str
    utterances: tuple[Utterance, ...]
