"""Frames of sound at a lower rate: each vector the mean over an equal share of the time.

The mean over the vectors is the mean over the frames, whatever the rate: a frame at the border of two shares counts in
both, by its part in each.
"""

from __future__ import annotations

from typing import Literal

import numpy as np

from features.errors import UsageError

SEQUENCE: Literal["sequence"] = "sequence"
DEFAULT_HZ = 10.0


def check_frame_rate(encoder: str, pooling: str, rate_hz: float, most_hz: float) -> None:
    """Raises UsageError for a rate that is above the encoder's own, or that nothing would read."""
    if pooling != SEQUENCE:
        if rate_hz != DEFAULT_HZ:
            raise UsageError(f"{encoder}: frame_rate={rate_hz:g} is for sequences: add --set pooling={SEQUENCE}")
    elif rate_hz > most_hz:
        raise UsageError(
            f"{encoder}: frame_rate={rate_hz:g} is above its own: give at most {most_hz:g} frames a second"
        )


def at_rate(frames: np.ndarray, own_hz: float, rate_hz: float) -> np.ndarray:
    """float [t, d] at `own_hz` -> float64 [n, d] at about `rate_hz`, which is at most that; n is at least 1."""
    num_frames = len(frames)
    count = max(1, round(num_frames * rate_hz / own_hz))
    if count == num_frames:
        return frames.astype(np.float64)
    share = num_frames / count
    edges = np.arange(count + 1) * share
    whole = np.minimum(edges.astype(np.int64), num_frames - 1)
    sums = np.zeros((num_frames + 1, *frames.shape[1:]))
    np.cumsum(frames, axis=0, dtype=np.float64, out=sums[1:])
    up_to_edge = sums[whole] + (edges - whole)[:, None] * frames[whole]
    return np.asarray(np.diff(up_to_edge, axis=0) / share)
