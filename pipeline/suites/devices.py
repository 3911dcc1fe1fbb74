"""The devices that heads are trained on."""

from __future__ import annotations

import re

from features.errors import UsageError


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
