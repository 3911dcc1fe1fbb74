"""A speaker's head and shoulders with an expression, drawn on canvases."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pipeline.sample.drawing import Canvas, Points, curve, mix, oval, tint
from pipeline.sample.speakers import Colour, Speaker


@dataclass(frozen=True, slots=True)
class Expression:
    """A face's features, relative to the neutral face.

    brow:     brows raised (positive) or lowered
    slant:    inner ends of the brows raised (positive, as in grief) or lowered (as in anger)
    eye:      opening of the eyes; 1 is neutral
    curve:    mouth corners up (positive) or down
    jaw:      opening of the mouth while silent, 0 to 1
    wide:     width of the mouth; 1 is neutral
    wrinkle:  nose wrinkled and upper lip raised on one side
    cheek:    cheeks raised and rosy
    teeth:    teeth shown in an open mouth
    gaze:     pupils down (positive) or up
    bow:      head bowed (positive) or drawn back
    """

    brow: float = 0.0
    slant: float = 0.0
    eye: float = 1.0
    curve: float = 0.05
    jaw: float = 0.0
    wide: float = 1.0
    wrinkle: float = 0.0
    cheek: float = 0.1
    teeth: float = 0.3
    gaze: float = 0.0
    bow: float = 0.0


def draw_shirt(body: Canvas, speaker: Speaker) -> None:
    """The shoulders, which do not move."""
    left = curve([-1.75, 2.4], [-1.62, 1.55], [-0.42, 1.36])
    right = curve([0.42, 1.36], [1.62, 1.55], [1.75, 2.4])
    body.fill(np.vstack([left, right]), speaker.shirt)


def draw_head(head: Canvas, body: Canvas, speaker: Speaker, face: Expression, speech: float, blink: bool) -> None:
    """Hair, neck and face. The origin of both canvases lies between the eyes, one unit is half the width of the head.

    head:   moves with the head; `body` does not
    speech: how far speech opens the mouth, 0 to 1, on top of the expression
    blink:  eyes closed
    """
    skin, shadow = speaker.skin, tint(speaker.skin, -24)
    _hair_behind(head, speaker)
    body.stroke(curve([-0.42, 1.42], [0, 1.78], [0.42, 1.42]), tint(speaker.shirt, -30), 0.07)
    body.fill(curve([-0.36, 1.42], [0, 1.72], [0.36, 1.42]), shadow)
    neck = np.array([[-0.33, 0.8], [0.33, 0.8], [0.36, 1.46], [-0.36, 1.46]])
    body.fill(neck, shadow)
    for side in (-1, 1):
        head.oval(side * 1.0, 0.12, 0.16, 0.23, shadow)
    head.fill(_skull(), skin)
    if speaker.beard:
        _beard(head, speaker)
    cheeks = mix(skin, (226, 108, 104), 0.42 * min(face.cheek, 1.0))
    for side in (-1, 1):
        head.oval(side * 0.56, 0.42 - 0.05 * face.cheek, 0.2, 0.13, cheeks)
        _eye(head, speaker, face, side, blink)
    _nose(head, face, shadow)
    _mouth(head, speaker, face, speech)
    _hair_front(head, speaker)
    for side in (-1, 1):
        _brow(head, speaker, face, side)  # over the fringe, as in cartoons: raised brows stay in sight
    if speaker.glasses:
        _glasses(head)


def _eye(head: Canvas, speaker: Speaker, face: Expression, side: int, blink: bool) -> None:
    x, y = side * 0.42, 0.02
    opening = 0.03 if blink else 0.15 * face.eye * (1 - 0.12 * face.cheek)
    lid = tint(speaker.skin, -46)
    if opening < 0.05:
        head.stroke(curve([x - 0.2, y], [x, y + 0.08], [x + 0.2, y]), lid, 0.05)
        return
    head.oval(x, y, 0.2, opening, (252, 252, 250))
    iris_y = y + 0.05 * face.gaze
    iris = min(0.105, opening * 0.92)
    head.oval(x, iris_y, 0.105, iris, speaker.iris)
    head.oval(x, iris_y, 0.055, min(0.055, iris), (24, 20, 22))
    head.oval(x + 0.04, iris_y - 0.04, 0.022, 0.022, (255, 255, 255))
    # The outer end of the upper lid hangs where the inner end of the brow is raised.
    inner, outer = y - 0.03 * face.slant, y + 0.04 * face.slant
    head.stroke(curve([x - side * 0.21, inner], [x, y - 2 * opening], [x + side * 0.21, outer]), lid, 0.05)


def _brow(head: Canvas, speaker: Speaker, face: Expression, side: int) -> None:
    height = -0.33 - 0.15 * face.brow - 0.04 * (face.eye - 1)
    inner = [side * (0.2 - 0.03 * face.slant), height - 0.15 * face.slant]
    outer = [side * 0.68, height + 0.06 + 0.08 * face.slant]
    middle = [side * 0.44, height - 0.09 - 0.05 * face.brow]
    colour = tint(speaker.hair, -20 if sum(speaker.hair) < 400 else -64)
    head.stroke(curve(inner, middle, outer), colour, 0.085)


def _nose(head: Canvas, face: Expression, shadow: Colour) -> None:
    lift = 0.05 * face.wrinkle
    head.stroke(curve([-0.1, 0.40 - lift], [0.0, 0.50 - lift], [0.1, 0.40 - lift]), shadow, 0.06)
    if face.wrinkle > 0.25:
        for side in (-1, 1):
            head.stroke(np.array([[side * 0.05, 0.02], [side * 0.15, 0.10]]), shadow, 0.03)
            head.stroke(np.array([[side * 0.06, 0.14], [side * 0.17, 0.2]]), shadow, 0.03)
            head.stroke(curve([side * 0.17, 0.40], [side * 0.32, 0.46], [side * 0.36, 0.66]), shadow, 0.035)


def _mouth(head: Canvas, speaker: Speaker, face: Expression, speech: float) -> None:
    width = 0.34 * face.wide * (1 - 0.1 * speech)
    opening = 0.30 * min(face.jaw + 0.4 * speech, 1.1)
    corner = 0.76 - 0.13 * face.curve
    sneer = 0.10 * face.wrinkle
    lips = mix(tint(speaker.skin, -40), (176, 62, 72), 0.55)
    middle_top = 0.76 + 0.07 * face.curve - 0.5 * opening * (1 - 0.5 * max(face.curve, 0)) - 0.5 * sneer
    middle_low = middle_top + opening + 0.1 * max(face.curve, 0) * min(1, 4 * opening)
    left, right = [-width, corner], [width, corner - sneer]
    top = curve(left, [0.1 * sneer, 2 * middle_top - corner], right)
    low = curve(left, [0, 2 * middle_low - corner], right)
    if opening < 0.03:
        head.stroke(top, lips, 0.07)
        return
    inside = np.vstack([top, low[::-1]])
    head.fill(inside, (96, 30, 38))
    if opening > 0.12:
        head.oval(0, middle_low - 0.3 * opening, 0.45 * width, 0.24 * opening, (206, 98, 104))
    teeth = top + (low - top) * min(0.42, 0.32 * face.teeth)
    if face.teeth > 0.2:
        head.fill(np.vstack([top, teeth[::-1]]), (250, 248, 242))
    head.stroke(np.vstack([top, low[::-1], top[:1]]), lips, 0.05)


def _hair_behind(head: Canvas, speaker: Speaker) -> None:
    hair, style = speaker.hair, speaker.hair_style
    if style == "long":
        head.fill(oval(0, 0.35, 1.26, 1.55, 2.6), tint(hair, -18))
    elif style == "bob":
        head.fill(oval(0, 0.05, 1.24, 1.18, 2.8), tint(hair, -18))
    elif style == "bun":
        head.oval(0, -1.28, 0.42, 0.38, tint(hair, -18))
        head.oval(0, -0.25, 1.08, 0.95, tint(hair, -10))
    elif style == "curly":
        for angle in np.linspace(np.pi * 0.86, np.pi * 2.14, 11):
            head.oval(1.05 * np.cos(angle), -0.2 + 0.95 * np.sin(angle), 0.42, 0.42, hair)
    elif style == "short":
        head.oval(0, -0.32, 1.07, 0.92, tint(hair, -10), 2.3)


def _hair_front(head: Canvas, speaker: Speaker) -> None:
    hair, style = speaker.hair, speaker.hair_style
    if style == "bald":
        return
    dip = {"short": -0.58, "long": -0.56, "bob": -0.44, "bun": -0.62, "curly": -0.62}[style]
    part = {"short": 0.35, "long": -0.3, "bob": 0.0, "bun": 0.05, "curly": 0.0}[style]
    # Along the skull from temple to temple, and back along the hairline.
    angles = np.linspace(np.pi * 1.03, np.pi * 1.97, 30)
    crown = np.stack([1.03 * np.cos(angles), -0.02 + 1.12 * np.sin(angles)], 1)
    right = curve(crown[-1], [0.85, dip - 0.12], [part, dip - 0.12])
    left = curve([part, dip - 0.12], [-0.85, dip - 0.02], crown[0])
    head.fill(np.vstack([crown, right, left]), hair)
    if style == "curly":
        for angle in np.linspace(np.pi * 1.08, np.pi * 1.92, 8):
            head.oval(0.86 * np.cos(angle), -0.1 + 0.86 * np.sin(angle), 0.22, 0.2, hair)
    elif style in {"long", "bob"}:
        length = 1.25 if style == "long" else 0.7
        for side in (-1, 1):
            lock = np.vstack(
                [
                    curve([side * 0.98, -0.45], [side * 1.28, 0.2], [side * 1.12, length]),
                    curve([side * 0.92, length], [side * 0.98, 0.3], [side * 0.82, -0.5]),
                ]
            )
            head.fill(lock, hair)


def _beard(head: Canvas, speaker: Speaker) -> None:
    colour = mix(speaker.hair, speaker.skin, 0.25)
    outline = _skull()
    low = outline[outline[:, 1] > 0.38]
    low = low[np.argsort(np.arctan2(low[:, 1] - 0.38, low[:, 0]))]
    upper = np.vstack([curve([-0.93, 0.38], [-0.62, 0.66], [0, 0.53]), curve([0, 0.53], [0.62, 0.66], [0.93, 0.38])])
    head.fill(np.vstack([upper, low]), colour)


def _glasses(head: Canvas) -> None:
    frame = (52, 48, 56)
    for side in (-1, 1):
        ring = oval(side * 0.42, 0.03, 0.31, 0.27, 2.6)
        head.stroke(np.vstack([ring, ring[:1]]), frame, 0.045)
        head.stroke(np.array([[side * 0.73, 0.0], [side * 0.97, -0.05]]), frame, 0.045)
    head.stroke(curve([-0.11, 0.0], [0, -0.06], [0.11, 0.0]), frame, 0.045)


def _skull() -> Points:
    """The outline of the face: round above, narrower towards the chin."""
    points = oval(0, 0.06, 1.0, 1.16, 2.25)
    below = np.clip((points[:, 1] - 0.2) / 1.0, 0, 1)
    points[:, 0] *= 1 - 0.2 * below**1.4
    return points
