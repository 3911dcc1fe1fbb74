"""What librosa does not give: pitch with its aperiodicity, and the number of syllables. Everything is float64.

Legend: n samples, f frames.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

_FLOOR = 1e-10
_BLOCK = 1024  # frames whose pitch is worked out at once


def pitch(
    samples: Array, rate_hz: int, hop: int, low_hz: float, high_hz: float, window: int, threshold: float
) -> tuple[Array, Array]:
    """Fundamental frequency in Hz [f] and aperiodicity [f] (0 = a periodic frame, about 1 = noise), by YIN.

    Source: de Cheveigne and Kawahara, 2002, steps 1 to 5: the first dip of the normalised difference below `threshold`,
    else its lowest point, refined by a parabola (not checked against their code). Deviation: no step 6 (search of
    neighbouring frames). Frames are `window` samples plus the longest period; the end is padded with zeros to one frame
    if need be.
    """
    longest, shortest = int(np.ceil(rate_hz / low_hz)), int(rate_hz // high_hz)
    length = window + longest + 1
    padded = np.pad(samples, (0, max(0, length - len(samples))))
    frames = np.lib.stride_tricks.sliding_window_view(padded, length)[::hop]  # [f, length]
    blocks = [
        _yin(frames[start : start + _BLOCK], window, shortest, longest, threshold)
        for start in range(0, len(frames), _BLOCK)
    ]
    periods, aperiodicity = (np.concatenate(parts) for parts in zip(*blocks, strict=True))
    return rate_hz / periods, aperiodicity


def _yin(frames: Array, window: int, shortest: int, longest: int, threshold: float) -> tuple[Array, Array]:
    """Periods in samples [f] and aperiodicity [f] of frames [f, window + longest + 1]."""
    lags = longest + 2
    size = 1 << (frames.shape[1] - 1).bit_length()  # lags that wrap around lie above the ones that are read
    spectrum = np.fft.rfft(frames, size, axis=1)
    products = np.fft.irfft(spectrum * np.fft.rfft(frames[:, :window], size, axis=1).conj(), size, axis=1)[:, :lags]
    energy = np.cumsum(np.pad(frames**2, ((0, 0), (1, 0))), axis=1)
    moved = energy[:, window : window + lags] - energy[:, :lags]
    difference = np.maximum(moved[:, :1] + moved - 2.0 * products, 0.0)  # [f, lags]
    total = np.cumsum(difference[:, 1:], axis=1)
    scale = np.arange(1, lags) / np.maximum(total, _FLOOR)
    normalised = np.concatenate([np.ones((len(frames), 1)), difference[:, 1:] * scale], axis=1)
    normalised[total[:, -1] <= _FLOOR] = 1.0  # silence has no period
    inner = normalised[:, shortest : longest + 1]
    dips = (inner <= normalised[:, shortest + 1 : longest + 2]) & (inner < normalised[:, shortest - 1 : longest])
    clear = dips & (inner < threshold)
    chosen = shortest + np.where(clear.any(axis=1), clear.argmax(axis=1), inner.argmin(axis=1))
    rows = np.arange(len(frames))
    before, at, after = (normalised[rows, chosen + step] for step in (-1, 0, 1))
    curvature = before - 2.0 * at + after
    shift = np.where(curvature > _FLOOR, 0.5 * (before - after) / np.maximum(curvature, _FLOOR), 0.0)
    return chosen + np.clip(shift, -0.5, 0.5), at


def count_syllables(level_db: Array, smoothing: int, dip_db: float) -> int:
    """Peaks of the smoothed level [f] above its median, each separated from the one before by a dip of `dip_db`.

    Source: the syllable nuclei of de Jong and Wempe, 2009 (not checked against their script). Deviation: peaks need not
    be voiced.
    """
    smooth = (
        np.convolve(level_db, np.ones(smoothing) / smoothing, mode="same") if len(level_db) > smoothing else level_db
    )
    median = float(np.median(smooth))
    count, peak, valley = 0, -np.inf, np.inf
    for value in smooth.tolist():
        if value - valley >= dip_db and value > median and peak == -np.inf:
            count, peak = count + 1, value
        elif peak > -np.inf:
            peak = max(peak, value)
            if peak - value >= dip_db:
                peak, valley = -np.inf, value
        valley = min(valley, value)
    return count
