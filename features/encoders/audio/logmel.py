"""`logmel`: statistics of log-mel bands, cepstrum, pitch, energy and rhythm over a whole utterance. No weights.

With pooling=sequence what they are taken of stays apart, in float16 (see `logmel_frames`): at most `frame_rate` vectors
a second, each the mean over an equal share of the time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from features.encoders.audio.acoustics import Array, count_syllables
from features.encoders.audio.frame_rate import SEQUENCE, at_rate, check_frame_rate
from features.encoders.audio.logmel_frames import (
    FRAME_NAMES,
    HIGH_HZ,
    HOP,
    LOW_HZ,
    NUM_BANDS,
    NUM_COEFFICIENTS,
    PITCH_HIGH_HZ,
    PITCH_LOW_HZ,
    RATE_HZ,
    SPECTRAL,
    WINDOW,
    Frames,
    analyse,
)
from features.encoders.protocol import EncoderRequest, Input, Reads
from features.encoders.views import SoundView
from features.errors import Reason, UnavailableError, UsageError, nearest
from features.media.clip import Clip
from features.media.needs import AudioNeed, ClipNeeds
from features.spec import EncoderSpec

STATISTICS = "statistics"
OWN_HZ = RATE_HZ / HOP  # frames a second
SYLLABLE_SMOOTHING = 7  # frames
SYLLABLE_DIP_DB = 2.0

NAMES: tuple[str, ...] = (
    *(f"mel_{statistic}_{band}" for statistic in ("mean", "std", "delta") for band in range(NUM_BANDS)),
    *(f"mfcc_{statistic}_{index}" for statistic in ("mean", "std", "delta") for index in range(NUM_COEFFICIENTS)),
    *(f"pitch_{name}" for name in ("voiced", "mean", "std", "p10", "p50", "p90", "slope", "delta", "aperiodicity")),
    *(f"energy_{name}" for name in ("mean", "std", "p10", "p50", "p90", "max", "slope", "delta")),
    *(f"{name}_{statistic}" for statistic in ("mean", "std") for name in SPECTRAL),
    "syllables_per_second",
    "pause_share",
    "log_seconds",
)


class LogmelEncoder:
    """[d] float32 per utterance, d = len(NAMES), the order of NAMES; a sequence is float16 [n, len(FRAME_NAMES)]. The
    work is done by `prepare`, in the workers."""

    reads: Reads = "clip"
    batch_size = 1

    def __init__(self, request: EncoderRequest, settings: dict[str, Any]) -> None:
        """Raises UsageError for settings that do not fit."""
        pooling, rate_hz = settings["pooling"], float(settings["frame_rate"])
        if pooling not in (STATISTICS, SEQUENCE):
            raise UsageError(f"logmel has no pooling {pooling!r}: {nearest(pooling, (STATISTICS, SEQUENCE))}")
        check_frame_rate("logmel", pooling, rate_hz, OWN_HZ)
        need = AudioNeed(RATE_HZ, float(settings["max_seconds"]))
        self.needs = ClipNeeds(audio=need)
        sequence = pooling == SEQUENCE
        self.prepare = LogmelPreparer(need, rate_hz if sequence else None)
        self.spec = EncoderSpec(
            modality="audio",
            encoder="logmel",
            version=1,
            depends="media",
            kind=SEQUENCE if sequence else "vector",
            shape=(len(FRAME_NAMES) if sequence else len(NAMES),),
            settings={
                "max_seconds": need.max_seconds,
                "rate_hz": RATE_HZ,
                "window": WINDOW,
                "hop": HOP,
                "mel_bands": NUM_BANDS,
                "mel_hz": [LOW_HZ, HIGH_HZ],
                "mfcc": NUM_COEFFICIENTS,
                "pitch_hz": [PITCH_LOW_HZ, PITCH_HIGH_HZ],
            }
            | ({"pooling": pooling, "frame_rate": rate_hz} if sequence else {}),
            stored_dtype="float16" if sequence else "float32",
            alias=request.alias,
        )

    def encode(self, inputs: Sequence[Input]) -> list[np.ndarray]:
        """The vector, or the sequence, that `prepare` made of each."""
        return [item.value for item in inputs]


@dataclass(frozen=True)
class LogmelPreparer:
    """Clip -> statistics vector, or with a rate the frames."""

    need: AudioNeed
    rate_hz: float | None = None

    def __call__(self, clip: Clip, /) -> Input:
        """Raises UnavailableError: what `Clip.sound` raises, and too-short below one analysis window."""
        sound = clip.sound(self.need)
        of_samples = logmel_statistics if self.rate_hz is None else self._sequence
        values = of_samples(sound.samples)
        counts = {"num_samples": len(sound.samples), "cut": int(sound.cut)}
        return Input(values, 1, (clip.digest,), (counts,))

    def _sequence(self, samples: np.ndarray) -> np.ndarray:
        """float16 [n, len(FRAME_NAMES)]"""
        check_length(samples)
        return at_rate(analyse(samples).table(), OWN_HZ, self.rate_hz or OWN_HZ).astype(np.float16)

    def view(self, item: Clip, made: Input, turn: int = 0) -> SoundView:
        """The samples that the statistics are of."""
        sound = item.sound(self.need)
        what = "statistics of its" if self.rate_hz is None else "each frame's"
        note = f"The embedding is made of {what} bands, pitch and energy."
        return SoundView(sound.samples, sound.rate_hz, sound.seconds, sound.cut, 0, note)


def check_length(samples: np.ndarray) -> None:
    """Raises UnavailableError (too-short) for fewer samples than WINDOW."""
    if len(samples) < WINDOW:
        detail = f"{len(samples)} samples at {RATE_HZ} Hz (at least {WINDOW}, one analysis window)"
        raise UnavailableError(Reason.TOO_SHORT, detail)


def logmel_statistics(samples: np.ndarray) -> np.ndarray:
    """float32 [len(NAMES)] of samples [n], mono at RATE_HZ. Raises UnavailableError (too-short) for n < WINDOW."""
    check_length(samples)
    frames = analyse(samples)
    mel, cepstrum, level, loud, spectral = frames.mel, frames.cepstrum, frames.level, frames.loud, frames.spectral
    seconds = len(samples) / RATE_HZ
    numbers = [
        count_syllables(level, SYLLABLE_SMOOTHING, SYLLABLE_DIP_DB) / seconds,
        1.0 - loud.mean(),
        np.log(seconds),
    ]
    parts: list[np.ndarray] = [
        mel.mean(axis=0),
        mel.std(axis=0),
        _mean_change(mel),
        cepstrum.mean(axis=0),
        cepstrum.std(axis=0),
        _mean_change(cepstrum),
        _pitch_statistics(frames),
        _energy_statistics(level),
        spectral.mean(axis=0),
        spectral.std(axis=0),
        np.array(numbers),
    ]
    return np.concatenate(parts).astype(np.float32)


def _mean_change(values: Array) -> Array:
    """Mean absolute difference between frames two apart [m]; 0 where there are too few. values: [f, m]"""
    return np.abs(values[2:] - values[:-2]).mean(axis=0) if len(values) > 2 else np.zeros(values.shape[1])


def _slope(values: Array) -> float:
    """Least-squares slope per second of values [f], one each HOP; 0 for fewer than two."""
    if len(values) < 2:
        return 0.0
    times = (np.arange(len(values)) - (len(values) - 1) / 2.0) * HOP / RATE_HZ
    return float(times @ (values - values.mean()) / (times @ times))


def _pitch_statistics(frames: Frames) -> Array:
    """[9]: voiced share, then statistics of the voiced frames' pitch in octaves (0 without any), mean aperiodicity."""
    voiced, aperiodicity = frames.voiced, frames.aperiodicity
    octaves = frames.octaves[: len(voiced)][voiced]
    if not len(octaves):
        return np.array([0.0] * 8 + [aperiodicity.mean()])
    change = np.abs(np.diff(octaves)).mean() if len(octaves) > 1 else 0.0
    return np.array(
        [
            voiced.mean(),
            octaves.mean(),
            octaves.std(),
            *np.quantile(octaves, [0.1, 0.5, 0.9]),
            _slope(octaves),
            change,
            aperiodicity.mean(),
        ]
    )


def _energy_statistics(level: Array) -> Array:
    """[8] of the frames' level in dB [f]."""
    change = _mean_change(level[:, None])[0]
    quantiles = np.quantile(level, [0.1, 0.5, 0.9])
    return np.array([level.mean(), level.std(), *quantiles, level.max(), _slope(level), change])
