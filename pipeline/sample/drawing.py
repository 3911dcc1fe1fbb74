"""Flat shapes in OpenCV: a canvas with coordinates of its own, curves, ovals and colours."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import cv2
import numpy as np

from pipeline.sample.speakers import Colour

_SHIFT = 4  # OpenCV takes coordinates in sixteenths of a pixel

Points = np.ndarray  # float64 [n, 2]

_T = np.linspace(0, 1, 10)
_BEZIER = np.stack([(1 - _T) ** 2, 2 * _T * (1 - _T), _T**2], 1)


class Canvas:
    """Draws onto pixels in coordinates of its own: x to the right, y down, before a turn.

    pixels: uint8 RGB [h, w, 3], drawn on in place
    x, y:   the origin, in pixels
    unit:   length of one, in pixels
    angle:  turn about the origin, in radians, clockwise
    """

    def __init__(self, pixels: np.ndarray, x: float, y: float, unit: float, angle: float = 0.0) -> None:
        self.pixels = pixels
        self.unit = unit
        turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
        self._matrix = turn * unit * (1 << _SHIFT)
        self._offset = np.array([x, y]) * (1 << _SHIFT)

    def _place(self, points: Points) -> np.ndarray:
        return (points @ self._matrix + self._offset).astype(np.int32)

    def fill(self, points: Points, colour: Colour) -> None:
        cv2.fillPoly(self.pixels, [self._place(points)], colour, cv2.LINE_AA, _SHIFT)

    def stroke(self, points: Points, colour: Colour, width: float) -> None:
        thickness = max(1, round(width * self.unit))
        cv2.polylines(self.pixels, [self._place(points)], False, colour, thickness, cv2.LINE_AA, _SHIFT)

    def oval(self, x: float, y: float, rx: float, ry: float, colour: Colour, square: float = 2.0) -> None:
        self.fill(oval(x, y, rx, ry, square), colour)


def curve(start: Sequence[float], control: Sequence[float], end: Sequence[float]) -> Points:
    """A quadratic Bezier curve: float64 [10, 2]."""
    return _BEZIER @ np.array([start, control, end])


@lru_cache(maxsize=16)
def _unit_oval(square: float) -> Points:
    angles = np.linspace(0, 2 * np.pi, 48, endpoint=False)
    unit = np.stack([np.cos(angles), np.sin(angles)], 1)
    return np.sign(unit) * np.abs(unit) ** (2 / square)


def oval(x: float, y: float, rx: float, ry: float, square: float = 2.0) -> Points:
    """A superellipse; `square` above 2 is boxier. float64 [48, 2]."""
    return _unit_oval(square) * (rx, ry) + (x, y)


def box(x: float, y: float, rx: float, ry: float) -> Points:
    return np.array([[x - rx, y - ry], [x + rx, y - ry], [x + rx, y + ry], [x - rx, y + ry]])


def tint(colour: Colour, by: int) -> Colour:
    red, green, blue = (min(max(value + by, 0), 255) for value in colour)
    return red, green, blue


def mix(first: Colour, second: Colour, share: float) -> Colour:
    red, green, blue = (round((1 - share) * a + share * b) for a, b in zip(first, second, strict=True))
    return red, green, blue
