"""Frames through the image processor of a Hugging Face model: resized, cropped and normalised as its makers say.

It runs in the encoding process, in threads: transformers' processors load torch, which would cost each decoding process
many seconds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import torch

from features.encoders.protocol import Input
from features.encoders.views import FramesView, Strip, frame_labels
from features.encoders.visual.pictures import Pictures
from features.media.needs import Frames


class Processed:
    """A processor: uint8 RGB [h, w, 3] -> float32 [3, h', w'], each frame on its own."""

    def __init__(self, processor: Any) -> None:
        self.processor = processor
        self._threads = ThreadPoolExecutor(torch.get_num_threads(), "processor")

    def __call__(self, frames: Sequence[np.ndarray]) -> list[np.ndarray]:
        """What the network gets of each frame."""
        return list(self._threads.map(self._one, frames))

    def _one(self, frame: np.ndarray) -> np.ndarray:
        made = self.processor([frame], return_tensors="pt", input_data_format="channels_last")
        return np.asarray(made.pixel_values[0], np.float32)

    def pixels(self, values: np.ndarray) -> np.ndarray:
        """uint8 RGB [h, w, 3]: what was made of a frame, without the processor's normalisation."""
        pixels = values.transpose(1, 2, 0).astype(np.float64)
        if getattr(self.processor, "do_normalize", True):
            pixels = pixels * np.array(self.processor.image_std) + np.array(self.processor.image_mean)
        if getattr(self.processor, "do_rescale", True):
            pixels = pixels / getattr(self.processor, "rescale_factor", 1 / 255)
        return np.clip(np.rint(pixels), 0, 255).astype(np.uint8)

    def view(self, frames: Frames, made: Input) -> FramesView:
        """Each frame as the network gets it, before it is normalised. What the processor cuts off is not known."""
        pictures: Pictures = made.value
        values = self(pictures.distinct)
        shown = tuple(self.pixels(values[place]) for place in pictures.order)
        note = "The model's own processor resizes, crops and normalises; its normalisation is undone here."
        return FramesView(frames, (), (Strip("The network's input", shown, frame_labels(frames)),), note)


def processor_settings(processor: Any) -> dict[str, Any]:
    """A processor's configuration as JSON values, by key; part of a fingerprint."""
    values = processor.to_dict()
    return {key: _plain(values[key]) for key in sorted(values) if values[key] is not None}


def _plain(value: Any) -> Any:
    """JSON's own types for what a processor's configuration holds."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items() if item is not None}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value if isinstance(value, bool | int | float | str) else str(value)
