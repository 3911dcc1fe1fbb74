"""`logmel`: statistics of log-mel bands, cepstrum, pitch, energy and rhythm over a whole utterance. No weights.

Spectra, mel bands, cepstrum and spectral shape are librosa's; pitch is not, since librosa's YIN keeps the aperiodicity
(which tells voice from noise) to itself, and its pYIN takes as long as everything else ten times over.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from features.encoders.audio.acoustics import Array, count_syllables, pitch
from features.encoders.protocol import EncoderRequest, Input, Reads
from features.encoders.views import SoundView
from features.errors import Reason, UnavailableError
from features.media.clip import Clip
from features.media.needs import AudioNeed, ClipNeeds
from features.spec import EncoderSpec

RATE_HZ = 16000
WINDOW = 400  # samples: 25 ms, the shortest sound that is accepted
HOP = 160  # 10 ms
FFT_SIZE = 512
POWER_FLOOR = 1e-10  # -100 dB
NUM_BANDS = 40
NUM_COEFFICIENTS = 20
LOW_HZ, HIGH_HZ = 50.0, 7600.0
PITCH_LOW_HZ, PITCH_HIGH_HZ = 60.0, 500.0
PITCH_WINDOW = 512
PITCH_THRESHOLD = 0.15
PITCH_DELAY = 2  # frames: a pitch frame begins where a level frame has its middle, and is 780 samples long
PITCH_REFERENCE_HZ = 160.0  # pitch is in octaves from here, so that 0 (nothing voiced) is a middling voice
VOICED_APERIODICITY = 0.25  # a frame is voiced below this, and if it is no more than 30 dB below the loud ones
QUIET_DB = 30.0
SYLLABLE_SMOOTHING = 7  # frames
SYLLABLE_DIP_DB = 2.0

_SPECTRAL = ("centroid_khz", "bandwidth_khz", "rolloff_khz", "flatness", "flux_db", "zero_crossings")

NAMES: tuple[str, ...] = (
    *(f"mel_{statistic}_{band}" for statistic in ("mean", "std", "delta") for band in range(NUM_BANDS)),
    *(f"mfcc_{statistic}_{index}" for statistic in ("mean", "std", "delta") for index in range(NUM_COEFFICIENTS)),
    *(f"pitch_{name}" for name in ("voiced", "mean", "std", "p10", "p50", "p90", "slope", "delta", "aperiodicity")),
    *(f"energy_{name}" for name in ("mean", "std", "p10", "p50", "p90", "max", "slope", "delta")),
    *(f"{name}_{statistic}" for statistic in ("mean", "std") for name in _SPECTRAL),
    "syllables_per_second",
    "pause_share",
    "log_seconds",
)


class LogmelEncoder:
    """[d] float32 per utterance, d = len(NAMES), the order of NAMES. The work is done by `prepare`, in the workers."""

    reads: Reads = "clip"
    batch_size = 1

    def __init__(self, request: EncoderRequest, settings: dict[str, Any]) -> None:
        need = AudioNeed(RATE_HZ, float(settings["max_seconds"]))
        self.needs = ClipNeeds(audio=need)
        self.prepare = LogmelPreparer(need)
        self.spec = EncoderSpec(
            modality="audio",
            encoder="logmel",
            version=1,
            depends="media",
            kind="vector",
            shape=(len(NAMES),),
            settings={
                "max_seconds": need.max_seconds,
                "rate_hz": RATE_HZ,
                "window": WINDOW,
                "hop": HOP,
                "mel_bands": NUM_BANDS,
                "mel_hz": [LOW_HZ, HIGH_HZ],
                "mfcc": NUM_COEFFICIENTS,
                "pitch_hz": [PITCH_LOW_HZ, PITCH_HIGH_HZ],
            },
            alias=request.alias,
        )

    def encode(self, inputs: Sequence[Input]) -> list[np.ndarray]:
        """The vectors that `prepare` made."""
        return [item.value for item in inputs]


@dataclass(frozen=True)
class LogmelPreparer:
    """Clip -> statistics vector."""

    need: AudioNeed

    def __call__(self, clip: Clip, /) -> Input:
        """Raises UnavailableError: what `Clip.sound` raises, and too-short below one analysis window."""
        sound = clip.sound(self.need)
        values = logmel_statistics(sound.samples)
        counts = {"num_samples": len(sound.samples), "cut": int(sound.cut)}
        return Input(values, 1, (clip.digest,), (counts,))

    def view(self, item: Clip, made: Input, turn: int = 0) -> SoundView:
        """The samples that the statistics are of."""
        sound = item.sound(self.need)
        note = "The embedding is made of statistics of its bands, pitch and energy."
        return SoundView(sound.samples, sound.rate_hz, sound.seconds, sound.cut, 0, note)


def logmel_statistics(samples: np.ndarray) -> np.ndarray:
    """float32 [len(NAMES)] of samples [n], mono at RATE_HZ. Raises UnavailableError (too-short) for n < WINDOW."""
    if len(samples) < WINDOW:
        detail = f"{len(samples)} samples at {RATE_HZ} Hz (at least {WINDOW}, one analysis window)"
        raise UnavailableError(Reason.TOO_SHORT, detail)
    import librosa

    signal = samples.astype(np.float64)
    signal -= signal.mean()
    seconds = len(signal) / RATE_HZ
    signal = np.pad(signal, (0, max(0, FFT_SIZE - len(signal))))
    spectrum = librosa.stft(signal, n_fft=FFT_SIZE, hop_length=HOP, win_length=WINDOW)  # [b, f], the ends padded with 0
    magnitude = np.abs(spectrum) * (4.0 / WINDOW)  # a full-scale sine on a bin has magnitude 1
    bands = librosa.feature.melspectrogram(
        S=magnitude**2, sr=RATE_HZ, n_fft=FFT_SIZE, n_mels=NUM_BANDS, fmin=LOW_HZ, fmax=HIGH_HZ, norm=None
    )
    mel = _decibels(bands)  # [m, f]
    cepstrum = librosa.feature.mfcc(S=mel, n_mfcc=NUM_COEFFICIENTS).T  # [f, c]
    rms = librosa.feature.rms(y=signal, frame_length=WINDOW, hop_length=HOP)[0]  # [f]
    level = _decibels(rms**2)
    mel = mel.T  # [f, m]
    loud = level > max(float(np.quantile(level, 0.95)) - QUIET_DB, -80.0)
    spectral = _spectral_shape(signal, magnitude, mel)  # [f, 6]
    parts = [
        mel.mean(axis=0),
        mel.std(axis=0),
        _mean_change(mel),
        cepstrum.mean(axis=0),
        cepstrum.std(axis=0),
        _mean_change(cepstrum),
        _pitch_statistics(signal, loud[PITCH_DELAY:]),
        _energy_statistics(level),
        spectral.mean(axis=0),
        spectral.std(axis=0),
        [count_syllables(level, SYLLABLE_SMOOTHING, SYLLABLE_DIP_DB) / seconds, 1.0 - loud.mean(), np.log(seconds)],
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


def _pitch_statistics(signal: Array, loud: np.ndarray) -> Array:
    """[9]: voiced share, then statistics of the voiced frames' pitch in octaves (0 without any), mean aperiodicity."""
    frequency_hz, aperiodicity = pitch(signal, RATE_HZ, HOP, PITCH_LOW_HZ, PITCH_HIGH_HZ, PITCH_WINDOW, PITCH_THRESHOLD)
    count = min(len(frequency_hz), len(loud))
    voiced = (aperiodicity[:count] < VOICED_APERIODICITY) & loud[:count]
    octaves = np.log2(frequency_hz[:count][voiced] / PITCH_REFERENCE_HZ)
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


def _spectral_shape(signal: Array, magnitude: Array, mel: Array) -> Array:
    """[f, 6] in the order of _SPECTRAL. A silent frame has centroid, bandwidth and roll-off 0. magnitude: [b, f]"""
    import librosa

    feature = librosa.feature
    flux = np.zeros(len(mel))
    flux[1:] = np.maximum(np.diff(mel, axis=0), 0.0).mean(axis=1)
    return np.stack(
        [
            feature.spectral_centroid(S=magnitude, sr=RATE_HZ)[0] / 1000.0,
            feature.spectral_bandwidth(S=magnitude, sr=RATE_HZ)[0] / 1000.0,
            feature.spectral_rolloff(S=magnitude, sr=RATE_HZ)[0] / 1000.0,
            feature.spectral_flatness(S=magnitude)[0],
            flux,
            feature.zero_crossing_rate(signal, frame_length=WINDOW, hop_length=HOP)[0],
        ],
        axis=1,
    )


def _decibels(power: Array) -> Array:
    """10 log10, floored at -100."""
    import librosa

    return np.asarray(librosa.power_to_db(power, ref=1.0, amin=POWER_FLOOR, top_db=None))
