"""The frames of one utterance: the expression of an emotion, lip movement, a little motion of the head."""

from __future__ import annotations

from dataclasses import astuple

import cv2
import numpy as np

from pipeline.sample.drawing import Canvas
from pipeline.sample.portrait import Expression, draw_head, draw_shirt
from pipeline.sample.room import draw_room
from pipeline.sample.speakers import Speaker

WIDTH, HEIGHT = 320, 240
_UNIT = 74.0  # half the width of a head, in pixels

# After the prototypes of the Facial Action Coding System (Ekman and Friesen, 1978), as far as these features reach.
EXPRESSIONS: dict[str, Expression] = {
    "neutral": Expression(),
    "joy": Expression(brow=0.15, eye=0.78, curve=1.0, jaw=0.35, wide=1.3, cheek=1.0, teeth=1.0, bow=-0.2),
    "surprise": Expression(brow=1.0, slant=0.1, eye=1.45, curve=0.0, jaw=0.85, wide=0.72, teeth=0.1, bow=-0.5),
    "anger": Expression(brow=-0.7, slant=-1.0, eye=0.8, curve=-0.6, jaw=0.15, wide=1.0, cheek=0.35, teeth=1.0, bow=0.4),
    "sadness": Expression(brow=0.1, slant=0.9, eye=0.68, curve=-0.9, wide=0.85, gaze=0.7, cheek=0.0, bow=0.9),
    "fear": Expression(brow=0.75, slant=0.8, eye=1.4, curve=-0.45, jaw=0.4, wide=1.22, cheek=0.0, teeth=0.8, bow=-0.6),
    "disgust": Expression(brow=-0.35, slant=-0.3, eye=0.55, curve=-0.7, jaw=0.05, wide=0.85, wrinkle=1.0, bow=-0.1),
}
# In the order of Expression's fields: an utterance's own scatter, and the limits of what can be drawn.
_NEUTRAL = np.array(astuple(EXPRESSIONS["neutral"]))
_SCATTER = np.array([0.14, 0.14, 0.09, 0.15, 0.05, 0.06, 0.08, 0.08, 0.1, 0.15, 0.2])
_LOWEST = np.array([-1.2, -1.3, 0.3, -1.3, 0, 0.55, 0, 0, 0, -1, -1.5])
_HIGHEST = np.array([1.4, 1.3, 1.7, 1.3, 1.0, 1.5, 1.2, 1.2, 1.2, 1.2, 1.5])


def draw_frames(speaker: Speaker, emotion: str, mouth: np.ndarray, scene: int, rng: np.random.Generator) -> np.ndarray:
    """The frames of an utterance: uint8 RGB [len(mouth), HEIGHT, WIDTH, 3].

    mouth:  how far speech opens the mouth at each frame, 0 to 1
    scene:  which room; the same number draws the same room
    """
    num_frames = len(mouth)
    strength = float(np.clip(rng.normal(0.85, 0.22), 0.25, 1.2))
    target = np.array(astuple(EXPRESSIONS[emotion]))
    peak = _NEUTRAL + strength * (target - _NEUTRAL) + _SCATTER * rng.standard_normal(len(target))
    x, y = _UNIT * (2.16 + rng.normal(0, 0.07)), _UNIT * (1.41 + rng.normal(0, 0.04))
    lean, sway, phase = rng.normal(0, 0.03), rng.uniform(0.01, 0.035), rng.uniform(0, 2 * np.pi, 3)
    blink = int(rng.integers(0, 3 * num_frames))
    room = draw_room(speaker, scene, HEIGHT, WIDTH, _UNIT, rng)
    draw_shirt(Canvas(room, x, y, _UNIT), speaker)
    light = float(np.clip(rng.normal(0.98, 0.04), 0.85, 1.04))
    frames = np.empty((num_frames, HEIGHT, WIDTH, 3), np.uint8)
    for index in range(num_frames):
        place = index / max(num_frames - 1, 1)
        onset = min(1.0, 0.45 + 2.2 * place)  # the expression is full after a quarter of the clip
        face = _expression(_NEUTRAL + onset * (peak - _NEUTRAL))
        turn = 2 * np.pi * (0.5 + 23 * sway) * place
        pixels = room.copy()
        head = Canvas(
            pixels,
            x + 1.2 * _UNIT * sway * np.sin(turn + phase[0]),
            y + _UNIT * (0.55 * sway * np.sin(turn + phase[1]) + 0.095 * face.bow - 0.027 * mouth[index]),
            _UNIT,
            lean + sway * np.sin(turn + phase[2]),
        )
        draw_head(head, Canvas(pixels, x, y, _UNIT), speaker, face, float(mouth[index]), index == blink)
        frames[index] = cv2.convertScaleAbs(pixels, alpha=light)
    return frames


def _expression(values: np.ndarray) -> Expression:
    return Expression(*np.clip(values, _LOWEST, _HIGHEST).tolist())
