"""RetinaFace with a ResNet-50, by retinaface-pytorch's own network definition.

That package pins a torch of 2021, so that it cannot be a dependency of this one; its network runs with today's. It is
installed without its dependencies, and only the parts are used that need none of them.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import torch

from features.encoders.devices import for_device, pin_fp32, to_device, torch_dtype
from features.encoders.half_precision import check_convolutions
from features.encoders.memory_batches import MemoryBatches
from features.encoders.published import RETINAFACE, RETINAFACE_OTHER, RETINAFACE_URL, published_file
from features.encoders.state_files import (
    digest_of_network,
    is_state_file,
    load_state,
    random_network,
    read_state,
)
from features.encoders.visual.face_boxes import Faces, Keep, faces_of_batch
from features.encoders.visual.picture_network import Normalise, fold_batch_norm
from features.errors import UsageError, WeightsError

INSTALL = "pip install --no-deps retinaface-pytorch==0.0.8"
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # what the package normalises with

_KIND = "RetinaFace with a ResNet-50"
_PIXELS_AT_ONCE = {"cpu": 4 * 240 * 426, "cuda": 64 * 240 * 426}


def load_retinaface(model: str, weights: Literal["pretrained", "random"]) -> tuple[torch.nn.Module, str]:
    """RetinaFace in evaluation mode on the CPU, and the digest of its weights.

    model: `retinaface`, the published resnet50_2020-07-20, or a state file with the package's names of weights. It must
           be trained on RGB normalised as the package does; files of other RetinaFaces may have the same names, but
           take BGR. (`packaged:mtcnn` is another detector, see `faces`.)
    Raises UsageError for another --model, WeightsError where package or weights are not to be had or do not fit.
    """
    if weights == "random":
        if model != RETINAFACE:
            raise UsageError(f"--weights random takes no detector of its own: leave {model!r} out")
        network = random_network(_make)
        return network, digest_of_network(network)
    if model == RETINAFACE:
        network = random_network(_make)  # before the download: it says whether the package is there
        # nobody says what the end of its name is of, and the package does not check it either
        path = published_file(RETINAFACE_URL, RETINAFACE, check_hash=False, other=RETINAFACE_OTHER)
        return network, load_state(network, read_state(path), path.name, _KIND)
    if not is_state_file(model):
        raise UsageError(
            f"no face detector {model!r}: give {RETINAFACE!r}, or a state file of it (.pth, .safetensors),"
            " or packaged:mtcnn"
        )
    network = random_network(_make)
    return network, load_state(network, read_state(Path(model)), f"state file {model!r}", _KIND)


class FaceDetector:
    """RetinaFace on a device, in a dtype: pictures in, faces out. Suppression runs in float64.

    suppress: see `faces_of_batch`
    """

    def __init__(self, network: torch.nn.Module, device: str, dtype: str, *, suppress: bool = True) -> None:
        if dtype == "fp32":
            pin_fp32()
        fold_batch_norm(network)
        self._dtype = torch_dtype(dtype)
        self._network = network.to(device=device, dtype=self._dtype).to(memory_format=torch.channels_last)
        check_convolutions(self._network)
        self._device = device
        self._suppress = suppress
        self._normalise = Normalise(MEAN, STD, device)
        self._batches: dict[tuple[int, int], MemoryBatches] = {}
        self._pixels = for_device(_PIXELS_AT_ONCE, device)

    def faces(self, pictures: Sequence[np.ndarray], keep: Keep) -> list[Faces | None]:
        """The faces of each picture, or None where the network gave NaN or infinity.

        pictures: uint8 RGB [h, w, 3], all of one size, which is never padded
        """
        height, width = pictures[0].shape[:2]
        if (height, width) not in self._batches:
            self._batches[height, width] = MemoryBatches(max(1, self._pixels // (height * width)))

        def run(batch: Sequence[np.ndarray]) -> list[Faces | None]:
            return faces_of_batch(*self.raw(batch), (height, width), keep, suppress=self._suppress)

        return self._batches[height, width].run(pictures, run)

    def raw(self, pictures: Sequence[np.ndarray]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """RetinaFace's raw outputs, float32: offsets [b, p, 4], logits [b, p, 2], landmarks [b, p, 10]."""
        with torch.inference_mode():
            values = self._normalise(to_device(np.stack(pictures), self._device)).to(self._dtype)
            offsets, logits, landmarks = self._network(values.contiguous(memory_format=torch.channels_last))
            return offsets.float(), logits.float(), landmarks.float()


def _make() -> torch.nn.Module:
    try:
        from retinaface.network import RetinaFace
    except ImportError as error:
        raise WeightsError(f"retinaface-pytorch, whose network finds the faces, is not installed: {INSTALL}") from error
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it builds its ResNet-50 with a keyword of old torchvision
        network: torch.nn.Module = RetinaFace(
            name="Resnet50",
            pretrained=False,
            return_layers={"layer2": 1, "layer3": 2, "layer4": 3},
            in_channels=256,
            out_channels=256,
        )
    return network
