"""What the hardware here has units for. Importing this loads no torch."""

from __future__ import annotations

import re
from pathlib import Path

_AMPERE = (8, 0)  # the first compute capability of NVIDIA's with bf16 units
_CPUINFO = Path("/proc/cpuinfo")


def has_bf16_units(device: str, cpu_flags: tuple[str, ...]) -> bool:
    """Whether a device multiplies bf16 faster than fp32.

    device:    `cpu`, `cuda` or `cuda:N`; CUDA has such units from compute capability 8.0 (Ampere) on
    cpu_flags: any of these flags, as Linux lists them, will do for a CPU; without such a list, it has none
    """
    if device == "cpu":
        return any(re.search(rf"^flags\s*:.*\b{flag}\b", _cpu_list(), re.MULTILINE) for flag in cpu_flags)
    import torch

    capability: tuple[int, int] = torch.cuda.get_device_capability(device)
    return capability >= _AMPERE


def _cpu_list() -> str:
    try:
        return _CPUINFO.read_text(encoding="ascii", errors="replace")
    except OSError:
        return ""
