"""What the hardware here is fast at, and how it says that it is full. Importing this loads no torch."""

from __future__ import annotations

import os
import platform
import sys
import time
from collections.abc import Callable
from pathlib import Path

from features.remembered import remembered

_AMPERE = (8, 0)  # the first compute capability of NVIDIA's with bf16 units
_CPUINFO = Path("/proc/cpuinfo")
_CPU_FACTS = ("model name", "flags", "Features", "CPU part")

_MOST_ON_WINDOWS = 61  # concurrent.futures: WaitForMultipleObjects waits for 63 things, two of which are the pool's own

_ROWS, _FROM, _TO = 256, 768, 3072  # a product of GPT-2's and wav2vec2-base's feed-forward layers
_ROUNDS = 7
_GAIN = 1.25  # less is not worth the rounding, nor safe from noise


def cores() -> int:
    """The cores that this process may use; all of the machine where the system does not tell (macOS, Windows)."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def pool_size(wanted: int) -> int:
    """Processes for a pool of which so many are wanted: one of Windows takes no more than _MOST_ON_WINDOWS."""
    return min(wanted, _MOST_ON_WINDOWS) if sys.platform == "win32" else wanted


def open_files_limit() -> int | None:
    """How many files this process may have open; None where there is no limit, and on Windows: a mapped file counts for
    none there."""
    try:
        import resource
    except ImportError:
        return None
    most, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return None if most == resource.RLIM_INFINITY else most


def bf16_is_faster(device: str) -> bool:
    """Whether a device multiplies matrices in bf16 clearly faster than in fp32.

    device: `cpu`, `cuda`, `cuda:N` or `mps`, which is taken not to; CUDA does from capability 8.0 (Ampere) on. A
    CPU is tried, once for each
    model of CPU and version of torch (see `features.remembered`): of two with AVX512_BF16 and without AMX one was four
    times as fast in bf16, the other slower than in fp32.
    """
    import torch

    if device == "mps":
        return False
    if device != "cpu":
        capability: tuple[int, int] = torch.cuda.get_device_capability(device)
        return capability >= _AMPERE
    return remembered("bf16", [_cpu(), torch.__version__], lambda: _gain_of_bf16() > _GAIN)


def _gain_of_bf16() -> float:
    """How many times as fast a product is in bf16. In turns, and of each the fastest: noise only slows down."""
    import torch

    generator = torch.Generator().manual_seed(0)
    rows = torch.randn(_ROWS, _FROM, generator=generator)
    weights = torch.randn(_TO, _FROM, generator=generator)
    products = [(rows, weights), (rows.bfloat16(), weights.bfloat16())]
    with torch.inference_mode():
        seconds = [
            [_seconds(lambda pair=pair: torch.nn.functional.linear(*pair)) for pair in products]  # type: ignore[misc]
            for _ in range(_ROUNDS)
        ]
    fp32, bf16 = (min(column) for column in zip(*seconds, strict=True))
    return fp32 / bf16


def _seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def processor_name() -> str | None:
    """`Intel(R) Xeon(R) ...`, as Linux lists it, else as Python knows it; None where neither tells it."""
    named = [line.partition(":")[2].strip() for line in _cpu() if line.startswith("model name")]
    return next((name for name in [*named, platform.processor(), platform.machine()] if name), None)


def _cpu() -> list[str]:
    """What tells this CPU from others, as Linux lists it of the first core."""
    try:
        text = _CPUINFO.read_text(encoding="ascii", errors="replace")
    except OSError:
        return [platform.machine(), platform.processor()]
    lines = text.split("\n\n")[0].splitlines()
    return [line for line in lines if line.partition(":")[0].strip() in _CPU_FACTS]


_OUT_OF_MEMORY = (
    "DefaultCPUAllocator",
    "CUDA error: out of memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_ALLOC_FAILED",
    "MPS backend out of memory",
)
"""How libraries below torch say it, which raises a plain RuntimeError for them."""


def is_out_of_memory(error: Exception) -> bool:
    """Whether an error of torch says that the device, or this machine for the CPU, has no room."""
    import torch

    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(sign in str(error) for sign in _OUT_OF_MEMORY)
