"""On a machine with a GPU: heads there, beside a core, and thirty of them as one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from benchmarks.harness.contender import Contender
from benchmarks.harness.gpu import check_device
from benchmarks.harness.results import Comparison
from benchmarks.harness.rounds import in_turns

TITLE = "Heads on a GPU"
TEXT = """\
Rows of table 4 on vectors, batches of 64, on the GPU and on one core: two processes train each on the GPU and must
give weights that are equal bit for bit, or the run ends. And thirty heads as one batch of stacked weights, which is
what stacking would give at most: `erc ablate` trains one head after the other."""

ROUNDS = 3
ROWS, BATCH, STEPS = ("5, text", "14, concat", "24, attention"), 64, 200
HEADS, HEAD_STEPS = 30, 200
_ALIKE = 0.01  # of sums in another order


def measure(size: str, place: Path, show: Callable[[str], object], device: str = "cuda") -> list[Comparison]:
    """Raises BenchmarkError where there is no such device."""
    check_device(device)
    return [*(_row(row, show, device) for row in ROWS), _stacked(show, device)]


def _row(row: str, show: Callable[[str], object], device: str) -> Comparison:
    target, options = "benchmarks.workers.on_gpu:", {"row": row, "size": BATCH, "steps": STEPS}
    ours = "on the GPU"
    contenders = [
        Contender(ours, f"{target}TrainRow", options | {"device": device}),
        Contender("on the GPU, again", f"{target}TrainRow", options | {"device": device}),
        Contender("on one core", f"{target}TrainRowNotCompared", options | {"device": "cpu"}),
    ]
    measured = in_turns(contenders, ROUNDS, show, alike=0.0)
    return Comparison(f"Row {row}", f"{STEPS} steps of {BATCH}", ours, measured)


def _stacked(show: Callable[[str], object], device: str) -> Comparison:
    options = {"heads": HEADS, "steps": HEAD_STEPS, "width": 768, "device": device}
    ways = {"one after the other": False, "as one stacked batch": True}
    contenders = [
        Contender(name, "benchmarks.workers.on_gpu:ManyHeads", options | {"stacked": stacked})
        for name, stacked in ways.items()
    ]
    measured = in_turns(contenders, ROUNDS, show, _ALIKE)
    work = f"{HEADS} heads of row 5, {HEAD_STEPS} steps of 16"
    return Comparison("Thirty heads", work, next(iter(ways)), measured)
