"""`speech-spectrogram`: Whisper's encoder, wav2vec2-BERT, AST or CLAP's audio part, pooled over states of the sound.

What stands for the sound and not for padding, `spectrogram_models` says. Sound above the model's own window (30 s for
Whisper, 10 s for AST and CLAP) is encoded in windows of that length, each on its own, and pooled over the states of all
of them, so that each counts by its length.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from features.encoders.audio.spectrogram_models import SpectrogramModel
from features.encoders.audio.speech_frames import cut_windows
from features.encoders.audio.wav2vec2 import join_windows
from features.encoders.devices import for_device
from features.encoders.layers import parse_layers
from features.encoders.protocol import EncoderRequest, Input, Reads
from features.encoders.specs import network_spec
from features.encoders.views import SoundView
from features.errors import Reason, UnavailableError
from features.media.clip import Clip
from features.media.needs import AudioNeed, ClipNeeds
from features.pooling import POOLINGS, check_pooling

VERSION = 1

_BATCH_SIZE = {"cpu": 4, "cuda": 64}


class SpeechSpectrogramEncoder:
    """See the module. s: layers, p: values that pooling makes of a state."""

    reads: Reads = "clip"

    def __init__(self, request: EncoderRequest, settings: dict[str, Any]) -> None:
        """Raises UsageError for settings that do not fit, WeightsError where the model is not to be had."""
        self._pooling = check_pooling(settings["pooling"])
        self._model = model = SpectrogramModel(request)
        self._layers = parse_layers(settings["layers"], model.num_states)
        need = AudioNeed(model.rate_hz, float(settings["max_seconds"]))
        self.needs = ClipNeeds(audio=need)
        self.prepare = SpectrogramPreparer(need, model.kind.window, model.kind.smallest)
        self.batch_size = request.batch_size or for_device(_BATCH_SIZE, request.device)
        resolved = {"pooling": self._pooling, "layers": self._layers.setting, "max_seconds": need.max_seconds}
        self.spec = network_spec(
            request,
            modality="audio",
            encoder="speech-spectrogram",
            version=VERSION,
            depends="media",
            kind=self._layers.kind,
            shape=self._layers.shape(model.width * len(POOLINGS[self._pooling])),
            settings=resolved | {"window": model.kind.window} | model.settings,
            weights_digest=model.digest,
            model=model.name,
        )

    def encode(self, inputs: Sequence[Input]) -> list[np.ndarray]:
        """One float32 array of spec.shape per input."""
        import torch

        if not inputs:
            return []
        cuts = [self.prepare.windows(item.length) for item in inputs]
        windows = (item.value[cut] for item, own in zip(inputs, cuts, strict=True) for cut in own)
        pooled, counts = self._model.embed(windows, self._layers, self._pooling)
        rows, first = [], 0
        for own in cuts:
            chosen = slice(first, first + len(own))
            rows.append(join_windows(pooled[chosen], counts[chosen], self._pooling))  # [s, p]
            first += len(own)
        return list(self._layers.combine(torch.stack(rows).unbind(dim=1)).cpu().numpy())


@dataclass(frozen=True)
class SpectrogramPreparer:
    """Clip -> samples, float32 [n], as decoded. window, smallest: in samples, of the model's input"""

    need: AudioNeed
    window: int
    smallest: int

    def __call__(self, clip: Clip, /) -> Input:
        """Raises UnavailableError: what `Clip.sound` raises, and too-short for less than the model's smallest input."""
        sound = clip.sound(self.need)
        num_samples = len(sound.samples)
        if num_samples < self.smallest:
            detail = f"{num_samples} samples at {sound.rate_hz} Hz (at least {self.smallest})"
            raise UnavailableError(Reason.TOO_SHORT, detail)
        counts = {"num_samples": num_samples, "cut": int(sound.cut)}
        return Input(sound.samples, num_samples, (clip.digest,), (counts,))

    def windows(self, num_samples: int) -> list[slice]:
        """Where so many samples are cut. A last window below the smallest input begins earlier, over sound that was
        heard already, since none may be longer than the model's."""
        cuts = cut_windows(num_samples, self.window, 1)
        last = cuts[-1]
        if last.stop - last.start < self.smallest:
            cuts[-1] = slice(last.stop - self.smallest, last.stop)
        return cuts

    def view(self, item: Clip, made: Input, turn: int = 0) -> SoundView:
        """The samples, before the model's feature extractor makes a spectrogram of them."""
        sound = item.sound(self.need)
        windows = len(self.windows(made.length))
        note = "The network gets its own spectrogram of them" + (f", in {windows} windows." if windows > 1 else ".")
        return SoundView(made.value, sound.rate_hz, sound.seconds, sound.cut, 0, note)
