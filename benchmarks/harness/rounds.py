"""Contenders in turns, several times, so that noise meets them all."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from pathlib import Path

import numpy as np

from benchmarks.harness.contender import BenchmarkError, Contender, Process
from benchmarks.harness.results import Measured

Show = Callable[[str], object]
Watch = Callable[[str], AbstractContextManager[object]]


def in_turns(
    contenders: Sequence[Contender],
    rounds: int,
    show: Show,
    alike: float | None = None,
    watch: Watch = lambda name: nullcontext(),
) -> tuple[Measured, ...]:
    """Run all of them in turns, `rounds` times; the order turns round from round to round. Before that each does its
    whole work once, which is not counted: none meets a shape, a file or a cache for the first time while it is timed.

    alike: where given, what came of the work must be within this relative distance of the first contender's.
    watch: what each run that counts is in, from the contender's name
    Raises BenchmarkError where a contender fails or gives something else.
    """
    with ExitStack() as stack:
        started = [Process(contender) for contender in contenders]  # beside each other
        processes = [stack.enter_context(process) for process in started]
        able = [process for process in processes if not process.absent]
        found: dict[str, list[tuple[float, float]]] = {process.contender.name: [] for process in processes}
        for process in able:
            process.run()
        for number in range(rounds):
            for process in able if number % 2 == 0 else reversed(able):
                with watch(process.contender.name):
                    done = process.run()
                found[process.contender.name].append((done.seconds, done.peak_mib))
                show(f"  round {number + 1}: {process.contender.name} {done.seconds:.2f} s")
        if alike is not None:
            check_alike(able, alike)
    return tuple(
        Measured(
            process.contender.name,
            tuple(seconds for seconds, _ in found[process.contender.name]),
            max((peak for _, peak in found[process.contender.name]), default=None),
            f"{process.absent} is not installed" if process.absent else "",
        )
        for process in processes
    )


def check_alike(processes: Sequence[Process], alike: float) -> None:
    """Raises BenchmarkError unless all made the same numbers: a faster way to something else is no contender."""
    with tempfile.TemporaryDirectory() as folder:
        first: np.ndarray | None = None
        for number, process in enumerate(processes):
            path = Path(folder) / f"{number}.npy"
            if not process.rows(path):
                continue
            rows = np.load(path).astype(np.float64)
            if first is None:
                first, name = rows, process.contender.name
                continue
            same = rows.shape == first.shape
            distance = float(np.linalg.norm(rows - first) / np.linalg.norm(first)) if same else float("inf")
            if not distance <= alike:
                raise BenchmarkError(
                    f"{process.contender.name} makes something else than {name}: {rows.shape} and {first.shape},"
                    f" relative distance {distance:.3g}, at most {alike} is allowed"
                )
