"""The devices that heads are trained on."""

from __future__ import annotations

import re

from features.errors import UsageError
from features.hardware import cores


def check_device(device: str) -> None:
    """Raises UsageError for a device that is not cpu, cuda, cuda:N or mps, or that is not here."""
    if device == "cpu":
        return
    import torch

    if device == "mps":
        if not torch.backends.mps.is_available():
            raise UsageError("--device mps: torch finds no GPU of Apple's here: use cpu")
        return
    if not re.fullmatch(r"cuda(:\d+)?", device):
        raise UsageError(f"--device {device!r} is unknown: cpu, cuda, cuda:N or mps")
    count = torch.cuda.device_count()
    if int(device.partition(":")[2] or 0) >= count:
        raise UsageError(f"--device {device}: this machine has {count} CUDA devices: use cpu")


def default_jobs(device: str) -> int:
    """Processes that train at once where nobody says: as many as cores, and one on a GPU, where each would keep a copy
    of the features, and contexts and caches besides."""
    return cores() if device == "cpu" else 1
