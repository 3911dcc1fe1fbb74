"""A decoded frame as it is to be shown: its samples square, turned and mirrored as the file's display matrix says.

An interlaced frame stays as it is stored, its two fields woven: nothing is interpolated.
"""

from __future__ import annotations

from fractions import Fraction

import av
import numpy as np
from av.sidedata.sidedata import Type

_SQUARE = Fraction(1, 100)  # within it samples are square: encoders write 1280:1281 where they round a picture's size


def shown_width(frame: av.VideoFrame, sample_aspect: Fraction | None) -> int:
    """How many square samples wide the stored picture is. sample_aspect: width of a sample by its height, or None"""
    if not sample_aspect or sample_aspect < 0 or abs(sample_aspect - 1) <= _SQUARE:
        return frame.width
    return max(1, round(frame.width * sample_aspect))


def shown_picture(frame: av.VideoFrame, sample_aspect: Fraction | None) -> np.ndarray:
    """uint8 RGB [h, w, 3]. The width is resized by `sample_aspect`, then the display matrix applied."""
    width = shown_width(frame, sample_aspect)
    if width == frame.width:
        pixels = frame.to_ndarray(format="rgb24")
    else:
        pixels = frame.to_ndarray(format="rgb24", width=width, height=frame.height, interpolation="BICUBIC")
    return np.ascontiguousarray(_placed(pixels, frame))


def _placed(pixels: np.ndarray, frame: av.VideoFrame) -> np.ndarray:
    """Apply the display matrix: x' = a x + c y, y' = b x + d y, and what lies left of 0 or above it is moved back.

    An angle that is no quarter turn is rounded to one.
    """
    matrix = frame.side_data.get(Type.DISPLAYMATRIX)
    if matrix is None:
        return pixels
    a, b, _, c, d = np.frombuffer(bytes(matrix), np.int32)[:5].tolist()
    across, down = a, d
    if abs(b) + abs(c) > abs(a) + abs(d):
        pixels, across, down = pixels.transpose(1, 0, 2), c, b
    return pixels[:: -1 if down < 0 else 1, :: -1 if across < 0 else 1]
