"""Weights fetched before torch is loaded, which takes seconds: what is not to be had is told at once."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass

from features.encoders.build import source_request
from features.encoders.protocol import EncoderRequest
from features.encoders.published import RETINAFACE, RETINAFACE_OTHER, RETINAFACE_URL, published_file, published_path
from features.encoders.state_files import is_state_file
from features.encoders.table import entry
from features.encoders.weights import cached_hub_model, find_model, is_local
from features.errors import WeightsError

_NOT_FROM_THE_HUB = {"glove", "glove-tokens", "voice", "faces"}


@dataclass(frozen=True)
class _Published:
    """A state file that an encoder takes by default. package: what must be installed to use it"""

    url: str
    check_hash: bool
    other: str = "--model FILE"
    package: str | None = None


# ResNet-50's as torchvision names them, which takes seconds to ask; a test compares.
_PUBLISHED = {
    "resnet50": _Published("https://download.pytorch.org/models/resnet50-11ad3fa6.pth", True),
    RETINAFACE: _Published(RETINAFACE_URL, False, RETINAFACE_OTHER, "retinaface"),
}
_AS_PUBLISHED = _PUBLISHED | {"resnet50": _Published("https://download.pytorch.org/models/resnet50-0676ba61.pth", True)}


def fetch_weights(request: EncoderRequest, *, download: bool = True) -> None:
    """Have the weights of an encoder here, and of what it derives from, if they come from the hub or are published.

    download: False only looks whether they are here
    Raises WeightsError as the encoder itself would, or because they are not here and nothing is downloaded; other
    faults, such as a model that is none, are left to the encoder.
    """
    if (source := source_request(request)) is not None:
        fetch_weights(source, download=download)
    model = request.model or entry(request.encoder).default_model
    if model is None:
        return
    published = (_AS_PUBLISHED if request.as_published else _PUBLISHED).get(model)
    if published is not None:
        usable = published.package is None or importlib.util.find_spec(published.package) is not None
        if usable and request.weights == "pretrained":
            path = published_path(published.url)
            if not download and not path.is_file():
                raise _not_here(f"the weights of {model!r} are not in {path.parent}")
            published_file(published.url, model, check_hash=published.check_hash, other=published.other)
    elif "/" in model and not (is_state_file(model) or is_local(model)) and request.encoder not in _NOT_FROM_THE_HUB:
        if not download and cached_hub_model(model, request.weights) is None:
            raise _not_here(f"model {model!r} is not in the hub's cache")
        find_model(model, request.weights)


def _not_here(what: str) -> WeightsError:
    return WeightsError(f"{what}, and a dry run downloads nothing")
