"""Sound as the HLM12ERC report's code fed it: 44.1 kHz stereo, its two channels interleaved, taken for one.

The report's reader flattened a stereo file of 16-bit samples to L, R, L, R, ... and padded that with zeros, or cut it,
to N values. What follows:

- N values are N / 2 / 44100 seconds: 150,000, 200,000 and 250,000 hold 1.70, 2.27 and 2.83 s, while half of MELD's
  utterances are longer.
- wav2vec2 takes the values for 16 kHz mono, so that it hears speech slowed 5.5 times, every sample twice.
- The values reach +-32768, not 1, and are not normalised. The group norm of wav2vec2-base absorbs the scale; the
  report's waveform head has nothing that does.
- FFmpeg makes stereo of a mono clip 3 dB below it (and 5.1 is mixed down so that it cannot clip), here as there.
- Without a mask, the padding of a short clip is pooled as if it were sound.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from features.encoders.protocol import Input
from features.encoders.views import SoundView
from features.media.clip import Clip
from features.media.needs import AudioNeed

RATE_HZ = 44100
FULL_SCALE = 32768


@dataclass(frozen=True)
class PublishedSoundPreparer:
    """Clip -> float32 [samples]: whole numbers from -32768 to 32767, interleaved, the rest of a shorter clip 0."""

    samples: int
    taken_for_hz: int = 2 * RATE_HZ  # the rate that the network takes the values for

    @property
    def need(self) -> AudioNeed:
        """One stereo pair more than is used, so that a longer clip is known as such."""
        return AudioNeed(RATE_HZ, (math.ceil(self.samples / 2) + 1.5) / RATE_HZ, layout="stereo")

    def __call__(self, clip: Clip, /) -> Input:
        """Raises UnavailableError: what `Clip.sound` raises."""
        values = interleave(clip.sound(self.need).samples)
        counts = {"num_samples": min(len(values), self.samples), "cut": int(len(values) > self.samples)}
        padded = np.zeros(self.samples, np.float32)
        padded[: counts["num_samples"]] = values[: self.samples]
        return Input(padded, self.samples, (clip.digest,), (counts,))

    def view(self, item: Clip, made: Input, turn: int = 0) -> SoundView:
        """The values as if they were one channel, scaled to [-1, 1]."""
        sound, counts = item.sound(self.need), made.counts[0]
        note = f"As published: left and right samples at {RATE_HZ} Hz in turn, taken for one channel"
        if self.taken_for_hz != 2 * RATE_HZ:
            note += f" at {self.taken_for_hz} Hz, {2 * RATE_HZ / self.taken_for_hz:.1f} times too slow"
        values = made.value / np.float32(FULL_SCALE)
        padding = len(values) - counts["num_samples"]
        return SoundView(values, self.taken_for_hz, sound.seconds, bool(counts["cut"]), padding, f"{note}.")


def interleave(samples: np.ndarray) -> np.ndarray:
    """float32 [2, n] in [-1, 1] -> float32 [2 n]: left, right, left, ... as 16-bit samples have it."""
    scaled = np.rint(samples.T.ravel().astype(np.float64) * FULL_SCALE)
    return np.clip(scaled, -FULL_SCALE, FULL_SCALE - 1).astype(np.float32)
