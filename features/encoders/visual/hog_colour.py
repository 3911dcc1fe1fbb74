"""`hog-colour`: edges by place and direction, colour and motion of sampled frames. No weights.

Shapes come from the middle square of the frame (its side is the shorter side): a face keeps its proportions, which
stretching would spoil and letterboxing would pay for in resolution. Speakers seldom sit in the outer quarters of a
wide picture; these still count for colour. The histogram of gradients is written out here: OpenCV 5's wheel has no
HOGDescriptor.

Legend: n cells a side, o orientations.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import cv2
import numpy as np

from features.encoders.protocol import EncoderRequest, Input, Reads
from features.encoders.views import FramesView, Strip, frame_labels, whole_frame
from features.media.clip import Clip
from features.media.needs import ClipNeeds, FramesNeed
from features.spec import EncoderSpec

SIDE = 128  # pixels of the square that shapes are taken from
CELLS = 8  # a side
ORIENTATIONS = 4  # half circle, 45 degrees each
CLIP = 0.4  # of a normalised cell, as in HOG's L2-Hys
EDGE_FLOOR = 2.0  # grey levels: fainter edges than this per pixel are treated as noise when cells are normalised
COLOUR_SIZE = (96, 72)  # pixels that colours are taken from, whatever the frame's shape
HUE_BINS, SATURATION_BINS, VALUE_BINS = 12, 8, 8
MOTION_CELLS = 4  # a side

NUM_SHAPE = CELLS * CELLS * ORIENTATIONS
NUM_COLOUR = HUE_BINS + SATURATION_BINS + VALUE_BINS + 9
NUM_MOTION = MOTION_CELLS * MOTION_CELLS + 1
SIZE = NUM_SHAPE + NUM_COLOUR + NUM_MOTION


class HogColourEncoder:
    """[SIZE] float32 per utterance: shape and colour, means over the frames, and motion. `prepare` does the work."""

    reads: Reads = "clip"
    batch_size = 1

    def __init__(self, request: EncoderRequest, settings: dict[str, Any]) -> None:
        need = FramesNeed(int(settings["frames"]), float(settings["max_seconds"]))
        self.needs = ClipNeeds(frames=need)
        self.prepare = HogColourPreparer(need)
        self.spec = EncoderSpec(
            modality="visual",
            encoder="hog-colour",
            version=1,
            depends="media",
            kind="vector",
            shape=(SIZE,),
            settings={
                "frames": need.count,
                "max_seconds": need.max_seconds,
                "crop": "middle square",
                "side": SIDE,
                "cells": CELLS,
                "orientations": ORIENTATIONS,
                "histogram": [HUE_BINS, SATURATION_BINS, VALUE_BINS],
            },
            alias=request.alias,
        )

    def encode(self, inputs: Sequence[Input]) -> list[np.ndarray]:
        """The vectors that `prepare` made."""
        return [item.value for item in inputs]


@dataclass(frozen=True)
class HogColourPreparer:
    """Clip -> statistics vector."""

    need: FramesNeed

    def __call__(self, clip: Clip, /) -> Input:
        """Raises UnavailableError: what `Clip.frames` raises."""
        frames = clip.frames(self.need)
        cv2.setNumThreads(1)  # worker processes are the parallelism
        values = hog_colour_statistics(frames.pixels)
        counts = {"num_frames": len(frames.pixels), "cut": int(frames.cut)}
        return Input(values, 1, (clip.digest,), (counts,))

    def view(self, item: Clip, made: Input, turn: int = 0) -> FramesView:
        """The grey squares that shapes and motion are taken of, and the small pictures that colours are."""
        frames = item.frames(self.need)
        greys = tuple(middle_square(frame).astype(np.uint8) for frame in frames.pixels)
        small = tuple(_resize(frame, COLOUR_SIZE) for frame in frames.pixels)
        strips = (
            Strip("Edges and motion are taken of these", greys, frame_labels(frames)),
            Strip("Colours are taken of these", small, frame_labels(frames)),
        )
        note = "The middle square gives shapes, the whole frame gives colours."
        return FramesView(frames, tuple(map(whole_frame, frames.pixels)), strips, note)


def hog_colour_statistics(pictures: Sequence[np.ndarray]) -> np.ndarray:
    """float32 [SIZE] of uint8 RGB pictures [h, w, 3] in the order of time; motion is 0 for a single one."""
    greys = [middle_square(picture) for picture in pictures]
    shapes = np.stack([oriented_gradients(grey) for grey in greys]).astype(np.float64)
    colours = np.stack([colour_statistics(picture) for picture in pictures])
    motion = np.zeros(NUM_MOTION)
    if len(pictures) > 1:
        moved = np.mean([np.abs(after - before) for before, after in pairwise(greys)], axis=0)
        motion[:-1] = _cell_means(moved / 255.0, MOTION_CELLS).ravel()
        motion[-1] = np.abs(np.diff(shapes, axis=0)).mean()
    return np.concatenate([shapes.mean(axis=0), colours.mean(axis=0), motion]).astype(np.float32)


def middle_square(picture: np.ndarray) -> np.ndarray:
    """float32 grey levels [SIDE, SIDE], 0 to 255, of the middle square of uint8 RGB [h, w, 3]."""
    height, width = picture.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    square = _resize(picture[top : top + side, left : left + side], (SIDE, SIDE))
    return cv2.cvtColor(square, cv2.COLOR_RGB2GRAY).astype(np.float32)


def oriented_gradients(grey: np.ndarray) -> np.ndarray:
    """Histogram of oriented gradients, float32 [n * n * o], of grey levels [SIDE, SIDE].

    Source: Dalal and Triggs, 2005 (not checked against their code). Deviations: cells overlap by a box filter of their
    size, in place of bilinear weights, and each is normalised once, by the 3 x 3 cells around it, in place of once in
    each block: n * n * o values, and not four times as many.
    """
    cell = SIDE // CELLS
    across = cv2.Sobel(grey, cv2.CV_32F, 1, 0, ksize=1)
    down = cv2.Sobel(grey, cv2.CV_32F, 0, 1, ksize=1)
    strength = np.sqrt(across * across + down * down)
    direction = np.arctan2(down, across) % np.pi * (ORIENTATIONS / np.pi)  # in bins; light to dark equals dark to light
    cells = np.empty((CELLS, CELLS, ORIENTATIONS), np.float32)
    for orientation in range(ORIENTATIONS):
        distance = np.abs(direction - (orientation + 0.5))
        distance = np.minimum(distance, ORIENTATIONS - distance)
        share = strength * np.maximum(0.0, 1.0 - distance)
        cells[:, :, orientation] = _cell_means(cv2.blur(share, (cell, cell)), CELLS)
    energy = cv2.blur((cells * cells).sum(axis=2), (3, 3), borderType=cv2.BORDER_REPLICATE) * 9.0
    return np.minimum(cells / np.sqrt(energy + EDGE_FLOOR**2)[:, :, None], CLIP).ravel()


def colour_statistics(picture: np.ndarray) -> np.ndarray:
    """float64 [NUM_COLOUR] of uint8 RGB [h, w, 3]: shares of hue (weighted by saturation), saturation and value, each
    summing to 1 (hue to 0 in a grey picture), then mean, deviation and cube root of the third moment of Lab."""
    small = _resize(picture, COLOUR_SIZE)
    hue, saturation, value = (plane.ravel() for plane in cv2.split(cv2.cvtColor(small, cv2.COLOR_RGB2HSV)))
    coloured = np.bincount(hue * np.int64(HUE_BINS) // 180, saturation, HUE_BINS)  # OpenCV's hue ends at 179
    hues = coloured / max(int(saturation.sum(dtype=np.int64)), 1)
    saturations = np.bincount(saturation * np.int64(SATURATION_BINS) // 256, minlength=SATURATION_BINS) / len(hue)
    values = np.bincount(value * np.int64(VALUE_BINS) // 256, minlength=VALUE_BINS) / len(hue)
    lab = cv2.cvtColor(small.astype(np.float32) / 255.0, cv2.COLOR_RGB2LAB).reshape(-1, 3).astype(np.float64) / 100.0
    centred = lab - lab.mean(axis=0)
    moments = [lab.mean(axis=0), lab.std(axis=0), np.cbrt((centred**3).mean(axis=0))]
    return np.concatenate([hues, saturations, values, *moments])


def _resize(picture: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """To `size` (width, height): averaged where that shrinks both sides, interpolated else."""
    shrinks = picture.shape[1] >= size[0] and picture.shape[0] >= size[1]
    return cv2.resize(picture, size, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)


def _cell_means(plane: np.ndarray, cells: int) -> np.ndarray:
    """[cells, cells] means of a plane [SIDE, SIDE]."""
    return plane.reshape(cells, SIDE // cells, cells, SIDE // cells).mean(axis=(1, 3))
