"""`egemaps`: the 88 functionals of eGeMAPSv02 over a whole utterance, by openSMILE. No weights.

Source: Eyben et al., "The Geneva Minimalistic Acoustic Parameter Set (GeMAPS) for Voice Research and Affective
Computing", 2016. openSMILE is free for research only: its licence does not allow commercial products. It is therefore
an optional extra, and nothing else here depends on it.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from features.encoders.protocol import EncoderRequest, Input, Reads
from features.encoders.views import SoundView
from features.errors import Reason, UnavailableError, UsageError
from features.extras import install_extra
from features.media.clip import Clip
from features.media.needs import AudioNeed, ClipNeeds
from features.spec import EncoderSpec

VERSION = 1
RATE_HZ = 16000
SIZE = 88
MIN_SAMPLES = 960  # 60 ms: eGeMAPS' longest analysis window, of pitch; below it openSMILE gives only NaN
PACKAGE = "opensmile"


class EgemapsEncoder:
    """float32 [SIZE] per utterance, in openSMILE's order. The work is done by `prepare`, in the workers."""

    reads: Reads = "clip"
    batch_size = 1

    def __init__(self, request: EncoderRequest, settings: dict[str, Any]) -> None:
        """Raises UsageError where openSMILE is not installed."""
        if importlib.util.find_spec(PACKAGE) is None:
            raise UsageError(f"egemaps needs the package {PACKAGE}: {install_extra('egemaps')}")
        need = AudioNeed(RATE_HZ, settings["max_seconds"])
        self.needs = ClipNeeds(audio=need)
        self.prepare = EgemapsPreparer(need)
        self.spec = EncoderSpec(
            modality="audio",
            encoder="egemaps",
            version=VERSION,
            depends="media",
            kind="vector",
            shape=(SIZE,),
            settings=settings
            | {
                "rate_hz": RATE_HZ,
                "feature_set": "eGeMAPSv02",
                "feature_level": "functionals",
                "opensmile": importlib.metadata.version(PACKAGE),
            },
            alias=request.alias,
        )

    def encode(self, inputs: Sequence[Input]) -> list[np.ndarray]:
        """The vectors that `prepare` made."""
        return [item.value for item in inputs]


@dataclass(frozen=True)
class EgemapsPreparer:
    """Clip -> functionals. openSMILE is imported with the first clip, in the worker."""

    need: AudioNeed

    def __call__(self, clip: Clip, /) -> Input:
        """Raises UnavailableError: what `Clip.sound` raises, and too-short below MIN_SAMPLES."""
        sound = clip.sound(self.need)
        num_samples = len(sound.samples)
        if num_samples < MIN_SAMPLES:
            detail = f"{num_samples} samples at {RATE_HZ} Hz (at least {MIN_SAMPLES}, eGeMAPS' pitch window)"
            raise UnavailableError(Reason.TOO_SHORT, detail)
        values = _extractor()(sound.samples, RATE_HZ)[0, :, 0]  # [channels, features, frames]
        counts = {"num_samples": num_samples, "cut": int(sound.cut)}
        return Input(np.ascontiguousarray(values, np.float32), 1, (clip.digest,), (counts,))

    def view(self, item: Clip, made: Input, turn: int = 0) -> SoundView:
        """The samples that the statistics are of."""
        sound = item.sound(self.need)
        note = "The embedding is made of openSMILE's functionals."
        return SoundView(sound.samples, sound.rate_hz, sound.seconds, sound.cut, 0, note)


@lru_cache(maxsize=1)
def _extractor() -> Any:
    """openSMILE's extractor, one a process: it does not pickle."""
    import opensmile

    return opensmile.Smile(opensmile.FeatureSet.eGeMAPSv02, opensmile.FeatureLevel.Functionals)
