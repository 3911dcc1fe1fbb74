"""Pictures to vectors on a device: normalised there, in batches of what memory allows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

import numpy as np
import torch
from torch.nn.utils import fuse_conv_bn_eval
from torchvision.models import ResNet

from features.encoders.devices import for_device, pin_fp32, to_device, torch_dtype
from features.encoders.half_precision import check_convolutions
from features.encoders.memory_batches import MemoryBatches
from features.encoders.visual.processed import Processed
from features.encoders.visual.vision_models import Backbone

_Values = Callable[[Sequence[np.ndarray]], torch.Tensor]

_PICTURES_AT_ONCE = {"cpu": 10, "cuda": 128}
"""One core takes 136 ms for a picture alone through ResNet-50, 120 in batches of 5 and 124 in batches of 20."""


class PictureEncoder:
    """A backbone on a device, in a dtype: pictures in, float32 vectors out.

    dtype: that which a Hugging Face backbone was loaded in; another is cast to it.
    processed: the processor of a Hugging Face backbone, else None

    Convolutions run in channels_last. Where the network is one of torchvision's ResNets, batch norm is folded into the
    convolutions, in fp32 before the cast.
    """

    def __init__(self, backbone: Backbone, device: str, dtype: str) -> None:
        if dtype == "fp32":
            pin_fp32()
        self._dtype = torch_dtype(dtype)
        self.processed = None if backbone.processor is None else Processed(backbone.processor)
        network = backbone.network
        if self.processed is None:
            network.float()
            if isinstance(network, ResNet):
                fold_batch_norm(network)
            network.to(dtype=self._dtype)
        self._network = network.to(device).to(memory_format=torch.channels_last)
        check_convolutions(self._network)
        self._device = device
        self._normalise = Normalise(backbone.mean, backbone.std, device)
        self._batches = MemoryBatches(for_device(_PICTURES_AT_ONCE, device))

    def frames(self, frames: Sequence[np.ndarray]) -> torch.Tensor:
        """float32 [b, d] on the device, of frames as the backbone's `crop` made them, or whole ones for its processor.

        What a processor makes is never padded: frames of another size are in a batch of their own.
        """
        if self.processed is None:
            return self._in_batches(frames, self._values)
        frames = self.processed(frames)
        places: dict[tuple[int, ...], list[int]] = {}
        for place, frame in enumerate(frames):
            places.setdefault(frame.shape, []).append(place)
        vectors: dict[int, torch.Tensor] = {}
        for alike in places.values():
            made = self._in_batches([frames[place] for place in alike], self._stacked)
            vectors |= zip(alike, made, strict=True)
        return torch.stack([vectors[place] for place in range(len(frames))])

    def pictures(self, pictures: Sequence[np.ndarray]) -> torch.Tensor:
        """float32 [b, d] on the device, of uint8 RGB pictures [h, w, 3] of one size, which are only normalised."""
        return self._in_batches(pictures, self._values)

    def _in_batches(self, pictures: Sequence[np.ndarray], values_of: _Values) -> torch.Tensor:
        def run(batch: Sequence[np.ndarray]) -> list[torch.Tensor]:
            values = values_of(batch).to(self._dtype).contiguous(memory_format=torch.channels_last)
            return list(self._network(values).float())

        with torch.inference_mode():
            return torch.stack(self._batches.run(pictures, run))

    def _values(self, pictures: Sequence[np.ndarray]) -> torch.Tensor:
        """float32 [b, 3, h, w]"""
        return self._normalise(to_device(np.stack(pictures), self._device))

    def _stacked(self, values: Sequence[np.ndarray]) -> torch.Tensor:
        """float32 [b, 3, h, w], normalised already"""
        return to_device(np.stack(values), self._device)


class Normalise:
    """uint8 RGB [b, h, w, 3] -> float32 [b, 3, h, w]: scaled to [0, 1], less each channel's mean, by its deviation."""

    def __init__(self, mean: Sequence[float], std: Sequence[float], device: str) -> None:
        self._mean = torch.tensor(mean, dtype=torch.float32, device=device).view(3, 1, 1)
        self._std = torch.tensor(std, dtype=torch.float32, device=device).view(3, 1, 1)

    def __call__(self, pixels: torch.Tensor) -> torch.Tensor:
        values = pixels.permute(0, 3, 1, 2).float().div_(255)  # the strides of channels_last stay
        return values.sub_(self._mean).div_(self._std)


def fold_batch_norm(network: torch.nn.Module) -> None:
    """Multiply batch norms into the convolutions before them, in place, in the network's dtype.

    On one core that takes an eighth off ResNet-50's time in channels_last, and a twentieth off RetinaFace's.

    Folded are a convolution and a batch norm that follow each other in a Sequential, and the pairs `conv1` and `bn1`,
    `conv2` and `bn2`, ... of torchvision's ResNets; in a network in which a pair of these names is no such sequence,
    the numbers would change.
    """
    for module in list(network.modules()):
        children = list(module.named_children())
        for (name, convolution), (after, norm) in pairwise(children):
            if not (isinstance(convolution, torch.nn.Conv2d) and isinstance(norm, torch.nn.BatchNorm2d)):
                continue
            if isinstance(module, torch.nn.Sequential) or name.replace("conv", "bn") == after:
                setattr(module, name, fuse_conv_bn_eval(convolution, norm))
                setattr(module, after, torch.nn.Identity())
