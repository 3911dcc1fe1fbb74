"""What encoders need of a clip, and what they are given: sound at a rate, and sampled frames."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

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
    """`count` frames at (i + 0.5)/count of the clip, or of its first `max_seconds` where it is longer.

    ends: at i/(count - 1) instead, the first and the last frame among them, as the HLM12ERC report took them
    """

    count: int
    max_seconds: float
    ends: bool = False


@dataclass(frozen=True, slots=True)
class ClipNeeds:
    """What one encoder needs of a clip."""

    audio: AudioNeed | None = None
    frames: FramesNeed | None = None


@dataclass(frozen=True, slots=True)
class Sound:
    """
    samples:   float32 [n] for mono, [channels, n] else, in [-1, 1]
    seconds:   before the cut
    outside_s: how much of what the utterance is to be cut out of its file lies outside the file's sound
    """

    samples: np.ndarray
    rate_hz: int
    seconds: float
    cut: bool
    outside_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Frames:
    """The sampled pictures of a clip.

    pixels:  one uint8 RGB array [h, w, 3] per frame, upright; frames that are the same picture share one array
    times_s: their presentation times in seconds, from the clip's start (below 0 for the picture already shown there)
    seconds: the video's decoded duration within the clip, before the cut
    outside_s: how much of what the utterance is to be cut out of its file lies outside the file's pictures
    """

    pixels: list[np.ndarray]
    times_s: list[float]
    seconds: float
    cut: bool
    outside_s: float = 0.0
