"""What figures were measured on."""

from __future__ import annotations

import platform
from pathlib import Path

_UNITS = ("avx2", "avx512f", "avx512_bf16", "amx_bf16")


def machine(device: str = "cpu") -> str:
    """Processor, cores, its units for half precision, memory, GPU where it is used, versions: in a line."""
    import torch

    from features.hardware import cores

    text = _read("/proc/cpuinfo")
    names = [line.partition(":")[2].strip() for line in text.splitlines() if line.startswith("model name")]
    total = next((line.split()[1] for line in _read("/proc/meminfo").splitlines() if line.startswith("MemTotal")), "0")
    parts = [
        f"{cores()} cores of {names[0] if names else platform.processor() or platform.machine()}"
        f" ({', '.join(units()) or 'no vector units that are known'})",
        f"{int(total) / 2**20:.0f} GiB of memory",
    ]
    if device.startswith("cuda"):
        parts.append(torch.cuda.get_device_name(0))
    return ", ".join([*parts, f"Python {platform.python_version()}", f"torch {torch.__version__}"])


def units() -> list[str]:
    """Of the processor's vector units those that matter here."""
    words = set(_read("/proc/cpuinfo").split())
    return [unit for unit in _UNITS if unit in words]


def has_bf16_units() -> bool:
    """As `--dtype auto` sees it."""
    from features.encoders.devices import resolve_dtype

    return resolve_dtype("auto", "cpu") == "bf16"


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="ascii", errors="replace")
    except OSError:
        return ""
