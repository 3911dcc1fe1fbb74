"""Hugging Face models of video: VideoMAE, TimeSformer, V-JEPA 2's encoder. They see frames together, and so motion.

Each frame is prepared alone by the model's own processor (which gives what preparing the clip at once gives), and the
frames of a clip are one input. What is kept of the output are the patches' states; of TimeSformer also its class token.

Legend: b clips, k frames, t patches over time and place, w width.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from features.encoders.devices import for_device, pin_fp32, to_device, torch_dtype
from features.encoders.half_precision import check_convolutions
from features.encoders.loading import architecture, check_model_type, load_model, quiet_transformers, random_model
from features.encoders.memory_batches import MemoryBatches
from features.encoders.promises import check_promises
from features.encoders.protocol import EncoderRequest
from features.encoders.table import ENCODERS
from features.encoders.visual.processed import Processed, processor_settings
from features.encoders.weights import VIDEO_PROCESSOR_FILE, find_model
from features.errors import UsageError, WeightsError, first_line

OWN = "own"
KINDS = ("videomae", "timesformer", "vjepa2")

_PIXELS = ("pixel_values", "pixel_values_videos")  # names of the input, of image and of video processors
_CLIPS_AT_ONCE = {"cpu": 1, "cuda": 8}
_WANTED = "give VideoMAE, TimeSformer or V-JEPA 2 (models of single pictures are for the encoder resnet50)"


class VideoFrames(Processed):
    """What a Hugging Face video processor, or a video model's image processor, makes of frames: float32 [3, h, w]."""

    def __init__(self, processor: Any, is_video: bool = False) -> None:
        super().__init__(processor)
        self.is_video = is_video

    def _one(self, frame: np.ndarray) -> np.ndarray:
        if self.is_video:
            made = self.processor(
                videos=[frame[None]], do_sample_frames=False, return_tensors="pt", input_data_format="channels_last"
            )
        else:
            made = self.processor([frame], return_tensors="pt", input_data_format="channels_last")
        pixels = next(made[name] for name in _PIXELS if name in made)
        return np.asarray(pixels[0, 0], np.float32)


class VideoModel:
    """A frozen model on its device.

    processed:  what prepares frames
    width:      w
    has_class:  whether its first state is a class token
    own_frames: as many as it was trained on; other_frames: of what number others must be a multiple, None: no others
    """

    def __init__(self, request: EncoderRequest) -> None:
        """Raises WeightsError where the model is not to be had or is of another kind."""
        network, self.digest, self.processed, self.name = _load(request)
        config = network.config
        self.has_class = config.model_type == "timesformer"
        self.own_frames = int(config.frames_per_clip if config.model_type == "vjepa2" else config.num_frames)
        self.other_frames: int | None = int(config.tubelet_size) if config.model_type == "vjepa2" else None
        self.settings = {
            "architecture": architecture(config),
            "processor": processor_settings(self.processed.processor),
        }
        if request.dtype == "fp32":
            pin_fp32()
        self._dtype, self._device = torch_dtype(request.dtype), request.device
        self._network: Any = network.to(request.device)
        check_convolutions(self._network)
        self._pixels = _PIXELS[config.model_type == "vjepa2"]
        self._batches = MemoryBatches(for_device(_CLIPS_AT_ONCE, request.device))
        self.width = self._probe()
        self._check_promises(request.dtype)

    def num_frames(self, setting: str) -> int:
        """How many frames `own` or a number means. Raises UsageError for a number that the model does not take."""
        if setting == OWN:
            return self.own_frames
        try:
            count = int(setting)
        except ValueError:
            raise UsageError(f"video: frames={setting!r} is neither a whole number nor {OWN}") from None
        if count != self.own_frames and (self.other_frames is None or count < 1 or count % self.other_frames):
            others = f" or a multiple of {self.other_frames}" if self.other_frames else ""
            raise UsageError(f"video: frames={count}: {self.name} takes {self.own_frames}{others}")
        return count

    def states(self, clips: Sequence[np.ndarray]) -> list[torch.Tensor]:
        """Of each clip, float32 [k, 3, h, w], its last hidden state [t, w], the class token first where there is one.

        Clips of another size are in a batch of their own; none is padded.
        """
        alike: dict[tuple[int, ...], list[int]] = {}
        for place, clip in enumerate(clips):
            alike.setdefault(clip.shape, []).append(place)
        found: dict[int, torch.Tensor] = {}
        with torch.inference_mode():
            for places in alike.values():
                made = self._batches.run([clips[place] for place in places], self._run)
                found |= zip(places, made, strict=True)
        return [found[place] for place in range(len(clips))]

    def _run(self, batch: Sequence[np.ndarray]) -> list[torch.Tensor]:
        values = to_device(np.stack(batch), self._device).to(self._dtype)  # [b, k, 3, h, w]
        return list(self._network(**{self._pixels: values}).last_hidden_state)

    def _probe(self) -> int:
        """Width of the states, by running a grey clip. Raises WeightsError for a model that fails."""
        try:
            (frame,) = self.processed([np.full((240, 320, 3), 127, np.uint8)])
            count = self.other_frames or self.own_frames
            return self.states([np.stack([frame] * count)])[0].shape[-1]
        except (TypeError, ValueError, AttributeError, RuntimeError, StopIteration) as error:
            raise WeightsError(
                f"model {self.name!r} does not run on frames ({first_line(error)}): {_WANTED}"
            ) from error

    def _check_promises(self, dtype: str) -> None:
        """Two clips of noise (see `promises`). They have one length: nothing here is padded."""
        noise = np.random.default_rng(0).integers(0, 256, (2, 240, 320, 3), np.uint8)
        count = self.other_frames or self.own_frames
        one, other = (np.stack([frame] * count) for frame in self.processed(list(noise)))

        def run(clips: Sequence[np.ndarray]) -> list[torch.Tensor]:
            return [state.float().mean(dim=0) for state in self._run(clips)]

        check_promises(run, one, other, self.name, dtype)


def _load(request: EncoderRequest) -> tuple[Any, str, VideoFrames, str | None]:
    """The network on the CPU, the digest of its weights, what prepares a frame, and what it is called.

    Random weights need no model: transformers' defaults are the architecture and input of VideoMAE-base.
    """
    from transformers import VideoMAEConfig, VideoMAEImageProcessor

    if request.weights == "random" and request.model is None:
        return *random_model(VideoMAEConfig(), request.dtype), VideoFrames(VideoMAEImageProcessor()), None
    model = request.model or ENCODERS["video"].default_model or ""
    folder = find_model(model, request.weights)
    check_model_type(folder, model, KINDS, _WANTED)
    processed = _load_processor(folder, model)
    return *load_model(folder, request.weights, model, request.dtype, part=_encoder_part), processed, model


def _encoder_part(whole: Any) -> Any:
    """V-JEPA 2 without its predictor."""
    return whole.encoder if whole.config.model_type == "vjepa2" else whole


def _load_processor(folder: Path, model: str) -> VideoFrames:
    """The model's own video processor, or where it has none its image processor."""
    from transformers import AutoImageProcessor, AutoVideoProcessor

    is_video = (folder / VIDEO_PROCESSOR_FILE).is_file()
    known: Any = AutoVideoProcessor if is_video else AutoImageProcessor
    try:
        with quiet_transformers():
            processor = known.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except (OSError, ValueError, KeyError, TypeError, ImportError) as error:
        raise WeightsError(
            f"the processor of model {model!r} cannot be loaded ({first_line(error)}):"
            f" add {VIDEO_PROCESSOR_FILE} or preprocessor_config.json to the folder"
        ) from error
    return VideoFrames(processor, is_video)
