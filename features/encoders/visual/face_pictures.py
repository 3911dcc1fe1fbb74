"""Pictures of nothing but faces: all else black, or each face cut out."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil, floor

import numpy as np

from features.encoders.visual.face_boxes import Faces
from features.encoders.visual.pictures import Box, resize

MARGIN = 0.2
"""Around a face that is cut out, on each side, as a share of its longer side: forehead, chin and ears belong to it."""

_NO_PIXEL = 1e-3  # of a pixel: boxes are stored in float32


def black_out(picture: np.ndarray, faces: Faces, place: Box | None = None) -> np.ndarray:
    """A copy that is black but for the boxes, each widened to whole pixels.

    picture: uint8 RGB [h, w, 3]
    place:   where in the picture the frame lies that the faces are of; None: it is all of it
    """
    left, top, right, bottom = place or (0, 0, picture.shape[1], picture.shape[0])
    width, height = right - left, bottom - top
    kept = np.zeros_like(picture)
    for x1, y1, x2, y2 in faces.boxes.tolist():
        rows = slice(*(top + edge for edge in _widened(y1, y2, height)))
        columns = slice(*(left + edge for edge in _widened(x1, x2, width)))
        kept[rows, columns] = picture[rows, columns]
    return kept


def _widened(low: float, high: float, extent: int) -> tuple[int, int]:
    """From `low` to `high` of an extent in pixels, widened to whole ones; but not by the rounding of stored boxes."""
    return max(0, floor(low * extent + _NO_PIXEL)), min(extent, ceil(high * extent - _NO_PIXEL))


Square = tuple[int, int, int]
"""left, top, side in pixels; it may reach beyond the picture."""


def square_around(box: Sequence[float], width: int, height: int) -> Square:
    """The square around a box (x1, y1, x2, y2 in units of the picture), with a margin. width, height: in pixels"""
    x1, y1, x2, y2 = box[0] * width, box[1] * height, box[2] * width, box[3] * height
    side = max(1, round(max(x2 - x1, y2 - y1) * (1 + 2 * MARGIN)))
    return round((x1 + x2 - side) / 2), round((y1 + y2 - side) / 2), side


def cut_out(picture: np.ndarray, square: Square, side: int) -> np.ndarray:
    """uint8 RGB [side, side, 3]: a square of the picture, resized; what lies outside of the picture is black."""
    left, top, extent = square
    cut = np.zeros((extent, extent, 3), np.uint8)
    rows = slice(max(0, top), min(picture.shape[0], top + extent))
    columns = slice(max(0, left), min(picture.shape[1], left + extent))
    cut[rows.start - top : rows.stop - top, columns.start - left : columns.stop - left] = picture[rows, columns]
    return resize(cut, (side, side))


def areas(faces: Faces) -> list[float]:
    """Of each box, in units of the frame's area."""
    sides = faces.boxes[:, 2:] - faces.boxes[:, :2]
    return [float(area) for area in sides.prod(axis=1)]
