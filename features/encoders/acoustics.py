"""Short-time analysis of sound in numpy: mel spectrum, cepstrum, pitch, syllable rate.

librosa computes the same, but importing its spectral part costs every worker process 2.7 s, and the first one on a
machine compiles for 25 s or more. The tests hold the mel filters to librosa's.

Legend: n samples, f frames, b = fft_size // 2 + 1 frequency bins, m mel bands. Everything is float64.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

POWER_FLOOR = 1e-10  # -100 dB
_BLOCK = 1024  # frames whose pitch is worked out at once


def frame_signal(samples: Array, length: int, hop: int) -> Array:
    """[f, length] view of samples [n], without padding: f = 1 + (n - length) // hop. n must be at least `length`."""
    return np.lib.stride_tricks.sliding_window_view(samples, length)[::hop]


def decibels(power: Array) -> Array:
    """10 log10, floored at -100."""
    return 10.0 * np.log10(np.maximum(power, POWER_FLOOR))


@lru_cache(maxsize=4)
def hann(length: int) -> Array:
    """Periodic Hann window [length], as spectral analysis wants it."""
    return 0.5 - 0.5 * np.cos(2.0 * np.pi * np.arange(length) / length)


def power_spectrum(frames: Array, fft_size: int) -> Array:
    """[f, b] of frames [f, length]: Hann-windowed, scaled so that a full-scale sine on a bin has power 1."""
    window = hann(frames.shape[1])
    spectrum = np.fft.rfft(frames * window, fft_size, axis=1)
    return (spectrum.real**2 + spectrum.imag**2) * (2.0 / window.sum()) ** 2


@lru_cache(maxsize=4)
def mel_filters(rate_hz: int, fft_size: int, num_bands: int, low_hz: float, high_hz: float) -> Array:
    """[m, b] triangles of height 1 on Slaney's mel scale (linear below 1 kHz), as librosa's with norm=None."""
    edges = _mel_to_hz(np.linspace(_hz_to_mel(low_hz), _hz_to_mel(high_hz), num_bands + 2))
    bins = np.fft.rfftfreq(fft_size, 1.0 / rate_hz)
    widths = np.diff(edges)
    ramps = edges[:, None] - bins[None, :]
    rising, falling = -ramps[:-2] / widths[:-1, None], ramps[2:] / widths[1:, None]
    return np.maximum(0.0, np.minimum(rising, falling))


def _hz_to_mel(frequency_hz: float) -> float:
    linear = frequency_hz / (200.0 / 3.0)
    return linear if frequency_hz < 1000.0 else 15.0 + np.log(frequency_hz / 1000.0) / (np.log(6.4) / 27.0)


def _mel_to_hz(mel: Array) -> Array:
    return np.where(mel < 15.0, mel * 200.0 / 3.0, 1000.0 * np.exp(np.log(6.4) / 27.0 * (mel - 15.0)))


@lru_cache(maxsize=4)
def cosine_transform(num_coefficients: int, num_bands: int) -> Array:
    """[coefficients, m]: the orthonormal DCT-II that turns log-mel bands into cepstral coefficients."""
    rows = np.arange(num_coefficients)[:, None]
    matrix = np.sqrt(2.0 / num_bands) * np.cos(np.pi * rows * (np.arange(num_bands)[None, :] + 0.5) / num_bands)
    matrix[0] /= np.sqrt(2.0)
    return matrix


def pitch(
    samples: Array, rate_hz: int, hop: int, low_hz: float, high_hz: float, window: int, threshold: float
) -> tuple[Array, Array]:
    """Fundamental frequency in Hz [f] and aperiodicity [f] (0 = a periodic frame, about 1 = noise), by YIN.

    Source: de Cheveigne and Kawahara, 2002, steps 1 to 5: the first dip of the normalised difference below `threshold`,
    else its lowest point, refined by a parabola. Deviation: no step 6 (search of neighbouring frames). Frames are
    `window` samples plus the longest period; the end is padded with zeros to one frame if need be.
    """
    longest, shortest = int(np.ceil(rate_hz / low_hz)), int(rate_hz // high_hz)
    length = window + longest + 1
    padded = np.pad(samples, (0, max(0, length - len(samples))))
    frames = frame_signal(padded, length, hop)
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
    scale = np.arange(1, lags) / np.maximum(total, POWER_FLOOR)
    normalised = np.concatenate([np.ones((len(frames), 1)), difference[:, 1:] * scale], axis=1)
    normalised[total[:, -1] <= POWER_FLOOR] = 1.0  # silence has no period
    inner = normalised[:, shortest : longest + 1]
    dips = (inner <= normalised[:, shortest + 1 : longest + 2]) & (inner < normalised[:, shortest - 1 : longest])
    clear = dips & (inner < threshold)
    chosen = shortest + np.where(clear.any(axis=1), clear.argmax(axis=1), inner.argmin(axis=1))
    rows = np.arange(len(frames))
    before, at, after = (normalised[rows, chosen + step] for step in (-1, 0, 1))
    curvature = before - 2.0 * at + after
    shift = np.where(curvature > POWER_FLOOR, 0.5 * (before - after) / np.maximum(curvature, POWER_FLOOR), 0.0)
    return chosen + np.clip(shift, -0.5, 0.5), at


def count_syllables(level_db: Array, smoothing: int, dip_db: float) -> int:
    """Peaks of the smoothed level [f] above its median, each separated from the one before by a dip of `dip_db`.

    Source: the syllable nuclei of de Jong and Wempe, 2009. Deviation: peaks need not be voiced.
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
