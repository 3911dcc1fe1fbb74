"""Hugging Face speech encoders on raw waveforms: how one is loaded, refused, and run so that batching changes nothing.

wav2vec2-base normalises over time in its convolutional front end, so that padding would change every value of a clip.
The front end therefore runs window by window, and only the transformer runs on padded batches, with its mask: the
models in MASKED put zeros at padded frames before the convolution that encodes positions, and mask them as keys, so
that a real frame never sees them. All other models run whole, one window at a time, which is always right. Among them:
Data2VecAudio and HuBERT with batch norm there (what they make of zeros reaches the real frames), Wav2Vec2-Conformer
(convolutions in every layer) and SEW (frames are squeezed within).

Legend: b batch, t frames, w width, s layers asked for, p values that pooling makes of a frame's w.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from features.encoders.audio.frame_rate import SEQUENCE
from features.encoders.audio.speech_frames import FrameGeometry
from features.encoders.audio.speech_top import cut_transformer
from features.encoders.devices import for_device, pin_fp32, to_device, torch_dtype
from features.encoders.half_precision import check_convolutions
from features.encoders.layers import Layers
from features.encoders.loading import architecture, load_model, quiet_transformers, random_model
from features.encoders.memory_batches import MemoryBatches, like_lengths
from features.encoders.promises import TOLERANCES, check_promises, relative_difference
from features.encoders.protocol import EncoderRequest
from features.encoders.table import ENCODERS
from features.encoders.weights import PREPROCESSOR_FILES, find_model
from features.errors import UsageError, WeightsError, first_line
from features.pooling import pool

if TYPE_CHECKING:
    import torch

    from features.top.top import Top

MASKED = ("wav2vec2", "hubert", "wavlm", "unispeech", "unispeech-sat")
"""Model types whose transformer, on a padded batch with its mask, gives each clip what it gives that clip alone."""

_TOGETHER = {"cpu": (512, 0.05), "cuda": (48000, 1.0)}
"""Padded frames in one batch of the transformer, and the share of padding among them; 30 s are 1499 frames."""

_MAX_WINDOWS = 1024
"""Windows in one batch of the transformer, where memory has not run out yet."""

_WANTED = "give a speech encoder on raw waveforms, such as wav2vec2, HuBERT or WavLM"


class SpeechModel:
    """A frozen speech encoder on its device.

    rate_hz, geometry: what it takes
    widths:            of each hidden state it gives, the first of them the input of its first layer
    masked:            whether its transformer runs on padded batches
    adapted:           whether an adapter behind it makes its last state's frames fewer
    settings:          what of its config and feature extractor changes the numbers
    """

    def __init__(self, request: EncoderRequest) -> None:
        """Raises WeightsError where the model is not to be had or takes no raw waveform."""
        network, self.digest, self._extractor, self.name = _load(request)
        self.geometry = _geometry(network.config, self.name)
        self.masked = _is_masked(network)
        self.adapted = bool(getattr(network.config, "add_adapter", False))
        self.rate_hz = int(self._extractor.sampling_rate)
        self.settings = {
            "rate_hz": self.rate_hz,
            "normalise": "zero mean, unit variance" if self._extractor.do_normalize else "none",
            "architecture": architecture(network.config),
        }
        if request.dtype == "fp32":
            pin_fp32()
        self._dtype = torch_dtype(request.dtype)
        self._device = request.device
        self._windows_at_once = MemoryBatches(_MAX_WINDOWS)
        self._network: Any = network.to(device=request.device)
        check_convolutions(self._network)
        self.widths = self._probe()
        self._check_promises(request.dtype)

    @property
    def num_states(self) -> int:
        return len(self.widths)

    def width(self, layers: Layers) -> int:
        """Width of the chosen hidden states. Raises UsageError where they differ, as behind some adapters."""
        widths = {self.widths[index] for index in layers.indices}
        if len(widths) > 1:
            raise UsageError(f"layers={layers.setting!r}: their widths are {list(self.widths)}: choose like ones")
        return widths.pop()

    def normalise(self, samples: np.ndarray) -> np.ndarray:
        """float32 [n] of one whole clip, as the model's feature extractor has it: alone, without padding."""
        normalised = self._extractor(samples, sampling_rate=self.rate_hz, return_tensors="np").input_values[0]
        return np.asarray(normalised, np.float32)

    def embed(self, windows: Iterable[np.ndarray], layers: Layers, pooling: str) -> list[torch.Tensor]:
        """Each window's chosen hidden states, pooled over its frames: float32 [s, p], on the device. Where `pooling` is
        SEQUENCE, they stay as they are: [s, t, w].

        windows: normalised samples, float32 [n], at least geometry.min_samples each; taken one by one
        """
        import torch

        chosen = [index + self.num_states for index in layers.indices]
        with torch.inference_mode():
            if not self.masked:
                return [self._embed_alone(window, chosen, pooling) for window in windows]
            fronts = (self._front(window) for window in windows)
            batches = like_lengths(fronts, len, *for_device(_TOGETHER, self._device))
            return [row for batch in batches for row in self._embed_masked(batch, chosen, pooling)]

    def cut_top(self, from_top: int, dtype: str) -> Top:
        """The last `from_top` layers of the transformer, cut on two sounds of noise, or one where none are padded.

        Raises UsageError where the model cannot be cut so, or gives other states than its transformer alone.
        """
        import torch

        refused = f"from_top={from_top}: model {self.name!r} cannot be cut"
        if self.adapted:
            raise UsageError(f"{refused}: it has an adapter behind its layers")
        if not (hasattr(self._network, "feature_projection") and hasattr(self._network, "encoder")):
            raise UsageError(f"{refused}: its layers do not stand apart from what makes its frames")
        noise = self._noise()
        sounds = [noise[: len(noise) // 4], noise] if self.masked else [noise]
        with torch.no_grad():
            fronts = [self._front(sound) for sound in sounds]
        tolerance = TOLERANCES[dtype]
        top, *ends = cut_transformer(self._network, fronts, self.masked, from_top, self.name, tolerance)
        for index, end in zip((-(from_top + 1), -1), ends, strict=True):
            ours = torch.cat(self.embed(sounds, Layers((index,)), SEQUENCE), dim=1)[0]
            if relative_difference(ours, end.float()) > tolerance:
                raise UsageError(f"{refused}: its hidden states are not those of its transformer alone")
        return top

    def _noise(self) -> np.ndarray:
        """float32 [n], of a few frames."""
        return np.random.default_rng(0).normal(size=self.geometry.min_samples * 8).astype(np.float32)

    def _tensor(self, window: np.ndarray) -> torch.Tensor:
        """[1, n] in the compute dtype."""
        return to_device(np.ascontiguousarray(window), self._device).to(self._dtype).unsqueeze(0)

    def _embed_alone(self, window: np.ndarray, chosen: Sequence[int], pooling: str) -> torch.Tensor:
        """The whole model on one window. Its last hidden state is what it gives as such, not the last layer's output:
        that one still lacks a final norm or an adapter, where the model has one."""
        import torch

        output = self._network(self._tensor(window), output_hidden_states=True)
        states = [*output.hidden_states[:-1], output.last_hidden_state]  # [1, t, w] each
        return torch.cat([_taken(states[i], _all_real(states[i]), pooling) for i in chosen])

    def _front(self, window: np.ndarray) -> torch.Tensor:
        """Convolutional front end and projection of one window -> [t, w]."""
        features = self._network.feature_extractor(self._tensor(window)).transpose(1, 2)
        projected = self._network.feature_projection(features)
        if isinstance(projected, tuple):  # wav2vec2's kind also gives the features before projection
            projected = projected[0]
        frames: torch.Tensor = projected[0]
        return frames

    def _embed_masked(self, fronts: Sequence[torch.Tensor], chosen: Sequence[int], pooling: str) -> list[torch.Tensor]:
        def run(batch: Sequence[torch.Tensor]) -> list[torch.Tensor]:
            return self._transform(batch, chosen, pooling)

        return self._windows_at_once.run(fronts, run)

    def _transform(self, fronts: Sequence[torch.Tensor], chosen: Sequence[int], pooling: str) -> list[torch.Tensor]:
        """The transformer on a padded batch; states are pooled as they pass, so that none is kept."""
        import torch

        padded = torch.nn.utils.rnn.pad_sequence(list(fronts), batch_first=True)  # [b, t, w]
        lengths = [len(front) for front in fronts]
        mask = _frame_mask(lengths, self._device)  # [b, t]
        pooled: dict[int, torch.Tensor] = {}
        with ExitStack() as stack:
            for index in set(chosen) - {self.num_states - 1}:
                stack.enter_context(_pooled_input(self._network.encoder.layers[index], index, pooled, mask, pooling))
            stack.enter_context(warnings.catch_warnings())  # of torch, about the masks that WavLM gives it
            warnings.filterwarnings("ignore", "Support for mismatched key_padding_mask", UserWarning)
            needed = mask if min(lengths) < max(lengths) else None  # a mask keeps attention from its fastest kernels
            last = self._network.encoder(padded, attention_mask=needed).last_hidden_state
        pooled[self.num_states - 1] = _taken(last, mask, pooling)
        rows = list(torch.stack([pooled[index] for index in chosen], dim=1))
        return [row[:, : len(front)] for row, front in zip(rows, fronts, strict=True)] if pooling == SEQUENCE else rows

    def _check_promises(self, dtype: str) -> None:
        """Two sounds of noise, to the last hidden state (see `promises`); where batches are padded, as one batch, even
        on a CPU, where sounds of such lengths run apart."""
        noise, last = self._noise(), Layers((-1,))

        def run(windows: Sequence[np.ndarray]) -> list[torch.Tensor]:
            if not self.masked:
                return self.embed(windows, last, "mean")
            return self._embed_masked([self._front(window) for window in windows], [self.num_states - 1], "mean")

        check_promises(run, noise[: len(noise) // 4], noise, self.name, dtype)

    def _probe(self) -> tuple[int, ...]:
        """Widths of the hidden states, by running the shortest sound. Raises WeightsError for a model that fails."""
        import torch

        silence = np.zeros(self.geometry.min_samples, np.float32)
        try:
            with torch.inference_mode():
                output = self._network(self._tensor(silence), output_hidden_states=True)
            return tuple(state.shape[-1] for state in (*output.hidden_states[:-1], output.last_hidden_state))
        except (TypeError, ValueError, AttributeError, RuntimeError) as error:
            raise WeightsError(f"model {self.name!r} takes no raw waveform ({first_line(error)}): {_WANTED}") from error


def _load(request: EncoderRequest) -> tuple[torch.nn.Module, str, Any, str | None]:
    """The network on the CPU, the digest of its weights, its feature extractor, and what it is called.

    Random weights need no model: transformers' defaults are the architecture and input of wav2vec2-base.
    """
    if request.weights == "random" and request.model is None:
        from transformers import Wav2Vec2Config, Wav2Vec2FeatureExtractor

        return *random_model(Wav2Vec2Config(), request.dtype), Wav2Vec2FeatureExtractor(), None
    model = request.model or ENCODERS["wav2vec2"].default_model or ""
    folder = find_model(model, request.weights)
    extractor = _load_extractor(folder, model)
    return *load_model(folder, request.weights, model, request.dtype), extractor, model


def _load_extractor(folder: Path, model: str) -> Any:
    """The model's feature extractor. Raises WeightsError where there is none, or one of another input."""
    from transformers import AutoFeatureExtractor, Wav2Vec2FeatureExtractor

    name = PREPROCESSOR_FILES[0]
    if not any((folder / known).is_file() for known in PREPROCESSOR_FILES):
        raise WeightsError(f"model {model!r} has no {name} in {folder}, as speech encoders have: add it, or {_WANTED}")
    try:
        with quiet_transformers():
            extractor = AutoFeatureExtractor.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except (OSError, ValueError, KeyError, TypeError, ImportError) as error:
        raise WeightsError(f"model {model!r}: its {name} cannot be used ({first_line(error)}): {_WANTED}") from error
    if not isinstance(extractor, Wav2Vec2FeatureExtractor):
        raise WeightsError(f"model {model!r} takes no raw waveform (it has a {type(extractor).__name__}): {_WANTED}")
    return extractor


def _geometry(config: Any, model: str | None) -> FrameGeometry:
    try:
        kernels, strides = tuple(config.conv_kernel), tuple(config.conv_stride)
    except (AttributeError, TypeError):
        kind = getattr(config, "model_type", "unknown")
        raise WeightsError(f"model {model!r} ({kind}) has no convolutions over a raw waveform: {_WANTED}") from None
    return FrameGeometry(kernels, strides, getattr(config, "squeeze_factor", 1))


def _is_masked(network: Any) -> bool:
    config = network.config
    plain = not getattr(config, "conv_pos_batch_norm", False) and not getattr(config, "add_adapter", False)
    return plain and config.model_type in MASKED


def _frame_mask(lengths: Sequence[int], device: str) -> torch.Tensor:
    """bool [b, t], True where a frame is real."""
    import torch

    return torch.arange(max(lengths), device=device) < torch.tensor(lengths, device=device).unsqueeze(1)


def _all_real(state: torch.Tensor) -> torch.Tensor:
    """A mask bool [b, t] for state [b, t, w] without padding."""
    import torch

    return torch.ones(state.shape[:2], dtype=torch.bool, device=state.device)


def _taken(states: torch.Tensor, mask: torch.Tensor, pooling: str) -> torch.Tensor:
    """[b, t, w] -> float32 [b, p]; for SEQUENCE [b, t, w], padding and all."""
    return states.float() if pooling == SEQUENCE else pool(states, mask, pooling)


@contextmanager
def _pooled_input(
    layer: torch.nn.Module, index: int, pooled: dict[int, torch.Tensor], mask: torch.Tensor, pooling: str
) -> Iterator[None]:
    """Within, whenever `layer` runs, the hidden state that it is given is pooled into `pooled[index]`."""

    def keep(module: torch.nn.Module, arguments: tuple[torch.Tensor, ...]) -> None:
        pooled[index] = _taken(arguments[0], mask, pooling)

    handle = layer.register_forward_pre_hook(keep)
    try:
        yield
    finally:
        handle.remove()
