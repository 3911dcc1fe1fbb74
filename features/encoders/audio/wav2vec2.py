"""`wav2vec2`: any Hugging Face speech encoder on raw waveforms, its hidden states pooled over time.

A clip is normalised whole, as that model's own feature extractor says, and without padding. Hidden states are counted
as Hugging Face counts them: 0 is the input of the first layer, and the last is `last_hidden_state`; for models with
`do_stable_layer_norm` that one is behind the final layer norm, unlike the last of `hidden_states`.

Sound above WINDOW_SECONDS (which `max_seconds` must allow first) is encoded in windows of that length, each on its own,
so that memory is bounded, and pooled over the frames of all of them.

With pooling=sequence the frames stay apart, in float16: at most `frame_rate` vectors a second, each the mean over an
equal share of the time.

With `from_top=k` the frames are those below the last k layers, at the model's own rate, in float16, with two flags each
(see `features.top.elements`): all are pooled, and each window is one of its own for the layers above.

With `--as-published` the sound is what the report's code fed (see `published_sound`), unmasked: mean and maximum of the
last layer run over the padding, too.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from features.encoders.audio.frame_rate import DEFAULT_HZ, SEQUENCE, at_rate, check_frame_rate
from features.encoders.audio.published_sound import RATE_HZ as PUBLISHED_RATE_HZ
from features.encoders.audio.published_sound import PublishedSoundPreparer
from features.encoders.audio.speech_frames import FrameGeometry, cut_windows
from features.encoders.audio.speech_models import SpeechModel
from features.encoders.devices import for_device, where_float64_is
from features.encoders.layers import Layers, parse_layers
from features.encoders.protocol import EncoderRequest, Input, Preparer, Reads
from features.encoders.specs import network_spec, top_settings
from features.encoders.views import SoundView
from features.errors import Reason, UnavailableError, UsageError
from features.media.clip import Clip
from features.media.needs import AudioNeed, ClipNeeds
from features.pooling import POOLINGS, check_pooling
from features.top.elements import FLAGS, with_flags

if TYPE_CHECKING:
    import torch

VERSION = 1
WINDOW_SECONDS = 30

_BATCH_SIZE = {"cpu": 8, "cuda": 64}
_OF_SEQUENCE = ("pooling", "layers", "frame_rate")
_PUBLISHED: dict[str, Any] = {"pooling": "mean+max", "layers": "-1", "frame_rate": DEFAULT_HZ}


class Wav2Vec2Encoder:
    """See the module. Sizes as in `speech_models`; k: windows of a clip.

    top: the layers above the states, with `from_top`
    """

    reads: Reads = "clip"
    prepare: Preparer

    def __init__(self, request: EncoderRequest, settings: dict[str, Any]) -> None:
        """Raises UsageError for settings that do not fit, WeightsError where the model is not to be had."""
        settings = settings | _PUBLISHED if request.as_published else settings
        from_top = settings.pop("from_top", 0)
        if from_top:
            settings = _of_top(request, settings, from_top)
        self._pooling = check_pooling(settings["pooling"], (SEQUENCE,))
        if request.as_published and request.dtype == "fp16":
            raise UsageError("wav2vec2 --as-published feeds values to 32768, beyond fp16's sums: give --dtype fp32")
        self._model = model = SpeechModel(request)
        self.top = model.cut_top(from_top, request.dtype) if from_top else None
        self._layers = parse_layers(settings["layers"], model.num_states)
        self._frame_rate_hz = float(settings["frame_rate"])
        sequence = self._pooling == SEQUENCE
        self._own_hz = model.rate_hz / model.geometry.step
        if not self.top:
            check_frame_rate("wav2vec2", self._pooling, self._frame_rate_hz, self._own_hz)
        if sequence:
            _check_sequence(self._layers, model)
        if not sequence:
            settings = {key: value for key, value in settings.items() if key != "frame_rate"}
        self._as_published = request.as_published
        self._window = WINDOW_SECONDS * model.rate_hz
        if request.as_published:
            if settings["samples"] < model.geometry.min_samples:
                shortest = f"the {model.geometry.min_samples} that the model needs"
                raise UsageError(f"wav2vec2: samples={settings['samples']} is fewer than {shortest}")
            published = PublishedSoundPreparer(settings["samples"], model.rate_hz)
            need, self.prepare = published.need, published
            sound = {
                "as_published": True,
                "decoded_hz": PUBLISHED_RATE_HZ,
                "layout": "interleaved stereo",
                "normalise": "none",
            }
        else:
            need = AudioNeed(model.rate_hz, settings["max_seconds"])
            normalised = model.settings["normalise"] != "none"
            self.prepare = SpeechPreparer(need, model.geometry, self._window, normalised)
            sound = {"window_seconds": WINDOW_SECONDS}
        self.needs = ClipNeeds(audio=need)
        self.batch_size = request.batch_size or for_device(_BATCH_SIZE, request.device)
        resolved = settings | {"layers": self._layers.setting} | model.settings | sound
        width = model.width(self._layers) * (1 if sequence else len(POOLINGS[self._pooling]))
        if self.top:
            resolved = {key: value for key, value in resolved.items() if key not in _OF_SEQUENCE}
            resolved |= top_settings(self.top, "utterance")
            width += FLAGS
        self.spec = network_spec(
            request,
            modality="audio",
            encoder="wav2vec2",
            version=VERSION,
            depends="media",
            kind=SEQUENCE if sequence else self._layers.kind,
            shape=self._layers.shape(width),
            stored_dtype="float16" if sequence else "float32",
            settings=resolved,
            weights_digest=model.digest,
            model=model.name,
        )

    def encode(self, inputs: Sequence[Input]) -> list[np.ndarray]:
        """One float32 array of spec.shape per input; float16 [n, *spec.shape] for a sequence, float32 with
        `from_top`."""
        import torch

        if not inputs:
            return []
        windows = [self._windows(item) for item in inputs]
        rows = iter(self._model.embed(self._samples(inputs, windows), self._layers, self._pooling))
        if self.top:
            return [_flagged([next(rows) for _ in own]) for own in windows]
        if self._pooling == SEQUENCE:
            return [self._sequence([next(rows) for _ in own]) for own in windows]
        pooled = []
        for own in windows:
            frames = [self._model.geometry.num_frames(window.stop - window.start) for window in own]
            pooled.append(join_windows([next(rows) for _ in own], frames, self._pooling))
        combined = self._layers.combine(torch.stack(pooled).unbind(dim=1))  # of [b, p] a layer
        return list(combined.cpu().numpy())

    def _sequence(self, windows: Sequence[torch.Tensor]) -> np.ndarray:
        """float16 [n, s * w] of the states of a clip's windows, float32 [s, t, w] each."""
        import torch

        states = torch.cat(list(windows), dim=1).cpu().numpy()  # [s, t, w]
        frames = states.transpose(1, 0, 2).reshape(states.shape[1], -1)
        return at_rate(frames, self._own_hz, self._frame_rate_hz).astype(np.float16)

    def _windows(self, item: Input) -> list[slice]:
        if self._as_published:
            return [slice(0, item.length)]
        return cut_windows(item.length, self._window, self._model.geometry.min_samples)

    def _samples(self, inputs: Sequence[Input], windows: Sequence[Sequence[slice]]) -> Iterator[np.ndarray]:
        """The samples of each window of each input, one after the other."""
        for item, own in zip(inputs, windows, strict=True):
            samples = item.value if self._as_published else self._model.normalise(item.value)
            for window in own:
                yield samples[window]


def _of_top(request: EncoderRequest, settings: dict[str, Any], from_top: int) -> dict[str, Any]:
    """The settings with those that `from_top` fixes. Raises UsageError where one of them is given otherwise."""
    fixed = {"pooling": SEQUENCE, "layers": str(-(from_top + 1))}
    for key in _OF_SEQUENCE:
        if key in request.settings and settings[key] != fixed.get(key):
            raise UsageError(f"from_top={from_top} keeps the frames below its layers as they are: leave {key} out")
    return settings | fixed


def _flagged(windows: Sequence[torch.Tensor]) -> np.ndarray:
    """[1, t, w] of each window of a clip -> float32 [t of all, w + 2]."""
    states = [window[0].cpu().numpy() for window in windows]
    begins = np.concatenate([np.arange(len(window)) == 0 for window in states])
    return with_flags(np.concatenate(states), np.ones(len(begins), dtype=bool), begins)


def _check_sequence(layers: Layers, model: SpeechModel) -> None:
    """Raises UsageError for layers that make no sequence of vectors."""
    if layers.stacked:
        joined = ",".join(map(str, layers.indices))
        raise UsageError(f"layers={layers.setting!r}: a sequence has its layers side by side: give layers={joined}")
    if model.adapted and len(layers.indices) > 1:
        raise UsageError(f"layers={layers.setting!r}: behind the model's adapter frames are fewer: give one layer")


def join_windows(rows: Sequence[torch.Tensor], frames: Sequence[int], pooling: str) -> torch.Tensor:
    """What pooling over the frames of all windows together gives, of the pooled windows.

    rows: k of float32 [s, p]; frames: of each window -> float32 [s, p]
    """
    import torch

    if len(rows) == 1:
        return rows[0]
    stacked = torch.stack(list(rows)).chunk(len(POOLINGS[pooling]), dim=-1)  # [k, s, w] each
    share = torch.tensor(frames, dtype=torch.float64)[:, None, None] / sum(frames)

    def mean(part: torch.Tensor) -> torch.Tensor:
        wide = where_float64_is(part)
        return (wide * share.to(wide.device)).sum(dim=0).float().to(part.device)

    joined = {"mean": mean, "max": lambda part: part.amax(dim=0)}
    return torch.cat([joined[name](part) for name, part in zip(pooling.split("+"), stacked, strict=True)], dim=-1)


@dataclass(frozen=True)
class SpeechPreparer:
    """Clip -> samples, float32 [n], as decoded. window: in samples; normalised: whether the model's input will be"""

    need: AudioNeed
    geometry: FrameGeometry
    window: int
    normalised: bool = False

    def __call__(self, clip: Clip, /) -> Input:
        """Raises UnavailableError: what `Clip.sound` raises, and too-short for less than the model's smallest input."""
        sound = clip.sound(self.need)
        num_samples, smallest = len(sound.samples), self.geometry.min_samples
        if num_samples < smallest:
            detail = f"{num_samples} samples at {sound.rate_hz} Hz (at least {smallest}, what one frame is made of)"
            raise UnavailableError(Reason.TOO_SHORT, detail)
        windows = cut_windows(num_samples, self.window, smallest)
        num_frames = sum(self.geometry.num_frames(window.stop - window.start) for window in windows)
        counts = {"num_samples": num_samples, "num_frames": num_frames, "cut": int(sound.cut)}
        return Input(sound.samples, num_samples, (clip.digest,), (counts,))

    def view(self, item: Clip, made: Input, turn: int = 0) -> SoundView:
        """The samples, before the whole clip is normalised."""
        sound = item.sound(self.need)
        note = "The network gets them shifted and scaled to mean 0 and variance 1." if self.normalised else ""
        windows = cut_windows(len(made.value), self.window, self.geometry.min_samples)
        if len(windows) > 1:
            note += f" They run in {len(windows)} windows, each on its own."
        return SoundView(made.value, sound.rate_hz, sound.seconds, sound.cut, 0, note.strip())
