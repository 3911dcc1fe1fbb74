"""State files that are published under an address of their own: torchvision's and RetinaFace's weights."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from features.errors import NetworkError, WeightsError
from features.network.fetch import Wanted, fetch_file

RETINAFACE = "retinaface"
RETINAFACE_URL = (
    "https://github.com/ternaus/retinaface/releases/download/0.01/retinaface_resnet50_2020-07-20-f168fae3c.zip"
)
RETINAFACE_OTHER = "`faces` --model FILE (`retinaface-resnet50` --set detector=FILE)"


def checkpoints_folder() -> Path:
    """Where torch.hub keeps such files, found without loading torch."""
    torch = sys.modules.get("torch")
    if torch is not None:
        return Path(torch.hub.get_dir()) / "checkpoints"
    cache = os.environ.get("XDG_CACHE_HOME", "~/.cache")
    home = os.environ.get("TORCH_HOME", os.path.join(cache, "torch"))  # noqa: PTH118  # an empty one stays empty, as torch has it
    return Path(home).expanduser() / "hub" / "checkpoints"


def published_path(url: str) -> Path:
    """Where the state file that is published there lies, or would."""
    return checkpoints_folder() / url.rpartition("/")[2]


def published_file(url: str, what: str, *, check_hash: bool, other: str = "--model FILE") -> Path:
    """A state file that lies in torch.hub's folder, or is downloaded there now.

    what:       whose weights, for errors
    other:      how to give another file
    check_hash: the file name ends in the beginning of the file's sha256, as torch.hub's do; a download is checked
    Raises WeightsError that names the file, where it is looked for, and the ways to get it.
    """
    path = published_path(url)
    if path.is_file():
        return path
    hash_prefix = path.stem.rpartition("-")[2] if check_hash else None
    digest = ("sha256", hash_prefix) if hash_prefix else None
    try:
        fetch_file(Wanted(url, digest=digest), path, f"the weights of {what}")
    except NetworkError as error:
        raise WeightsError(
            f"the weights of {what!r}, {path.name}, are not in {path.parent} and cannot be downloaded"
            f" ({error}): fetch {url} into that folder, give {other},"
            " or --weights random to test without them"
        ) from error
    return path
