"""Cores, memory and disk, and the devices: how fast they multiply in each dtype."""

from __future__ import annotations

import os
import platform
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from features.hardware import bf16_is_faster, cores
from pipeline.doctor.finding import Finding
from pipeline.terminal.tables import bytes_text

if TYPE_CHECKING:
    import torch

_SIZE = 1024  # rows and columns of the products
_SECONDS = 0.3  # of products in each dtype, after one to warm up
_DTYPES = {"fp32": "float32", "bf16": "bfloat16", "fp16": "float16"}
_LITTLE_DISK, _LITTLE_MEMORY = 2 << 30, 4 << 30


def machine(store: Path) -> Iterator[Finding]:
    """store: where features would be written"""
    yield Finding("machine", "cores", "ok", f"{cores()} for this process, {platform.machine()}, {platform.platform()}")
    yield from _memory()
    yield _disk(store)
    yield from _devices()


def _memory() -> Iterator[Finding]:
    if not hasattr(os, "sysconf") or "SC_PHYS_PAGES" not in os.sysconf_names:
        return
    total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    if total < _LITTLE_MEMORY:
        text = f"{bytes_text(total)}: little for the report's encoders"
        yield Finding("machine", "memory", "note", text, "give `erc extract` one encoder at a time, and --workers 1")
    else:
        yield Finding("machine", "memory", "ok", bytes_text(total))


def _disk(store: Path) -> Finding:
    """Whether a store can be written, and what is free there."""
    place = next(folder for folder in (store, *store.absolute().parents) if folder.is_dir())
    probe = place / f".erc-doctor-{os.getpid()}"
    try:
        probe.write_bytes(b"x")
        probe.unlink()
    except OSError as error:
        text = f"{place} cannot be written ({error.strerror or error})"
        return Finding("machine", "disk", "failed", text, "give --store a folder that can, or mend its rights")
    free = shutil.disk_usage(place).free
    if free < _LITTLE_DISK:
        text = f"{bytes_text(free)} free for the store at {place}: MELD with three encoders takes some 250 MB"
        return Finding("machine", "disk", "note", text, "make space, or give --store another disk")
    return Finding("machine", "disk", "ok", f"{bytes_text(free)} free for the store at {place}")


def _devices() -> Iterator[Finding]:
    import torch

    yield _speeds("cpu", "cpu", platform.processor() or platform.machine())
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    for index in range(count):
        yield _speeds(f"cuda:{index}", f"cuda:{index}", torch.cuda.get_device_name(index))
    if not count and _has_nvidia_driver():
        yield Finding(
            "devices",
            "cuda",
            "note",
            f"an NVIDIA driver is here, and torch {torch.__version__} finds no GPU",
            "see `nvidia-smi`; a torch without CUDA is mended by installing one with it (pytorch.org/get-started)",
        )
    elif not count and not torch.backends.mps.is_available():
        yield Finding("devices", "cuda", "absent", "no GPU: encoders run on the CPU, heads need none")
    if torch.backends.mps.is_available():
        yield _speeds("mps", "mps", "Apple's GPU")


def _has_nvidia_driver() -> bool:
    return shutil.which("nvidia-smi") is not None or Path("/proc/driver/nvidia").exists()


def _speeds(name: str, device: str, what: str) -> Finding:
    """One finding a device: products a second in each dtype. A device that cannot multiply in fp32 has failed."""
    speeds, troubles = {}, []
    for dtype, torch_name in _DTYPES.items():
        try:
            speeds[dtype] = products_per_second(device, torch_name)
        except RuntimeError as error:
            troubles.append(f"{dtype}: {str(error).splitlines()[0]}")
    if "fp32" not in speeds:
        return Finding("devices", name, "failed", f"{what} cannot multiply ({troubles[0]})", "install torch anew")
    told = ", ".join(f"{dtype} {speed / 1e9:,.0f}" for dtype, speed in speeds.items())
    auto = "bf16" if bf16_is_faster(device) else "fp32"
    more = f"; not in {'; '.join(troubles)}" if troubles else ""
    return Finding("devices", name, "ok", f"{what}: {told} GFLOP/s; `--dtype auto` is {auto}{more}")


def products_per_second(device: str, dtype: str) -> float:
    """Floating-point operations a second of square matrix products, over some tenths of a second."""
    import torch

    left, right = (torch.randn(_SIZE, _SIZE, device=device).to(getattr(torch, dtype)) for _ in range(2))
    _finished(left @ right)
    started, count = time.perf_counter(), 0
    while (passed := time.perf_counter() - started) < _SECONDS or not count:
        _finished(left @ right)
        count += 1
    return count * 2 * _SIZE**3 / passed


def _finished(product: torch.Tensor) -> None:
    """Waits until the device is done, and reads one value: an error of the device shows here."""
    float(product[0, 0])
