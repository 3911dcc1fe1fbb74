"""The room behind a speaker."""

from __future__ import annotations

import numpy as np

from pipeline.sample.drawing import Canvas, box, curve, tint
from pipeline.sample.speakers import Speaker


def draw_room(
    speaker: Speaker, scene: int, height: int, width: int, unit: float, rng: np.random.Generator
) -> np.ndarray:
    """The speaker's wall, with a window, a picture or a plant beside the head: uint8 RGB [height, width, 3].

    scene: which of them, and on which side
    unit:  half the width of a head, in pixels
    """
    wall = np.clip(np.array(speaker.wall) - 6 + rng.normal(0, 5) + rng.normal(0, 3, 3), 0, 255)
    shade = np.linspace(1.03, 0.9, height)[:, None, None]
    column = np.clip(wall * shade, 0, 255).astype(np.uint8)
    pixels = np.ascontiguousarray(np.broadcast_to(column, (height, width, 3)))
    canvas = Canvas(pixels, width / 2, 0.43 * height, unit)
    side = 1 if scene % 2 else -1
    dark, pale = tint(speaker.wall, -38), tint(speaker.wall, 14)
    kind = (scene // 2) % 3
    if kind == 0:  # a window
        canvas.fill(box(side * 1.68, -0.55, 0.42, 0.66), pale)
        canvas.fill(box(side * 1.68, -0.55, 0.36, 0.60), (190, 222, 242))
        canvas.oval(side * 1.68 + 0.08, -0.28, 0.34, 0.2, (236, 244, 248))
        canvas.stroke(np.array([[side * 1.68, -1.15], [side * 1.68, 0.05]]), pale, 0.05)
        canvas.stroke(np.array([[side * 1.68 - 0.36, -0.55], [side * 1.68 + 0.36, -0.55]]), pale, 0.05)
    elif kind == 1:  # a picture on the wall
        canvas.fill(box(side * 1.66, -0.5, 0.36, 0.46), dark)
        canvas.fill(box(side * 1.66, -0.5, 0.30, 0.40), (248, 244, 232))
        canvas.oval(side * 1.66, -0.42, 0.16, 0.16, (232, 160, 110))
        hills = np.array([[-0.3, 0], [-0.08, -0.22], [0.12, -0.02], [0.3, -0.14], [0.3, 0.12], [-0.3, 0.12]])
        canvas.fill(hills + np.array([side * 1.66, -0.22]), (130, 166, 150))
    else:  # a plant
        foot = np.array([side * 1.72, 0.1])
        for bend in (-0.5, -0.2, 0.15, 0.45):
            stem = np.array([[0, 0.9], [bend * 0.4, 0.3], [bend, -0.2 + abs(bend) * 0.5]]) + foot
            canvas.stroke(curve(*stem), (104, 142, 104), 0.05)
            canvas.oval(stem[2][0], stem[2][1], 0.11, 0.2, (118, 164, 116))
        canvas.fill(np.array([[-0.26, 0.8], [0.26, 0.8], [0.2, 1.5], [-0.2, 1.5]]) + foot, (196, 128, 96))
    return pixels
