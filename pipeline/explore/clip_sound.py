"""The two figures of a sound: its waveform, and its mel-spectrogram by librosa."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import numpy as np

from pipeline.pages.drawing import ACCENT, FAINT, MUTED, SMALL, Drawing, draw

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_SIZE = (440, 120)
_COLUMNS = 600  # of the waveform: each is drawn from its lowest to its highest sample
_BANDS = 64
_WINDOW_S, _HOP_S = 0.025, 0.010
_FLOOR_DB = -80.0
_TICKS_HZ = (32000, 16000, 8000, 4000, 2000, 1000, 500, 250)
_TICKS_APART = 0.13  # of the height, so that their names do not touch
_WIDE = 0.2  # a padded part from this share on has a name


def waveform(key: str, samples: np.ndarray, rate_hz: int, padding: int = 0) -> Drawing:
    """samples: float [n]; padding: how many of the last are zeros that were added, drawn apart"""
    seconds = len(samples) / rate_hz
    edges = np.linspace(0, len(samples), min(_COLUMNS, len(samples)) + 1).astype(int)
    lows = np.minimum.reduceat(samples, edges[:-1])
    highs = np.maximum.reduceat(samples, edges[:-1])

    peak = float(np.abs(samples).max())
    height = next(limit for limit in (0.1, 0.2, 0.5, 1.0) if peak <= limit or limit == 1.0)

    def plot(axes: Axes) -> None:
        times = (edges[:-1] + edges[1:]) / 2 / rate_hz
        least = 2 * height / _SIZE[1]  # a silent column is a line, too
        axes.fill_between(times, lows - least / 2, highs + least / 2, color=ACCENT, linewidth=0)
        if padding:
            axes.axvspan(seconds - padding / rate_hz, seconds, color=FAINT, alpha=0.35, linewidth=0)
        if padding > _WIDE * len(samples):
            middle = seconds - padding / rate_hz / 2
            axes.text(middle, 0.6 * height, "zeros", ha="center", va="center", color=MUTED, fontsize=SMALL)
        axes.set(xlim=(0, seconds), ylim=(-height, height), yticks=(-height, 0, height), xlabel="seconds")
        axes.tick_params(axis="x", pad=7)
        axes.grid(axis="y")

    return draw(key, f"Waveform of {seconds:.2f} seconds at {rate_hz} Hz", _SIZE, plot)


def mel_spectrogram(key: str, samples: np.ndarray, rate_hz: int) -> Drawing:
    """Bands in decibels below the loudest, 25 ms windows every 10 ms; the encoder's own may be cut otherwise."""
    import librosa

    levels = mel_levels(samples, rate_hz)
    seconds = len(samples) / rate_hz
    bottom, top = librosa.hz_to_mel([0, rate_hz / 2])
    ticks: list[int] = []
    for hertz in _TICKS_HZ:
        place = float(librosa.hz_to_mel(hertz)) / top
        above = float(librosa.hz_to_mel(ticks[-1])) / top if ticks else 2.0
        if place <= 1 and above - place >= _TICKS_APART:
            ticks.append(hertz)

    def plot(axes: Axes) -> None:
        axes.imshow(
            levels,
            origin="lower",
            aspect="auto",
            extent=(0, seconds, bottom, top),
            cmap="magma",
            vmin=_FLOOR_DB,
            vmax=0,
        )
        names = [f"{hertz / 1000:g}" for hertz in ticks]
        axes.set_yticks(librosa.hz_to_mel(np.array(ticks)), names)
        axes.set(xlabel="seconds", ylabel="kHz")

    return draw(key, f"Mel-spectrogram of {seconds:.2f} seconds at {rate_hz} Hz", _SIZE, plot)


def mel_levels(samples: np.ndarray, rate_hz: int) -> np.ndarray:
    """float [bands, frames]: decibels from -80 to 0, the loudest band of all being 0; silence is -80 throughout."""
    import librosa

    window = max(16, round(_WINDOW_S * rate_hz))
    size = 1 << (window - 1).bit_length()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of librosa, about sound shorter than a window and about empty bands
        power = librosa.feature.melspectrogram(
            y=np.asarray(samples, np.float32),
            sr=rate_hz,
            n_fft=size,
            win_length=window,
            hop_length=max(1, round(_HOP_S * rate_hz)),
            n_mels=_BANDS,
        )
    loudest = float(power.max())
    if loudest <= 0:
        return np.full(power.shape, _FLOOR_DB)
    return np.asarray(librosa.power_to_db(power, ref=loudest, top_db=-_FLOOR_DB))
