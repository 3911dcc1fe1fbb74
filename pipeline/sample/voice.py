"""A synthesised voice: pulses filtered by formants, one syllable after the other, with the prosody of an emotion.

It babbles the vowels of the sentence. What carries the emotion is pitch, pace, energy and voice quality, after the
usual description of vocal affect (Banse and Scherer, "Acoustic profiles in vocal emotion expression", 1996): only the
directions are from there, the figures are this file's own.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

import numpy as np

from pipeline.sample.speakers import Speaker

SAMPLE_RATE_HZ = 16_000
_LEAD_S, _TAIL_S = 0.10, 0.12

# vowel -> the first three formants of an adult male voice in Hz (Peterson and Barney, 1952, rounded)
FORMANTS_HZ: dict[str, tuple[int, int, int]] = {
    "a": (730, 1090, 2440),
    "e": (530, 1840, 2480),
    "i": (300, 2250, 3000),
    "o": (570, 840, 2410),
    "u": (320, 900, 2240),
}
_BANDWIDTHS_HZ = (80.0, 100.0, 150.0)
_FORMANT_GAINS = (1.0, 0.6, 0.35)
_SYLLABLE = re.compile(r"([^aeiouy\W]*)([aeiouy]+)")


@dataclass(frozen=True, slots=True)
class Manner:
    """How an emotion is spoken, relative to the neutral voice.

    pitch:      factor on the speaker's pitch
    swing:      semitones that pitch moves up and down over the syllables
    slope:      semitones from the first to the last syllable
    pace:       syllables a second
    energy_db:  loudness
    bright:     0 dark (steep spectral tilt) to 1 bright
    tremor:     semitones of an 8 Hz trembling
    rough:      0 smooth to 1 creaky (every other pulse is weaker)
    breath:     added share of noise
    """

    pitch: float = 1.0
    swing: float = 1.2
    slope: float = -1.5
    pace: float = 5.2
    energy_db: float = 0.0
    bright: float = 0.45
    tremor: float = 0.0
    rough: float = 0.0
    breath: float = 0.0


MANNERS: dict[str, Manner] = {
    "neutral": Manner(),
    "joy": Manner(pitch=1.28, swing=4.0, slope=1.0, pace=5.8, energy_db=4, bright=0.65),
    "surprise": Manner(pitch=1.34, swing=2.5, slope=9.0, pace=5.2, energy_db=2, bright=0.55),
    "anger": Manner(pitch=1.12, swing=2.2, slope=-4.0, pace=6.4, energy_db=8, bright=0.95, rough=0.35),
    "sadness": Manner(pitch=0.88, swing=0.5, slope=-3.0, pace=3.8, energy_db=-7, bright=0.15, breath=0.12),
    "fear": Manner(pitch=1.42, swing=1.0, slope=0.5, pace=6.8, energy_db=-3, bright=0.4, tremor=1.4, breath=0.2),
    "disgust": Manner(pitch=0.9, swing=1.8, slope=-5.0, pace=4.1, energy_db=1, bright=0.5, rough=0.75),
}


@dataclass(frozen=True, slots=True)
class Prosody:
    """One sentence as it is spoken.

    syllables: (consonants before, vowel) in order
    onsets_s, lengths_s: of each syllable
    manner:    the emotion's manner, with this utterance's own scatter
    seconds:   length of the sound, silence at both ends included
    """

    syllables: tuple[tuple[str, str], ...]
    onsets_s: tuple[float, ...]
    lengths_s: tuple[float, ...]
    manner: Manner
    seconds: float


def plan_prosody(text: str, emotion: str, rng: np.random.Generator) -> Prosody:
    """Syllables and their times for a sentence spoken with an emotion, more or less strongly."""
    strength = float(np.clip(rng.normal(0.9, 0.22), 0.3, 1.3))
    manner = _scattered(MANNERS["neutral"], MANNERS[emotion], strength, rng)
    syllables, breaks = _syllables(text)
    onsets, lengths, clock = [], [], _LEAD_S
    for pause in breaks:
        length = float(rng.normal(1.0, 0.12)) / manner.pace
        length = max(length, 0.09)
        onsets.append(clock)
        lengths.append(length)
        clock += length + 0.12 * pause
    return Prosody(tuple(syllables), tuple(onsets), tuple(lengths), manner, clock + _TAIL_S)


def _scattered(neutral: Manner, target: Manner, strength: float, rng: np.random.Generator) -> Manner:
    """From neutral towards `target` by `strength`, with scatter on every figure."""

    def towards(name: str, scatter: float, low: float, high: float) -> float:
        start, end = getattr(neutral, name), getattr(target, name)
        return float(np.clip(start + strength * (end - start) + rng.normal(0, scatter), low, high))

    return Manner(
        pitch=towards("pitch", 0.05, 0.7, 1.8),
        swing=towards("swing", 0.5, 0.1, 6),
        slope=towards("slope", 1.0, -8, 12),
        pace=towards("pace", 0.35, 3.0, 8.0),
        energy_db=towards("energy_db", 1.5, -12, 12),
        bright=towards("bright", 0.08, 0, 1),
        tremor=towards("tremor", 0.1, 0, 2),
        rough=towards("rough", 0.06, 0, 1),
        breath=towards("breath", 0.02, 0, 0.5),
    )


def _syllables(text: str) -> tuple[list[tuple[str, str]], list[bool]]:
    """(consonants, vowel) per vowel group, and whether a pause follows (a comma or a full stop inside the sentence)."""
    found, breaks = [], []
    for word in text.lower().split():
        groups = _SYLLABLE.findall(word)
        if len(groups) > 1 and groups[-1][1] == "e" and word.rstrip(".,!?").endswith("e"):
            groups = groups[:-1]
        for consonants, vowels in groups:
            found.append((consonants, "i" if vowels[0] == "y" else vowels[0]))
            breaks.append(False)
        if groups and word[-1] in ",.!?":
            breaks[-1] = True
    if not found:
        return [("", "a")], [False]
    breaks[-1] = False
    return found, breaks


def speak(prosody: Prosody, speaker: Speaker, num_samples: int, rng: np.random.Generator) -> np.ndarray:
    """The sound of a sentence: float32 [num_samples], mono at SAMPLE_RATE_HZ, in [-1, 1]."""
    manner = prosody.manner
    pitch_hz = _pitch_curve(prosody, speaker, num_samples, rng)
    source = _pulses(pitch_hz, manner.rough)
    source = _low_pass(source, 0.97 - 0.32 * manner.bright)
    source /= np.sqrt(np.mean(source**2)) + 1e-9
    breath = min(speaker.breath + manner.breath, 0.6)
    source = (1 - breath) * source + breath * rng.standard_normal(num_samples)
    voice = np.zeros(num_samples)
    for (consonants, vowel), onset_s, length_s in zip(
        prosody.syllables, prosody.onsets_s, prosody.lengths_s, strict=True
    ):
        start = int(onset_s * SAMPLE_RATE_HZ)
        stop = min(start + int(1.15 * length_s * SAMPLE_RATE_HZ), num_samples)
        window = _syllable_window(stop - start, rng.normal(1.0, 0.12))
        formants = [hz * speaker.tract * rng.normal(1.0, 0.03) for hz in FORMANTS_HZ[vowel]]
        voice[start:stop] += window * _resonate(source[start:stop], formants)
        noise = _consonant(consonants, rng)[: num_samples - start]
        voice[start : start + len(noise)] += noise
    level = 0.06 * 10 ** ((manner.energy_db + rng.normal(0, 1.5)) / 20)
    voice *= level / (np.sqrt(np.mean(voice**2)) + 1e-9)
    room = _low_pass(rng.standard_normal(num_samples), 0.9) * 10 ** rng.uniform(-2.9, -2.3)
    return np.tanh(voice + room).astype(np.float32)


def _pitch_curve(prosody: Prosody, speaker: Speaker, num_samples: int, rng: np.random.Generator) -> np.ndarray:
    """Fundamental frequency in Hz, float64 [num_samples]."""
    manner = prosody.manner
    centres = np.array(prosody.onsets_s) + np.array(prosody.lengths_s) / 2
    place = np.linspace(0, 1, len(centres))
    # A rise is kept for the end, as in a question; a fall is spread over the sentence.
    line = manner.slope * (place**2 if manner.slope > 0 else place)
    accents = manner.swing * (np.where(np.arange(len(centres)) % 2, -0.6, 1.0) + rng.normal(0, 0.25, len(centres)))
    times = np.arange(num_samples) / SAMPLE_RATE_HZ
    semitones = np.interp(times, centres, line + accents)
    semitones += manner.tremor * np.sin(2 * np.pi * 8.0 * times + rng.uniform(0, 2 * np.pi))
    base = speaker.pitch_hz * manner.pitch * rng.normal(1.0, 0.03)
    return np.clip(base * 2 ** (semitones / 12), 55, 600)


def _pulses(pitch_hz: np.ndarray, rough: float) -> np.ndarray:
    """A pulse train, band-limited: the closed sum of the harmonics that stay below 6 kHz.

    `rough` weakens every other pulse, as in a creaky voice.
    """
    phase = 2 * np.pi * np.cumsum(pitch_hz) / SAMPLE_RATE_HZ
    harmonics = np.floor(6000 / pitch_hz.max())
    half = np.sin(phase / 2)
    half = np.where(np.abs(half) < 1e-4, 1e-4, half)
    train = (np.sin((harmonics + 0.5) * phase) / half - 1) / (2 * harmonics)
    return train * (1 - rough * 0.5 * (1 + np.cos(phase / 2)))


def _resonate(source: np.ndarray, formants_hz: list[float]) -> np.ndarray:
    """The sum of second-order resonators at the formants: a parallel formant filter (Klatt, 1980)."""

    def response(delay: np.ndarray) -> np.ndarray:
        total = np.zeros_like(delay)
        for hz, bandwidth, gain in zip(formants_hz, _BANDWIDTHS_HZ, _FORMANT_GAINS, strict=True):
            radius = np.exp(-np.pi * bandwidth / SAMPLE_RATE_HZ)
            angle = 2 * np.pi * hz / SAMPLE_RATE_HZ
            total += gain * (1 - radius) / (1 - 2 * radius * np.cos(angle) * delay + (radius * delay) ** 2)
        return total

    return _filtered(source, response)


def _low_pass(source: np.ndarray, pole: float) -> np.ndarray:
    """A one-pole low pass."""
    return _filtered(source, lambda delay: (1 - pole) / (1 - pole * delay))


def _filtered(source: np.ndarray, response: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """`source` through a filter that is given as a function of the unit delay z^-1, by way of its spectrum."""
    size = 1 << (len(source) + 511).bit_length()  # room for the response to die away before it wraps round
    return np.fft.irfft(np.fft.rfft(source, size) * response(_unit_delay(size)), size)[: len(source)]


@lru_cache(maxsize=16)
def _unit_delay(size: int) -> np.ndarray:
    """z^-1 at the frequencies of a real spectrum of `size` samples: complex128 [size / 2 + 1]."""
    return np.exp(-2j * np.pi * np.arange(size // 2 + 1) / size)


def _syllable_window(length: int, gain: float) -> np.ndarray:
    """A swell with a quick rise and a slower fall, float64 [length]."""
    place = np.linspace(0, 1, max(length, 2))[:length]
    return gain * np.minimum(place / 0.2, 1) ** 0.7 * np.minimum((1 - place) / 0.35, 1) ** 0.8


def _consonant(consonants: str, rng: np.random.Generator) -> np.ndarray:
    """A hiss for fricatives, a click for stops, nothing for the rest."""
    if set(consonants) & set("sfzxchj"):
        length, gain = int(0.06 * SAMPLE_RATE_HZ), 0.05
    elif set(consonants) & set("ptkbdgq"):
        length, gain = int(0.015 * SAMPLE_RATE_HZ), 0.08
    else:
        return np.zeros(0)
    hiss = np.diff(rng.standard_normal(length + 1))
    return gain * hiss * np.hanning(length)


def mouth_openings(samples: np.ndarray, num_frames: int) -> np.ndarray:
    """How far the mouth is open at each frame: loudness relative to the loudest. float64 [num_frames] in [0, 1]."""
    edges = np.linspace(0, len(samples), num_frames + 1).astype(int)
    loud = np.array([np.sqrt(np.mean(samples[a:b] ** 2)) for a, b in pairwise(edges)])
    return np.clip(loud / (loud.max() + 1e-9), 0, 1)
