"""`voice`: who speaks, by the GE2E encoder: a recurrent network over windows of 1.6 s, their mean of unit length.

Source: Wan et al. 2018, "Generalized End-to-End Loss for Speaker Verification"; weights, mel bands and windows are
Resemblyzer's. Deviation: Resemblyzer first cuts out long silences with WebRTC's voice detector; here they stay.

A clip below -30 dB of full scale is made as loud as that, whole. Windows begin every 0.77 s; the last one is filled up
with zeros where the clip covers three quarters of it, else left out, and a clip shorter than one window is filled up.

Legend: n samples, f frames of 10 ms, k windows of a clip, m mel bands.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from features.encoders.audio.logmel_frames import RATE_HZ, WINDOW
from features.encoders.devices import for_device
from features.encoders.packaged_states import GE2E_VOICE
from features.encoders.protocol import EncoderRequest, Input, Reads
from features.encoders.specs import network_spec
from features.encoders.table import ENCODERS
from features.encoders.views import SoundView
from features.errors import Reason, UnavailableError
from features.media.clip import Clip
from features.media.needs import AudioNeed, ClipNeeds

VERSION = 1
HOP = 160  # 10 ms
NUM_BANDS = 40
WINDOW_FRAMES = 160
STEP_FRAMES = 77  # 1.3 windows a second
LEAST_COVERED = 0.75  # of the last window
LEAST_DB = -30.0
_FULL_SCALE = 32767  # what Resemblyzer takes for it

_BATCH_SIZE = {"cpu": 32, "cuda": 256}


class VoiceEncoder:
    """[256] float32 an utterance, of length 1 and not below 0; the nearer two are by their product, the liker the
    voices."""

    reads: Reads = "clip"

    def __init__(self, request: EncoderRequest, settings: dict[str, Any]) -> None:
        """Raises UsageError for a model that does not fit, WeightsError where the weights are not to be had."""
        from features.encoders.audio.voice_network import WIDTH, VoiceNetwork

        model = request.model or (ENCODERS["voice"].default_model if request.weights == "pretrained" else None)
        self._network = VoiceNetwork(model, request)
        need = AudioNeed(RATE_HZ, float(settings["max_seconds"]))
        self.needs = ClipNeeds(audio=need)
        self.prepare = VoicePreparer(need)
        self.batch_size = request.batch_size or for_device(_BATCH_SIZE, request.device)
        self.spec = network_spec(
            request,
            modality="audio",
            encoder="voice",
            version=VERSION,
            depends="media",
            kind="vector",
            shape=(WIDTH,),
            settings={
                "max_seconds": need.max_seconds,
                "rate_hz": RATE_HZ,
                "window": WINDOW,
                "hop": HOP,
                "mel_bands": NUM_BANDS,
                "window_frames": WINDOW_FRAMES,
                "step_frames": STEP_FRAMES,
                "least_covered": LEAST_COVERED,
                "least_db": LEAST_DB,
                "architecture": GE2E_VOICE,
            },
            weights_digest=self._network.digest,
            model=model,
        )

    def encode(self, inputs: Sequence[Input]) -> list[np.ndarray]:
        """One float32 [256] per input."""
        if not inputs:
            return []
        embeddings = self._network.embed(np.concatenate([item.value for item in inputs]))
        results, first = [], 0
        for item in inputs:
            mean = embeddings[first : first + len(item.value)].mean(axis=0)
            first += len(item.value)
            results.append(mean / np.linalg.norm(mean))
        return results


@dataclass(frozen=True)
class VoicePreparer:
    """Clip -> float32 [k, WINDOW_FRAMES, NUM_BANDS]."""

    need: AudioNeed

    def __call__(self, clip: Clip, /) -> Input:
        """Raises UnavailableError: what `Clip.sound` raises, and too-short below one analysis window."""
        sound = clip.sound(self.need)
        num_samples = len(sound.samples)
        if num_samples < WINDOW:
            detail = f"{num_samples} samples at {RATE_HZ} Hz (at least {WINDOW}, one analysis window)"
            raise UnavailableError(Reason.TOO_SHORT, detail)
        windows = mel_windows(louder(sound.samples))
        counts = {"num_samples": num_samples, "num_frames": len(windows) * WINDOW_FRAMES, "cut": int(sound.cut)}
        return Input(windows, len(windows), (clip.digest,), (counts,))

    def view(self, item: Clip, made: Input, turn: int = 0) -> SoundView:
        """The samples, as loud as they are taken."""
        sound = item.sound(self.need)
        samples = louder(sound.samples)
        note = f"The network hears {len(made.value)} windows of {WINDOW_FRAMES * HOP / RATE_HZ:g} s in mel bands."
        return SoundView(samples, sound.rate_hz, sound.seconds, sound.cut, 0, note)


def louder(samples: np.ndarray) -> np.ndarray:
    """float32 [n], raised to LEAST_DB where it is below; silence stays."""
    level = float(np.sqrt(np.mean((samples * _FULL_SCALE) ** 2))) / _FULL_SCALE
    target = 10 ** (LEAST_DB / 20)
    return samples if not 0 < level < target else samples * np.float32(target / level)


def window_starts(num_samples: int) -> list[int]:
    """The frames at which the windows of so many samples begin."""
    num_frames = -(-(num_samples + 1) // HOP)
    starts = list(range(0, max(1, num_frames - WINDOW_FRAMES + STEP_FRAMES + 1), STEP_FRAMES))
    covered = (num_samples / HOP - starts[-1]) / WINDOW_FRAMES
    return starts[:-1] if covered < LEAST_COVERED and len(starts) > 1 else starts


def mel_windows(samples: np.ndarray) -> np.ndarray:
    """float32 [k, WINDOW_FRAMES, NUM_BANDS]: the power in mel bands, of samples [n] that are filled up with zeros."""
    import librosa

    starts = window_starts(len(samples))
    wanted = (starts[-1] + WINDOW_FRAMES) * HOP
    padded = np.pad(samples, (0, max(0, wanted - len(samples))))
    mel = librosa.feature.melspectrogram(y=padded, sr=RATE_HZ, n_fft=WINDOW, hop_length=HOP, n_mels=NUM_BANDS)
    frames = mel.astype(np.float32).T  # [f, m]
    return np.stack([frames[start : start + WINDOW_FRAMES] for start in starts])
