"""The GPU of a run: whether there is one, and how busy it is while something runs, as nvidia-smi says."""

from __future__ import annotations

import shutil
import statistics
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

from benchmarks.harness.contender import BenchmarkError

_EVERY_MS = 200


def check_device(device: str) -> None:
    """Raises BenchmarkError where torch cannot use it."""
    import torch

    if device.startswith("cuda") and not torch.cuda.is_available():
        raise BenchmarkError(
            "no GPU that torch can use: run this where `python -c 'import torch; torch.zeros(1).cuda()'` does"
        )


class Utilisation:
    """`of` is the watch of `in_turns`; `percent` is the mean over all runs of a contender, None where nvidia-smi is not
    there or does not know."""

    def __init__(self, device: str) -> None:
        self._device = device
        self._found: dict[str, list[float]] = {}

    def percent(self, name: str) -> float | None:
        found = self._found.get(name)
        return statistics.mean(found) if found else None

    @contextmanager
    def of(self, name: str) -> Iterator[None]:
        if not self._device.startswith("cuda") or shutil.which("nvidia-smi") is None:
            yield
            return
        query = ["--query-gpu=utilization.gpu", "--format=csv,noheader,nounits", "-lms", str(_EVERY_MS)]
        command = ["nvidia-smi", *query, "-i", _uuid(self._device)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        try:
            yield
        finally:
            process.terminate()
            said, _ = process.communicate()
            self._found.setdefault(name, []).extend(float(line) for line in said.split() if line.isdigit())


def _uuid(device: str) -> str:
    """Of the very card that torch means: nvidia-smi numbers them without regard to CUDA_VISIBLE_DEVICES."""
    import torch

    return f"GPU-{torch.cuda.get_device_properties(device).uuid}"
