"""Timing two ways of doing one thing: in turns, several times, so that noise meets both; reported as a ratio."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Comparison:
    """seconds of each round; ratio: of the medians, reference over ours; rounds: the least and the greatest ratio."""

    reference: list[float]
    ours: list[float]

    @property
    def ratio(self) -> float:
        return statistics.median(self.reference) / statistics.median(self.ours)

    @property
    def rounds(self) -> tuple[float, float]:
        ratios = [reference / ours for reference, ours in zip(self.reference, self.ours, strict=True)]
        return min(ratios), max(ratios)

    @property
    def in_short(self) -> str:
        least, greatest = self.rounds
        return f"{self.ratio:.2f} ({least:.2f} to {greatest:.2f})"

    def __str__(self) -> str:
        least, greatest = self.rounds
        medians = f"{statistics.median(self.reference):.2f} s against {statistics.median(self.ours):.2f} s"
        return f"{self.ratio:.1f} times ({least:.1f} to {greatest:.1f} in {len(self.ours)} rounds; medians {medians})"


def seconds_of(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def compare(reference: Callable[[], object], ours: Callable[[], object], rounds: int) -> Comparison:
    """Run both in turns, `rounds` times, after one round of `ours` that warms up."""
    ours()
    pairs = [(seconds_of(reference), seconds_of(ours)) for _ in range(rounds)]
    return Comparison([pair[0] for pair in pairs], [pair[1] for pair in pairs])


def machine() -> str:
    """What the figures were measured on, in a line."""
    import platform
    from pathlib import Path

    import torch

    from features.hardware import cores

    names = [
        line.partition(":")[2].strip()
        for line in Path("/proc/cpuinfo").read_text(encoding="ascii").splitlines()
        if line.startswith("model name")
    ]
    flags = [
        flag
        for flag in ("avx2", "avx512f", "avx512_bf16", "amx_bf16")
        if f" {flag}" in Path("/proc/cpuinfo").read_text(encoding="ascii")
    ]
    return (
        f"{names[0] if names else platform.processor()}, {cores()} cores"
        f" ({', '.join(flags)}), torch {torch.__version__}, {torch.get_num_threads()} threads"
    )
