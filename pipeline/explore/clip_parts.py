"""What the page of one clip is made of: pictures with boxes, rows of them, sounds, and a block an encoder."""

from __future__ import annotations

from dataclasses import dataclass, field

from features.encoders.views import Token
from features.errors import status_of
from pipeline.explore.clip_inputs import Seen
from pipeline.explore.inline_media import Image
from pipeline.pages.drawing import Drawing


@dataclass(frozen=True)
class Box:
    """Where something lies on a picture, in percent of its width and height."""

    left: float
    top: float
    width: float
    height: float
    label: str = ""
    counts: bool = True


@dataclass(frozen=True)
class Shot:
    """A picture with what stands on it and under it. region: the part that goes on; gone: nothing of it does"""

    image: Image
    label: str
    boxes: tuple[Box, ...] = ()
    region: Box | None = None
    gone: bool = False
    note: str = ""


@dataclass(frozen=True)
class Row:
    """Pictures side by side."""

    title: str
    shots: tuple[Shot, ...]
    note: str = ""


@dataclass(frozen=True)
class Sounding:
    """A sound to look at and to play. played: seconds of it in the page"""

    uri: str
    seconds: float
    played: float
    wave: Drawing
    mel: Drawing


@dataclass
class Block:
    """One encoder's part of the page.

    facts:   (name, value) lines; glance: the same in a few words
    tokens:  a number stands for so many cut ones that are not shown
    same_as: the encoder whose sound is the same
    """

    seen: Seen
    name: str
    anchor: str
    facts: list[tuple[str, str]] = field(default_factory=list)
    glance: str = ""
    tokens: tuple[Token | int, ...] = ()
    values: tuple[tuple[str, float], ...] = ()
    sounding: Sounding | None = None
    rows: list[Row] = field(default_factory=list)
    same_as: str = ""
    note: str = ""

    @property
    def outcome(self) -> str:
        """`ok`, or `missing` and `failed` with the reason, or `not tried`."""
        if self.seen.not_shown:
            return "not tried"
        error = self.seen.unavailable
        return "ok" if error is None else f"{status_of(error.reason)}: {error.reason}"

    @property
    def got(self) -> str:
        """Its facts in one line, or why there is none."""
        if self.seen.not_shown:
            return self.seen.not_shown
        error = self.seen.unavailable
        if error is not None:
            return error.detail or str(error.reason)
        return self.glance

    @property
    def stored_outcome(self) -> str:
        """What the store says, or nothing where it has no such feature."""
        stored = self.seen.wanted.stored
        if stored is None:
            return ""
        return f"{stored.status}: {stored.reason}" if stored.reason else stored.status
