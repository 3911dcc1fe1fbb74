"""A talking face: the frames of one utterance, drawn with OpenCV at twice the size and averaged down."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple, dataclass
from functools import lru_cache

import cv2
import numpy as np

from pipeline.sample.speakers import Colour, Speaker

WIDTH, HEIGHT = 320, 240
_OVERSAMPLE = 2
_UNIT = 74.0  # half the width of a head, in pixels of the finished frame
_SHIFT = 4  # OpenCV takes coordinates in sixteenths of a pixel

Points = np.ndarray  # float64 [n, 2]

_T = np.linspace(0, 1, 16)
_BEZIER = np.stack([(1 - _T) ** 2, 2 * _T * (1 - _T), _T**2], 1)


@dataclass(frozen=True, slots=True)
class Expression:
    """A face's features, relative to the neutral face.

    brow:     brows raised (positive) or lowered
    slant:    inner ends of the brows raised (positive, as in grief) or lowered (as in anger)
    eye:      opening of the eyes; 1 is neutral
    curve:    mouth corners up (positive) or down
    open:     opening of the mouth while silent, 0 to 1
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
    open: float = 0.0
    wide: float = 1.0
    wrinkle: float = 0.0
    cheek: float = 0.1
    teeth: float = 0.3
    gaze: float = 0.0
    bow: float = 0.0


# After the prototypes of the Facial Action Coding System (Ekman and Friesen, 1978), as far as these features reach.
EXPRESSIONS: dict[str, Expression] = {
    "neutral": Expression(),
    "joy": Expression(brow=0.15, eye=0.78, curve=1.0, open=0.35, wide=1.3, cheek=1.0, teeth=1.0, bow=-0.2),
    "surprise": Expression(brow=1.0, slant=0.1, eye=1.45, curve=0.0, open=0.85, wide=0.72, teeth=0.1, bow=-0.5),
    "anger": Expression(brow=-0.7, slant=-1.0, eye=0.8, curve=-0.6, open=0.15, wide=1.0, cheek=0.35, teeth=1.0, bow=0.4),
    "sadness": Expression(brow=0.1, slant=0.9, eye=0.68, curve=-0.9, wide=0.85, gaze=0.7, cheek=0.0, bow=0.9),
    "fear": Expression(brow=0.75, slant=0.8, eye=1.4, curve=-0.45, open=0.4, wide=1.22, cheek=0.0, teeth=0.8, bow=-0.6),
    "disgust": Expression(brow=-0.35, slant=-0.3, eye=0.55, curve=-0.7, open=0.05, wide=0.85, wrinkle=1.0, bow=-0.1),
}
# In the order of Expression's fields: an utterance's own scatter, and the limits of what can be drawn.
_NEUTRAL = np.array(astuple(EXPRESSIONS["neutral"]))
_SCATTER = np.array([0.14, 0.14, 0.09, 0.15, 0.05, 0.06, 0.08, 0.08, 0.1, 0.15, 0.2])
_LOWEST = np.array([-1.2, -1.3, 0.3, -1.3, 0, 0.55, 0, 0, 0, -1, -1.5])
_HIGHEST = np.array([1.4, 1.3, 1.7, 1.3, 1.0, 1.5, 1.2, 1.2, 1.2, 1.2, 1.5])


class _Head:
    """Draws in face coordinates: the origin between the eyes, x to the right, y down, one unit half the head's width."""

    def __init__(self, pixels: np.ndarray, x: float, y: float, angle: float) -> None:
        self.pixels = pixels
        self.scale = _UNIT * _OVERSAMPLE
        turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
        self._matrix = turn * self.scale * (1 << _SHIFT)
        self._offset = np.array([x, y]) * _OVERSAMPLE * (1 << _SHIFT)

    def _place(self, points: Points) -> np.ndarray:
        return (points @ self._matrix + self._offset).astype(np.int32)

    def fill(self, points: Points, colour: Colour) -> None:
        cv2.fillPoly(self.pixels, [self._place(points)], colour, cv2.LINE_AA, _SHIFT)

    def stroke(self, points: Points, colour: Colour, width: float) -> None:
        thickness = max(1, round(width * self.scale))
        cv2.polylines(self.pixels, [self._place(points)], False, colour, thickness, cv2.LINE_AA, _SHIFT)

    def oval(self, x: float, y: float, rx: float, ry: float, colour: Colour, square: float = 2.0) -> None:
        self.fill(_oval(x, y, rx, ry, square), colour)


def draw_frames(speaker: Speaker, emotion: str, mouth: np.ndarray, scene: int, rng: np.random.Generator) -> np.ndarray:
    """The frames of an utterance: uint8 RGB [len(mouth), HEIGHT, WIDTH, 3].

    mouth:  how far speech opens the mouth at each frame, 0 to 1
    scene:  which room; the same number draws the same room
    """
    num_frames = len(mouth)
    strength = float(np.clip(rng.normal(0.85, 0.22), 0.25, 1.2))
    target = np.array(astuple(EXPRESSIONS[emotion]))
    peak = _NEUTRAL + strength * (target - _NEUTRAL) + _SCATTER * rng.standard_normal(len(target))
    x, y = WIDTH / 2 + rng.normal(0, 5), 104 + rng.normal(0, 3)
    lean, sway, phase = rng.normal(0, 0.03), rng.uniform(0.01, 0.035), rng.uniform(0, 2 * np.pi, 3)
    blink = int(rng.integers(0, 3 * num_frames))
    room = _room(speaker, scene, rng)
    _Head(room, x, y, 0.0).fill(_body(), speaker.shirt)
    light = float(np.clip(rng.normal(0.98, 0.04), 0.85, 1.04))
    frames = np.empty((num_frames, HEIGHT, WIDTH, 3), np.uint8)
    for index in range(num_frames):
        place = index / max(num_frames - 1, 1)
        onset = min(1.0, 0.45 + 2.2 * place)
        face = _expression(_NEUTRAL + onset * (peak - _NEUTRAL))
        turn = 2 * np.pi * (0.5 + 0.8 * sway / 0.035) * place
        pixels = room.copy()
        head = _Head(
            pixels,
            x + 90 * sway * np.sin(turn + phase[0]),
            y + 40 * sway * np.sin(turn + phase[1]) + 7 * face.bow * onset - 2.0 * mouth[index],
            lean + sway * np.sin(turn + phase[2]),
        )
        body = _Head(pixels, x, y, 0.0)
        _draw(body, head, speaker, face, float(mouth[index]), index == blink)
        small = cv2.resize(pixels, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA)
        frames[index] = cv2.convertScaleAbs(small, alpha=light)
    return frames


def _expression(values: np.ndarray) -> Expression:
    return Expression(*np.clip(values, _LOWEST, _HIGHEST).tolist())


def _room(speaker: Speaker, scene: int, rng: np.random.Generator) -> np.ndarray:
    """The wall behind the head, with a window, a picture or a plant: uint8 [2 HEIGHT, 2 WIDTH, 3]."""
    size = (HEIGHT * _OVERSAMPLE, WIDTH * _OVERSAMPLE)
    wall = np.clip(np.array(speaker.wall) - 6 + rng.normal(0, 5) + rng.normal(0, 3, 3), 0, 255)
    shade = np.linspace(1.03, 0.9, size[0])[:, None, None]
    pixels = np.ascontiguousarray(np.clip(np.broadcast_to(wall * shade, (*size, 3)), 0, 255).astype(np.uint8))
    canvas = _Head(pixels, WIDTH / 2, 104, 0.0)
    side = 1 if scene % 2 else -1
    dark, pale = _tint(speaker.wall, -38), _tint(speaker.wall, 14)
    kind = (scene // 2) % 3
    if kind == 0:  # a window
        canvas.fill(_box(side * 1.68, -0.55, 0.42, 0.66), pale)
        canvas.fill(_box(side * 1.68, -0.55, 0.36, 0.60), (190, 222, 242))
        canvas.oval(side * 1.68 + 0.08, -0.28, 0.34, 0.2, (236, 244, 248))
        canvas.stroke(np.array([[side * 1.68, -1.15], [side * 1.68, 0.05]]), pale, 0.05)
        canvas.stroke(np.array([[side * 1.68 - 0.36, -0.55], [side * 1.68 + 0.36, -0.55]]), pale, 0.05)
    elif kind == 1:  # a picture on the wall
        canvas.fill(_box(side * 1.66, -0.5, 0.36, 0.46), dark)
        canvas.fill(_box(side * 1.66, -0.5, 0.30, 0.40), (248, 244, 232))
        canvas.oval(side * 1.66, -0.42, 0.16, 0.16, (232, 160, 110))
        canvas.fill(np.array([[-0.3, 0], [-0.08, -0.22], [0.12, -0.02], [0.3, -0.14], [0.3, 0.12], [-0.3, 0.12]])
                    + [side * 1.66, -0.22], (130, 166, 150))
    else:  # a plant
        for bend in (-0.5, -0.2, 0.15, 0.45):
            stem = np.array([[0, 0.9], [bend * 0.4, 0.3], [bend, -0.2 + abs(bend) * 0.5]]) + [side * 1.72, 0.1]
            canvas.stroke(_curve(*stem), (104, 142, 104), 0.05)
            canvas.oval(stem[2][0], stem[2][1], 0.11, 0.2, (118, 164, 116))
        canvas.fill(np.array([[-0.26, 0.8], [0.26, 0.8], [0.2, 1.5], [-0.2, 1.5]]) + [side * 1.72, 0.1], (196, 128, 96))
    return pixels


def _draw(body: _Head, head: _Head, speaker: Speaker, face: Expression, speech: float, blink: bool) -> None:
    skin, shadow = speaker.skin, _tint(speaker.skin, -24)
    _hair_behind(head, speaker)
    body.stroke(_curve([-0.42, 1.42], [0, 1.78], [0.42, 1.42]), _tint(speaker.shirt, -30), 0.07)
    body.fill(_curve([-0.36, 1.42], [0, 1.72], [0.36, 1.42]), shadow)
    neck = np.array([[-0.33, 0.8], [0.33, 0.8], [0.36, 1.46], [-0.36, 1.46]])
    body.fill(neck, shadow)
    for side in (-1, 1):
        head.oval(side * 1.0, 0.12, 0.16, 0.23, shadow)
    head.fill(_skull(), skin)
    if speaker.beard:
        _beard(head, speaker)
    cheeks = _mix(skin, (226, 108, 104), 0.42 * min(face.cheek, 1.0))
    for side in (-1, 1):
        head.oval(side * 0.56, 0.42 - 0.05 * face.cheek, 0.2, 0.13, cheeks)
        _eye(head, speaker, face, side, blink)
        _brow(head, speaker, face, side)
    _nose(head, face, shadow)
    _mouth(head, speaker, face, speech)
    _hair_front(head, speaker)
    if speaker.glasses:
        _glasses(head)


def _eye(head: _Head, speaker: Speaker, face: Expression, side: int, blink: bool) -> None:
    x, y = side * 0.42, 0.02
    opening = 0.03 if blink else 0.15 * face.eye * (1 - 0.12 * face.cheek)
    lid = _tint(speaker.skin, -46)
    if opening < 0.05:
        head.stroke(_curve([x - 0.2, y], [x, y + 0.08], [x + 0.2, y]), lid, 0.05)
        return
    head.oval(x, y, 0.2, opening, (252, 252, 250))
    iris_y = y + 0.05 * face.gaze
    iris = min(0.105, opening * 0.92)
    head.oval(x, iris_y, 0.105, iris, speaker.iris)
    head.oval(x, iris_y, 0.055, min(0.055, iris), (24, 20, 22))
    head.oval(x + 0.04, iris_y - 0.04, 0.022, 0.022, (255, 255, 255))
    # The outer end of the upper lid hangs where the inner end of the brow is raised.
    inner, outer = y - 0.03 * face.slant, y + 0.04 * face.slant
    head.stroke(_curve([x - side * 0.21, inner], [x, y - 2 * opening], [x + side * 0.21, outer]), lid, 0.05)


def _brow(head: _Head, speaker: Speaker, face: Expression, side: int) -> None:
    height = -0.33 - 0.15 * face.brow - 0.04 * (face.eye - 1)
    inner = [side * (0.2 - 0.03 * face.slant), height - 0.15 * face.slant]
    outer = [side * 0.68, height + 0.06 + 0.08 * face.slant]
    middle = [side * 0.44, height - 0.09 - 0.05 * face.brow]
    colour = _tint(speaker.hair, -20 if sum(speaker.hair) < 400 else -64)
    head.stroke(_curve(inner, middle, outer), colour, 0.085)


def _nose(head: _Head, face: Expression, shadow: Colour) -> None:
    lift = 0.05 * face.wrinkle
    head.stroke(_curve([-0.1, 0.40 - lift], [0.0, 0.50 - lift], [0.1, 0.40 - lift]), shadow, 0.06)
    if face.wrinkle > 0.25:
        for side in (-1, 1):
            head.stroke(np.array([[side * 0.05, 0.02], [side * 0.15, 0.10]]), shadow, 0.03)
            head.stroke(np.array([[side * 0.06, 0.14], [side * 0.17, 0.2]]), shadow, 0.03)
            head.stroke(_curve([side * 0.17, 0.40], [side * 0.32, 0.46], [side * 0.36, 0.66]), shadow, 0.035)


def _mouth(head: _Head, speaker: Speaker, face: Expression, speech: float) -> None:
    width = 0.34 * face.wide * (1 - 0.1 * speech)
    opening = 0.30 * min(face.open + 0.4 * speech, 1.1)
    corner = 0.76 - 0.13 * face.curve
    sneer = 0.10 * face.wrinkle
    lips = _mix(_tint(speaker.skin, -40), (176, 62, 72), 0.55)
    middle_top = 0.76 + 0.07 * face.curve - 0.5 * opening * (1 - 0.5 * max(face.curve, 0)) - 0.5 * sneer
    middle_low = middle_top + opening + 0.1 * max(face.curve, 0) * min(1, 4 * opening)
    left, right = [-width, corner], [width, corner - sneer]
    top = _curve(left, [0.1 * sneer, 2 * middle_top - corner], right)
    low = _curve(left, [0, 2 * middle_low - corner], right)
    if opening < 0.03:
        head.stroke(top, lips, 0.07)
        return
    inside = np.vstack([top, low[::-1]])
    head.fill(inside, (96, 30, 38))
    tongue_y = middle_low - 0.3 * opening
    if opening > 0.12:
        head.oval(0, tongue_y + 0.02, 0.5 * width, 0.26 * opening, (206, 98, 104))
    teeth = top + (low - top) * min(0.42, 0.32 * face.teeth)
    if face.teeth > 0.2:
        head.fill(np.vstack([top, teeth[::-1]]), (250, 248, 242))
    head.stroke(np.vstack([top, low[::-1], top[:1]]), lips, 0.05)


def _hair_behind(head: _Head, speaker: Speaker) -> None:
    hair, style = speaker.hair, speaker.hair_style
    if style == "long":
        head.fill(_oval(0, 0.35, 1.26, 1.55, 2.6), _tint(hair, -18))
    elif style == "bob":
        head.fill(_oval(0, 0.05, 1.24, 1.18, 2.8), _tint(hair, -18))
    elif style == "bun":
        head.oval(0, -1.28, 0.42, 0.38, _tint(hair, -18))
        head.oval(0, -0.25, 1.08, 0.95, _tint(hair, -10))
    elif style == "curly":
        for angle in np.linspace(np.pi * 0.86, np.pi * 2.14, 11):
            head.oval(1.05 * np.cos(angle), -0.2 + 0.95 * np.sin(angle), 0.42, 0.42, hair)
    elif style == "short":
        head.oval(0, -0.32, 1.07, 0.92, _tint(hair, -10), 2.3)


def _hair_front(head: _Head, speaker: Speaker) -> None:
    hair, style = speaker.hair, speaker.hair_style
    if style == "bald":
        return
    dip = {"short": -0.42, "long": -0.5, "bob": -0.34, "bun": -0.56, "curly": -0.58}[style]
    part = {"short": 0.35, "long": -0.3, "bob": 0.0, "bun": 0.05, "curly": 0.0}[style]
    # Along the skull from temple to temple, and back along the hairline.
    angles = np.linspace(np.pi * 1.03, np.pi * 1.97, 30)
    crown = np.stack([1.03 * np.cos(angles), -0.02 + 1.12 * np.sin(angles)], 1)
    right = _curve(crown[-1], [0.85, dip - 0.12], [part, dip - 0.12])
    left = _curve([part, dip - 0.12], [-0.85, dip - 0.02], crown[0])
    head.fill(np.vstack([crown, right, left]), hair)
    if style == "curly":
        for angle in np.linspace(np.pi * 1.08, np.pi * 1.92, 8):
            head.oval(0.86 * np.cos(angle), -0.1 + 0.86 * np.sin(angle), 0.22, 0.2, hair)
    elif style in {"long", "bob"}:
        length = 1.25 if style == "long" else 0.7
        for side in (-1, 1):
            lock = np.vstack([_curve([side * 0.98, -0.45], [side * 1.28, 0.2], [side * 1.12, length]),
                              _curve([side * 0.92, length], [side * 0.98, 0.3], [side * 0.82, -0.5])])
            head.fill(lock, hair)


def _beard(head: _Head, speaker: Speaker) -> None:
    colour = _mix(speaker.hair, speaker.skin, 0.25)
    outline = _skull()
    low = outline[outline[:, 1] > 0.38]
    low = low[np.argsort(np.arctan2(low[:, 1] - 0.38, low[:, 0]))]
    upper = np.vstack([_curve([-0.93, 0.38], [-0.62, 0.66], [0, 0.53]), _curve([0, 0.53], [0.62, 0.66], [0.93, 0.38])])
    head.fill(np.vstack([upper, low]), colour)


def _glasses(head: _Head) -> None:
    frame = (52, 48, 56)
    for side in (-1, 1):
        ring = _oval(side * 0.42, 0.03, 0.31, 0.27, 2.6)
        head.stroke(np.vstack([ring, ring[:1]]), frame, 0.045)
        head.stroke(np.array([[side * 0.73, 0.0], [side * 0.97, -0.05]]), frame, 0.045)
    head.stroke(_curve([-0.11, 0.0], [0, -0.06], [0.11, 0.0]), frame, 0.045)


def _skull() -> Points:
    """The outline of the face: round above, narrower towards the chin."""
    points = _oval(0, 0.06, 1.0, 1.16, 2.25)
    below = np.clip((points[:, 1] - 0.2) / 1.0, 0, 1)
    points[:, 0] *= 1 - 0.2 * below**1.4
    return points


def _body() -> Points:
    left = _curve([-1.75, 2.4], [-1.62, 1.55], [-0.42, 1.36])
    right = _curve([0.42, 1.36], [1.62, 1.55], [1.75, 2.4])
    return np.vstack([left, right])


def _curve(start: Sequence[float], control: Sequence[float], end: Sequence[float]) -> Points:
    """A quadratic Bezier curve: float64 [16, 2]."""
    return _BEZIER @ np.array([start, control, end])


@lru_cache(maxsize=16)
def _unit_oval(square: float) -> Points:
    angles = np.linspace(0, 2 * np.pi, 48, endpoint=False)
    unit = np.stack([np.cos(angles), np.sin(angles)], 1)
    return np.sign(unit) * np.abs(unit) ** (2 / square)


def _oval(x: float, y: float, rx: float, ry: float, square: float = 2.0) -> Points:
    """A superellipse; `square` above 2 is boxier. float64 [48, 2]."""
    return _unit_oval(square) * (rx, ry) + (x, y)


def _box(x: float, y: float, rx: float, ry: float) -> Points:
    return np.array([[x - rx, y - ry], [x + rx, y - ry], [x + rx, y + ry], [x - rx, y + ry]])


def _tint(colour: Colour, by: int) -> Colour:
    red, green, blue = (min(max(value + by, 0), 255) for value in colour)
    return red, green, blue


def _mix(first: Colour, second: Colour, share: float) -> Colour:
    red, green, blue = (round((1 - share) * a + share * b) for a, b in zip(first, second, strict=True))
    return red, green, blue
