"""Vectors and sequences as a fixed number of steps, for tools that take arrays [n, steps, d].

A vector is a sequence of one step. A sequence that is shorter than the steps is followed by zeros; of a longer one each
step is the mean of an equal part. Nothing is aligned to words: no manifest has the times of words.
"""

from __future__ import annotations

import numpy as np

from features.exports.request import DEFAULT_LENGTH
from features.spec import EncoderSpec


def num_steps(spec: EncoderSpec, length: int | None) -> int:
    """`length` for all where it is given; else one step for vectors and stacks, DEFAULT_LENGTH for sequences."""
    if length is not None:
        return length
    return DEFAULT_LENGTH if spec.kind == "sequence" else 1


def fill_steps(frames: np.ndarray, out: np.ndarray) -> int:
    """Write [t, d] into zeros [steps, d], and return how many steps are real.

    With t > steps step i is the mean, taken in float64, of the frames from floor(i t / steps) up to
    floor((i + 1) t / steps).
    """
    steps, t = len(out), len(frames)
    if t <= steps:
        out[:t] = frames
        return t
    bounds = np.arange(steps + 1) * t // steps
    sums = np.add.reduceat(frames.astype(np.float64), bounds[:-1], axis=0)
    out[:] = sums / np.diff(bounds)[:, None]
    return steps
