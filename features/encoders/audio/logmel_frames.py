"""What `logmel` measures in each frame of 10 ms: mel bands, cepstrum, level, spectral shape and pitch. float64.

Spectra, mel bands, cepstrum and spectral shape are librosa's; pitch is not, since librosa's YIN keeps the aperiodicity
(which tells voice from noise) to itself, and its pYIN takes as long as everything else ten times over.

Legend: b bins, f frames, m mel bands, c coefficients.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from features.encoders.audio.acoustics import Array, pitch

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
SPECTRAL = ("centroid_khz", "bandwidth_khz", "rolloff_khz", "flatness", "flux_db", "zero_crossings")

FRAME_NAMES: tuple[str, ...] = (
    *(f"mel_{band}" for band in range(NUM_BANDS)),
    *(f"mfcc_{index}" for index in range(NUM_COEFFICIENTS)),
    "energy",
    *SPECTRAL,
    "voiced",
    "octaves",
    "aperiodicity",
)


@dataclass(frozen=True)
class Frames:
    """mel: [f, m] and level: [f] in dB; cepstrum: [f, c]; spectral: [f, 6] in the order of SPECTRAL
    loud: bool [f], no more than 30 dB below the loud frames
    octaves, aperiodicity: of the pitch frames, which begin PITCH_DELAY frames later; voiced: bool, of those of them
                           that have a level
    """

    mel: Array
    cepstrum: Array
    level: Array
    spectral: Array
    loud: np.ndarray
    octaves: Array
    aperiodicity: Array
    voiced: np.ndarray

    def table(self) -> Array:
        """[f, len(FRAME_NAMES)]. Pitch is 0 octaves where a frame is not voiced; the first and last frames, which have
        no pitch frame, have that of the nearest."""
        places = np.arange(len(self.level)) - PITCH_DELAY
        nearest, with_level = np.clip(places, 0, len(self.octaves) - 1), np.clip(places, 0, len(self.voiced) - 1)
        voiced = self.voiced[with_level] if len(self.voiced) else np.zeros(len(places), bool)
        pitches = [voiced, np.where(voiced, self.octaves[nearest], 0.0), self.aperiodicity[nearest]]
        return np.concatenate([self.mel, self.cepstrum, self.level[:, None], self.spectral, np.stack(pitches, 1)], 1)


def analyse(samples: np.ndarray) -> Frames:
    """The frames of samples [n], mono at RATE_HZ; n is at least WINDOW."""
    import librosa

    signal = samples.astype(np.float64)
    signal -= signal.mean()
    signal = np.pad(signal, (0, max(0, FFT_SIZE - len(signal))))
    spectrum = librosa.stft(signal, n_fft=FFT_SIZE, hop_length=HOP, win_length=WINDOW)  # [b, f], the ends padded with 0
    magnitude = np.abs(spectrum) * (4.0 / WINDOW)  # a full-scale sine on a bin has magnitude 1
    bands = librosa.feature.melspectrogram(
        S=magnitude**2, sr=RATE_HZ, n_fft=FFT_SIZE, n_mels=NUM_BANDS, fmin=LOW_HZ, fmax=HIGH_HZ, norm=None
    )
    mel = _decibels(bands)  # [m, f]
    cepstrum = librosa.feature.mfcc(S=mel, n_mfcc=NUM_COEFFICIENTS).T
    rms = librosa.feature.rms(y=signal, frame_length=WINDOW, hop_length=HOP)[0]
    level = _decibels(rms**2)
    mel = mel.T
    loud = level > max(float(np.quantile(level, 0.95)) - QUIET_DB, -80.0)
    frequency_hz, aperiodicity = pitch(signal, RATE_HZ, HOP, PITCH_LOW_HZ, PITCH_HIGH_HZ, PITCH_WINDOW, PITCH_THRESHOLD)
    count = min(len(frequency_hz), max(0, len(loud) - PITCH_DELAY))
    voiced = (aperiodicity[:count] < VOICED_APERIODICITY) & loud[PITCH_DELAY:][:count]
    octaves = np.log2(frequency_hz / PITCH_REFERENCE_HZ)
    return Frames(mel, cepstrum, level, _spectral_shape(signal, magnitude, mel), loud, octaves, aperiodicity, voiced)


def _spectral_shape(signal: Array, magnitude: Array, mel: Array) -> Array:
    """[f, 6] in the order of SPECTRAL. A silent frame has centroid, bandwidth and roll-off 0. magnitude: [b, f]"""
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
