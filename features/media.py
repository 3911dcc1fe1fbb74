"""A clip decoded once, for every encoder that wants it: sound at the rates asked for, and sampled frames."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from features.manifest import Utterance

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True, slots=True)
class AudioNeed:
    """Sound at `rate_hz`, down-mixed to `layout`, at most `max_seconds` of it."""

    rate_hz: int
    max_seconds: float
    layout: str = "mono"


@dataclass(frozen=True, slots=True)
class FramesNeed:
    """`count` frames at (i + 0.5)/count of the clip, or of its first `max_seconds` where it is longer."""

    count: int
    max_seconds: float


@dataclass(frozen=True, slots=True)
class ClipNeeds:
    """What one encoder needs of a clip."""

    audio: AudioNeed | None = None
    frames: FramesNeed | None = None


@dataclass(frozen=True, slots=True)
class Sound:
    """samples: float32 [n] for mono, [channels, n] else, in [-1, 1]; seconds: before the cut."""

    samples: np.ndarray
    rate_hz: int
    seconds: float
    cut: bool


@dataclass(frozen=True, slots=True)
class Frames:
    """pixels: one uint8 RGB array [h, w, 3] per frame; times_s: their presentation times from the clip's start."""

    pixels: list[np.ndarray]
    times_s: list[float]
    seconds: float
    cut: bool


class Clip:
    """What was decoded of one utterance's clip. `digest` is sha256 of the file's bytes."""

    utterance: Utterance
    digest: str

    def sound(self, need: AudioNeed) -> Sound:
        """Raises UnavailableError (no-audio, too-short, undecodable)."""
        raise NotImplementedError

    def frames(self, need: FramesNeed) -> Frames:
        """Raises UnavailableError (no-video, undecodable, too-large)."""
        raise NotImplementedError


def decode_clip(path: Path, utterance: Utterance, needs: Iterable[ClipNeeds]) -> Clip:
    """Decode a clip once for the union of `needs`. Raises UnavailableError where the whole clip is unusable."""
    raise NotImplementedError
