"""Hugging Face encoders of sound on spectrograms: Whisper's encoder, wav2vec2-BERT, AST, CLAP's audio part.

A window of sound is made into the model's input alone, by its own feature extractor, and what is kept of the output are
the states that stand for the sound, not those for padding:

whisper:        the input is padded to `chunk_length` (30 s) with silence; kept are the frames that the sound reaches
wav2vec2-bert:  no padding but what makes the number of frames even, which is masked; runs alone, since its layers
                convolve over time
audio-spectrogram-transformer: padded to `max_length` frames (10.24 s); kept are the patches that begin within the
                sound, not the class and distillation tokens
clap:           the extractor repeats a sound shorter than its window (10 s), so that all places stand for it; a longer
                one would be cut at random there, which windows avoid

Legend: b windows, t states over time (AST, CLAP: places over time and frequency), w width, s layers asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from features.encoders.devices import for_device, pin_fp32, torch_dtype
from features.encoders.half_precision import check_convolutions
from features.encoders.layers import Layers
from features.encoders.loading import architecture, check_model_type, load_model, quiet_transformers, random_model
from features.encoders.memory_batches import MemoryBatches
from features.encoders.promises import check_promises
from features.encoders.protocol import EncoderRequest
from features.encoders.table import ENCODERS
from features.encoders.weights import find_model
from features.errors import WeightsError, first_line
from features.pooling import pool

if TYPE_CHECKING:
    import torch

    Real = Callable[[torch.Tensor, int, int], torch.Tensor]

WINDOW_SECONDS = 30  # of models that take any length

_FBANK_WINDOW, _FBANK_HOP = 400, 160  # samples, of the extractors that follow Kaldi
_WINDOWS_AT_ONCE = {"cpu": 4, "cuda": 64}
_WANTED = "give Whisper, wav2vec2-BERT, AST or CLAP (wav2vec2, HuBERT and WavLM are for the encoder wav2vec2)"
_NOT_HASHED = ("mel_filters", "window", "processor_class", "feature_extractor_type")  # arrays, and names of classes


@dataclass(frozen=True)
class SpectrogramKind:
    """What differs between the models.

    window, smallest: samples that one input holds at most and at least
    fixed:    all inputs have one shape, so that windows run in batches
    layered:  the model gives its hidden states in the form of its last one
    real:     (states as the model gives them for one window, its samples, its unmasked frames) -> [1, t, w]
    """

    window: int
    smallest: int
    fixed: bool
    layered: bool
    real: Real


class SpectrogramModel:
    """A frozen encoder on its device. rate_hz: of its sound; num_states, width: of its hidden states"""

    def __init__(self, request: EncoderRequest) -> None:
        """Raises WeightsError where the model is not to be had or is of another kind."""
        network, self.digest, self._extractor, self.name = _load(request)
        make, extractor_class = _KINDS[network.config.model_type]
        found = type(self._extractor).__name__
        if found != extractor_class:
            raise WeightsError(f"model {self.name!r} has a {found}, not a {extractor_class}: {_WANTED}")
        self.kind = make(network.config, self._extractor)
        self.rate_hz = int(self._extractor.sampling_rate)
        self.settings = {
            "rate_hz": self.rate_hz,
            "architecture": architecture(network.config),
            "extractor": _plain(self._extractor.to_dict()),
        }
        if request.dtype == "fp32":
            pin_fp32()
        self._dtype, self._device = torch_dtype(request.dtype), request.device
        self._network: Any = network.to(request.device)
        check_convolutions(self._network)
        self._batches = MemoryBatches(for_device(_WINDOWS_AT_ONCE, request.device) if self.kind.fixed else 1)
        self.num_states, self.width = self._probe()
        self._check_promises(request.dtype)

    def embed(
        self, windows: Iterable[np.ndarray], layers: Layers, pooling: str
    ) -> tuple[list[torch.Tensor], list[int]]:
        """Each window's chosen states, pooled: float32 [s, p], on the device; and how many states were pooled.

        windows: samples, float32 [n], from kind.smallest to kind.window each
        """
        import torch

        chosen = [index + self.num_states for index in layers.indices]

        def run(batch: Sequence[np.ndarray]) -> list[tuple[torch.Tensor, int]]:
            return [self._pooled(states, chosen, pooling) for states in self._states(batch)]

        with torch.inference_mode():
            done = self._batches.run(list(windows), run)
        return [pooled for pooled, _ in done], [count for _, count in done]

    def _pooled(self, states: Sequence[torch.Tensor], chosen: Sequence[int], pooling: str) -> tuple[torch.Tensor, int]:
        import torch

        kept = [states[index] for index in chosen]
        every = torch.ones(kept[0].shape[:2], dtype=torch.bool, device=kept[0].device)
        return torch.cat([pool(state, every, pooling) for state in kept]), kept[0].shape[1]

    def _states(self, batch: Sequence[np.ndarray]) -> list[list[torch.Tensor]]:
        """Of each window its hidden states, [1, t, w] each, of which the last is what the model gives."""
        import torch

        inputs = [self._inputs(window) for window in batch]
        joined = {name: torch.cat([made[name] for made in inputs]) for name in inputs[0]}
        output = self._network(**joined, output_hidden_states=self.kind.layered)
        states = [*(output.hidden_states[:-1] if self.kind.layered else ()), output.last_hidden_state]
        rows = []
        for row, window in enumerate(batch):
            mask = inputs[row].get("attention_mask")
            unmasked = states[-1].shape[1] if mask is None else int(mask.sum())
            rows.append([self.kind.real(state[row : row + 1], len(window), unmasked) for state in states])
        return rows

    def _inputs(self, window: np.ndarray) -> dict[str, torch.Tensor]:
        """What the model's feature extractor makes of one window, on the device, floats in the compute dtype."""
        made = self._extractor(window, sampling_rate=self.rate_hz, return_tensors="pt")
        placed = {name: value.to(self._device) for name, value in made.items()}
        return {name: value.to(self._dtype) if value.is_floating_point() else value for name, value in placed.items()}

    def _probe(self) -> tuple[int, int]:
        """Number and width of the hidden states, by running a short sound. Raises WeightsError where that fails."""
        import torch

        noise = np.random.default_rng(0).normal(scale=0.01, size=self.kind.smallest).astype(np.float32)
        try:
            with torch.inference_mode():
                (states,) = self._states([noise])
        except (TypeError, ValueError, AttributeError, RuntimeError) as error:
            raise WeightsError(
                f"model {self.name!r} does not run on a sound ({first_line(error)}): {_WANTED}"
            ) from error
        return len(states), states[-1].shape[-1]

    def _check_promises(self, dtype: str) -> None:
        """Two sounds of noise, to the last hidden state (see `promises`)."""
        noise = np.random.default_rng(0).normal(scale=0.01, size=4 * self.kind.smallest).astype(np.float32)
        noise, last = noise[: self.kind.window], Layers((-1,))

        def run(windows: Sequence[np.ndarray]) -> list[torch.Tensor]:
            return self.embed(windows, last, "mean")[0]

        check_promises(run, noise[: self.kind.smallest], noise, self.name, dtype)


def _whisper(config: Any, extractor: Any) -> SpectrogramKind:
    step = 2 * extractor.hop_length  # samples of a frame: the second convolution takes every other one
    window = step * config.max_source_positions
    if extractor.n_samples != window:
        raise WeightsError(
            f"Whisper's feature extractor makes {extractor.n_samples} samples a window, and the model takes {window}:"
            " take both from one model"
        )

    def real(states: torch.Tensor, num_samples: int, _: int) -> torch.Tensor:
        return states[:, : -(-num_samples // step)]

    return SpectrogramKind(window, extractor.n_fft, fixed=True, layered=True, real=real)


def _wav2vec2_bert(config: Any, extractor: Any) -> SpectrogramKind:
    smallest = _FBANK_WINDOW + (max(2, extractor.stride) - 1) * _FBANK_HOP  # two frames have a deviation

    def real(states: torch.Tensor, _: int, unmasked: int) -> torch.Tensor:
        return states if config.add_adapter else states[:, : max(1, unmasked)]

    return SpectrogramKind(WINDOW_SECONDS * extractor.sampling_rate, smallest, fixed=False, layered=True, real=real)


def _ast(config: Any, extractor: Any) -> SpectrogramKind:
    across = (config.num_mel_bins - config.patch_size) // config.frequency_stride + 1
    window = (config.max_length - 1) * _FBANK_HOP + _FBANK_WINDOW

    def real(states: torch.Tensor, num_samples: int, _: int) -> torch.Tensor:
        num_frames = 1 + (num_samples - _FBANK_WINDOW) // _FBANK_HOP
        patches = states[:, 2:].unflatten(1, (across, -1))  # [1, across, along, w]
        return patches[:, :, : -(-num_frames // config.time_stride)].flatten(1, 2)

    return SpectrogramKind(window, _FBANK_WINDOW, fixed=True, layered=True, real=real)


def _clap(config: Any, extractor: Any) -> SpectrogramKind:
    def real(states: torch.Tensor, _: int, __: int) -> torch.Tensor:
        return states.flatten(2).transpose(1, 2)  # of [1, w, across, along]

    return SpectrogramKind(extractor.nb_max_samples, extractor.fft_window_size, fixed=False, layered=False, real=real)


# model type -> (what differs, the feature extractor that it takes)
_KINDS: dict[str, tuple[Callable[[Any, Any], SpectrogramKind], str]] = {
    "whisper": (_whisper, "WhisperFeatureExtractor"),
    "wav2vec2-bert": (_wav2vec2_bert, "SeamlessM4TFeatureExtractor"),
    "audio-spectrogram-transformer": (_ast, "ASTFeatureExtractor"),
    "clap_audio_model": (_clap, "ClapFeatureExtractor"),
}


def _load(request: EncoderRequest) -> tuple[Any, str, Any, str | None]:
    """The network on the CPU, the digest of its weights, its feature extractor, and what it is called.

    Random weights need no model: transformers' defaults are the architecture and input of whisper-tiny.
    """
    from transformers import AutoFeatureExtractor, WhisperConfig, WhisperFeatureExtractor

    if request.weights == "random" and request.model is None:
        return *random_model(WhisperConfig(), request.dtype), WhisperFeatureExtractor(), None
    model = request.model or ENCODERS["speech-spectrogram"].default_model or ""
    folder: Path = find_model(model, request.weights)
    check_model_type(folder, model, {"clap", *_KINDS}, _WANTED)
    try:
        with quiet_transformers():
            extractor = AutoFeatureExtractor.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except (OSError, ValueError, KeyError, TypeError, ImportError) as error:
        raise WeightsError(
            f"model {model!r}: its feature extractor cannot be loaded ({first_line(error)}):"
            " add preprocessor_config.json to the folder"
        ) from error
    return *load_model(folder, request.weights, model, request.dtype, part=_audio_part), extractor, model


def _audio_part(whole: Any) -> Any:
    """Of CLAP with its text part the audio part."""
    return getattr(whole, "audio_model", whole)


def _plain(values: dict[str, Any]) -> dict[str, Any]:
    """An extractor's configuration as JSON values."""
    return {
        key: value if isinstance(value, bool | int | float | str) else str(value)
        for key, value in sorted(values.items())
        if value is not None and key not in _NOT_HASHED
    }
