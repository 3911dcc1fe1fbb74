"""Pictures without a random generator, and clips of them for encoders, with nothing decoded."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from clip_factory import utterance

from features.encoders.protocol import Encoder, Input
from features.media.clip import Clip
from features.media.needs import Frames


def picture(number: int = 0, width: int = 320, height: int = 240) -> np.ndarray:
    """uint8 RGB [h, w, 3]: slopes, rings and stripes whose place and colour depend on `number`."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float64)
    turn = 2.4 * number
    rings = 127 + 110 * np.sin(np.hypot(x - width * (0.3 + 0.1 * np.sin(turn)), y - height / 2) / (4 + number % 5))
    slope = 255 * (x * (1 + number % 3) / width + y / height) / (2 + number % 3)
    stripes = 127 + 90 * np.sin((x * np.cos(turn) + y * np.sin(turn)) / (3 + number % 4))
    planes = [rings, slope, stripes]
    order = [(number + index) % 3 for index in range(3)]
    level = 0.4 + 0.6 * ((number * 7) % 10) / 9
    return np.clip(level * np.stack([planes[index] for index in order], axis=2), 0, 255).astype(np.uint8)


def clip_of(pictures: Sequence[np.ndarray], encoder: Encoder, cut: bool = False) -> Clip:
    assert encoder.needs is not None
    assert encoder.needs.frames is not None
    frames = Frames(list(pictures), [0.1 * index for index in range(len(pictures))], 1.0, cut)
    return Clip(utterance(), "0" * 64, pictures={encoder.needs.frames: frames})


def prepared(encoder: Encoder, *clips: Sequence[np.ndarray]) -> list[Input]:
    return [encoder.prepare(clip_of(pictures, encoder)) for pictures in clips]


def embed(encoder: Any, *clips: Sequence[np.ndarray]) -> np.ndarray:
    """[clips, d]"""
    return np.stack(encoder.encode(prepared(encoder, *clips)))
