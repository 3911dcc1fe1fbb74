"""`waveform`: the samples themselves, 8 kHz mono, as a sequence of single values. No weights.

They are stored in float16, whose relative error is at most 2^-11: 66 dB or more below each sample, whatever its level
(samples below 6e-5, which is -84 dB of full scale, are kept to 3e-8).

With `--as-published` the values are those of `published_sound`: whole numbers to +-32768, of which float16 keeps the
first 11 bits. From 2048 up they are rounded to even numbers, from 16384 up to multiples of 16.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from features.encoders.audio.published_sound import RATE_HZ as PUBLISHED_RATE_HZ
from features.encoders.audio.published_sound import PublishedSoundPreparer
from features.encoders.protocol import EncoderRequest, Input, Preparer, Reads
from features.encoders.views import SoundView
from features.media.clip import Clip
from features.media.needs import AudioNeed, ClipNeeds
from features.spec import EncoderSpec

VERSION = 1
RATE_HZ = 8000


class WaveformEncoder:
    """float16 [n, 1] per utterance, n its samples. The work is done by `prepare`, in the workers."""

    reads: Reads = "clip"
    batch_size = 1
    prepare: Preparer

    def __init__(self, request: EncoderRequest, settings: dict[str, Any]) -> None:
        if request.as_published:
            published = PublishedSoundPreparer(settings["samples"])
            need, self.prepare = published.need, published
            resolved = settings | {"as_published": True, "rate_hz": PUBLISHED_RATE_HZ, "layout": "interleaved stereo"}
        else:
            need = AudioNeed(RATE_HZ, settings["max_seconds"])
            self.prepare = WaveformPreparer(need)
            resolved = settings | {"rate_hz": RATE_HZ}
        self.needs = ClipNeeds(audio=need)
        self.spec = EncoderSpec(
            modality="audio",
            encoder="waveform",
            version=VERSION,
            depends="media",
            kind="sequence",
            shape=(1,),
            settings=resolved,
            stored_dtype="float16",
            alias=request.alias,
        )

    def encode(self, inputs: Sequence[Input]) -> list[np.ndarray]:
        """The samples that `prepare` made, float16 [n, 1] each."""
        return [item.value.astype(np.float16)[:, None] for item in inputs]


@dataclass(frozen=True)
class WaveformPreparer:
    """Clip -> float32 [n], in [-1, 1]."""

    need: AudioNeed

    def __call__(self, clip: Clip, /) -> Input:
        """Raises UnavailableError: what `Clip.sound` raises."""
        sound = clip.sound(self.need)
        counts = {"num_samples": len(sound.samples), "cut": int(sound.cut)}
        return Input(sound.samples, len(sound.samples), (clip.digest,), (counts,))

    def view(self, item: Clip, made: Input, turn: int = 0) -> SoundView:
        """The samples, before they are rounded to float16."""
        sound = item.sound(self.need)
        return SoundView(made.value, sound.rate_hz, sound.seconds, sound.cut)
