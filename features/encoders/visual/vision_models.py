"""Backbones of the visual encoders: what turns pictures into vectors.

Four kinds of `--model`: the name of a torchvision classifier (`resnet50`), a state file of ResNet-50
(`.pth`, `.pt`, `.zip`, `.safetensors`, with its head or without), `packaged:mobilenet-v2` (weights that a package
carries), or a Hugging Face vision model (folder or hub id).

A vector is what the classifier's last linear layer would read: 2048 values of ResNet-50. Of a Hugging Face model it is
one of its features (see `vision_tokens`). Of CLIP only the vision part runs.

Legend: b pictures, d width of a vector.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
import torchvision
from torchvision.models import MobileNet_V2_Weights, ResNet50_Weights, get_model, get_model_weights

from features.encoders.devices import torch_dtype
from features.encoders.loading import architecture, load_model, quiet_transformers
from features.encoders.packaged_states import MOBILENET_V2, check_packaged, is_packaged, packaged_states
from features.encoders.promises import check_promises
from features.encoders.published import published_file
from features.encoders.state_files import (
    digest_of_network,
    is_state_file,
    load_state,
    random_network,
    read_state,
)
from features.encoders.visual.pictures import CentreCrop
from features.encoders.visual.processed import processor_settings
from features.encoders.visual.vision_tokens import VisionFeature, vision_part
from features.encoders.weights import find_model
from features.errors import UsageError, WeightsError, first_line, nearest

Weights = Literal["pretrained", "random"]

RESNET50 = "resnet50"
_NO_BACKBONES = {
    "googlenet": "its published weights want another normalisation than torchvision's preprocessing says",
    "inception_v3": "its published weights want another normalisation than torchvision's preprocessing says",
    "squeezenet1_0": "it has no linear layer at its end to take the input of",
    "squeezenet1_1": "it has no linear layer at its end to take the input of",
}
# DenseNet's published files name their layers as torchvision did before 2018: `norm.1` for `norm1`.
_OLD_DENSENET = re.compile(r"^(.*denselayer\d+\.(?:norm|relu|conv))\.(\d\..*)$")


@dataclass(frozen=True)
class Backbone:
    """A network with its preprocessing.

    network:  [b, 3, h, w] -> [b, d], in evaluation mode on the CPU; of a Hugging Face model in the asked dtype
    digest:   of its weights, before any cast and before batch norm is folded into the convolutions
    width:    d
    side:     pixels of the squares it is made for
    mean, std: of each channel (red, green, blue), of values in [0, 1]
    crop:     what prepares a frame for it; None where `processor` does that (see `processed`)
    processor: of a Hugging Face model: whole frames -> pixel values
    settings: all of its preprocessing, as JSON values for the spec
    """

    network: torch.nn.Module
    digest: str
    width: int
    side: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    crop: CentreCrop | None
    processor: Any = None
    settings: dict[str, Any] = field(default_factory=dict)


def load_backbone(
    model: str, weights: Weights, dtype: str = "fp32", device: str = "cpu", tokens: str = "", *, first: bool = False
) -> Backbone:
    """The backbone that --model names: see the module.

    dtype, device: what it will compute in and on, where a Hugging Face model is tried
    tokens: of a Hugging Face model, which feature (see `vision_tokens`); empty for the one that its authors publish
    first:  torchvision's ResNet-50 has the weights that were published first (IMAGENET1K_V1), not the default ones
    Raises UsageError for an unknown name, WeightsError where the weights are not to be had or do not fit.
    """
    known = torchvision_names()
    if tokens and (is_state_file(model) or model in known):
        raise UsageError(f"tokens={tokens} is for Hugging Face vision models: leave it out for {model!r}")
    if is_state_file(model):
        if weights == "random":
            raise UsageError(f"--weights random takes no state file: leave {model!r} out, or name an architecture")
        return _from_state_file(model)
    if is_packaged(model):
        return _from_package(model, weights)
    if model in known:
        return _from_torchvision(model, weights, first=first)
    if "/" not in model and not Path(model).exists():
        why = f" ({_NO_BACKBONES[model]})" if model in _NO_BACKBONES else ""
        raise UsageError(
            f"no vision model {model!r}{why}: give a state file, a folder, a hub id (owner/name), or one of"
            f" torchvision's; {nearest(model, known)}"
        )
    return _from_hugging_face(model, weights, dtype, device, tokens)


def torchvision_names() -> list[str]:
    """The classifiers of torchvision that can be a backbone."""
    return [name for name in torchvision.models.list_models(module=torchvision.models) if name not in _NO_BACKBONES]


def _from_torchvision(name: str, weights: Weights, *, first: bool) -> Backbone:
    """A classifier of torchvision with its default weights. first: see `load_backbone`"""
    published = ResNet50_Weights.IMAGENET1K_V1 if first and name == RESNET50 else get_model_weights(name).DEFAULT
    network = random_network(lambda: get_model(name, weights=None))
    if weights == "pretrained":
        state = read_state(published_file(published.url, name, check_hash=True))
        renamed: Mapping[str, torch.Tensor] = state
        if name.startswith("densenet"):
            renamed = {_OLD_DENSENET.sub(r"\1\2", key): value for key, value in state.items()}
        try:
            network.load_state_dict(renamed)
        except (RuntimeError, ValueError) as error:
            raise WeightsError(
                f"{published.url.rpartition('/')[2]} in torch.hub's folder is not torchvision's {name}"
                f" ({first_line(error)}): remove it, and it is fetched again"
            ) from error
    width = _without_head(network)
    return _of_torchvision(name, network, digest_of_network(network), width, published)


def _from_state_file(model: str) -> Backbone:
    """ResNet-50 with the weights of a file; preprocessing is that of torchvision's default weights (IMAGENET1K_V2)."""
    state = read_state(Path(model))
    network = random_network(lambda: get_model(RESNET50, weights=None))
    width = _without_head(network)
    digest = load_state(network, state, f"state file {model!r}", "ResNet-50", spare=("fc.",))
    return _of_torchvision(RESNET50, network, digest, width)


def _from_package(model: str, weights: Weights) -> Backbone:
    """MobileNetV2 with torchvision's first weights, and their preprocessing (torchvision's default ones are others)."""
    check_packaged(model, (MOBILENET_V2,))
    if weights == "random":
        raise UsageError(f"--weights random takes no packaged weights: give --model mobilenet_v2, not {model!r}")
    network = random_network(lambda: get_model("mobilenet_v2", weights=None))
    load_state(network, packaged_states(MOBILENET_V2)["network"], f"model {model!r}", "MobileNetV2")
    width = _without_head(network)
    published = MobileNet_V2_Weights.IMAGENET1K_V1
    return _of_torchvision("mobilenet_v2", network, digest_of_network(network), width, published)


def _of_torchvision(name: str, network: torch.nn.Module, digest: str, width: int, published: Any = None) -> Backbone:
    """published: the weights whose preprocessing it has, where these are not torchvision's default"""
    preset = (published or get_model_weights(name).DEFAULT).transforms()
    crop = CentreCrop(preset.resize_size[0], preset.crop_size[0], preset.interpolation.value)
    mean, std = tuple(preset.mean), tuple(preset.std)
    settings = {
        "architecture": name,
        "resize": crop.resize,
        "crop": crop.crop,
        "interpolation": crop.interpolation,
        "mean": list(mean),
        "std": list(std),
    }
    return Backbone(network, digest, width, crop.crop, mean, std, crop, settings=settings)


def _without_head(network: torch.nn.Module) -> int:
    """Put Identity in the place of the last linear layer, the classifier; returns how many values it read."""
    name, head = [(name, part) for name, part in network.named_modules() if isinstance(part, torch.nn.Linear)][-1]
    owner, _, attribute = name.rpartition(".")
    setattr(network.get_submodule(owner), attribute, torch.nn.Identity())
    return head.in_features


def _from_hugging_face(model: str, weights: Weights, dtype: str, device: str, tokens: str) -> Backbone:
    """A Hugging Face vision model and its processor."""
    folder = find_model(model, weights)
    processor, processing = _load_processor(folder, model)
    network, digest = load_model(folder, weights, model, dtype, part=partial(vision_part, tokens=tokens))
    config: Any = network.config
    pooled = VisionFeature(network, tokens).eval().to(device)
    side, mean, std = _square_of(processor, model)
    noise = np.random.default_rng(0).integers(0, 256, size=(2, side, side, 3), dtype=np.uint8)
    try:
        made = processor(list(noise), return_tensors="pt", input_data_format="channels_last").pixel_values
        pictures = made.to(device, torch_dtype(dtype))
        with torch.inference_mode():
            width = pooled(pictures[:1]).shape[-1]
    except (TypeError, ValueError, AttributeError, RuntimeError) as error:
        raise WeightsError(
            f"model {model!r} is no encoder of pictures ({first_line(error)}): give one that AutoModel runs on the"
            " pixel values of its AutoImageProcessor"
        ) from error
    check_promises(lambda batch: list(pooled(torch.stack(list(batch)))), pictures[0], pictures[1], model, dtype)
    settings: dict[str, Any] = {"architecture": architecture(config), "processor": processing}
    if pooled.tokens != "patches" or pooled.skipped:  # else it is the mean of all, as it was before there was a choice
        settings["tokens"] = pooled.tokens
    return Backbone(pooled, digest, width, side, mean, std, None, processor, settings)


def _load_processor(folder: Path, model: str) -> tuple[Any, dict[str, Any]]:
    """The model's own image processor, and its configuration as JSON values."""
    from transformers import AutoImageProcessor

    try:
        with quiet_transformers():
            processor = AutoImageProcessor.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except (OSError, ValueError, KeyError, TypeError, ImportError) as error:
        raise WeightsError(
            f"the image processor of model {model!r} cannot be loaded ({first_line(error)}):"
            " add preprocessor_config.json to the folder"
        ) from error
    return processor, processor_settings(processor)


def _square_of(processor: Any, model: str) -> tuple[int, tuple[float, ...], tuple[float, ...]]:
    """Side, mean and deviation of the squares that a processor hands to its network."""
    crop = getattr(processor, "crop_size", None) if getattr(processor, "do_center_crop", False) else None
    sizes = dict(crop or getattr(processor, "size", None) or {})
    side = sizes.get("height") or sizes.get("shortest_edge")
    mean, std = getattr(processor, "image_mean", None), getattr(processor, "image_std", None)
    if not side or mean is None or std is None or len(mean) != 3 or len(std) != 3:
        raise WeightsError(f"model {model!r}: its image processor says no size, mean and deviation of three channels")
    return int(side), tuple(map(float, mean)), tuple(map(float, std))
