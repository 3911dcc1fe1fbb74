"""On a machine with a GPU: where pictures are made ready."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from benchmarks.harness.contender import Contender
from benchmarks.harness.gpu import check_device
from benchmarks.harness.results import Comparison
from benchmarks.harness.rounds import in_turns

TITLE = "Pictures for a GPU"
TEXT = """\
Frames are resized and normalised by a core, as `erc extract` does it in its decoding processes, here in one, and then
copied; or copied whole and resized there. torchvision's resampling on the device is not PIL's: pixels agree within a
few percent."""

ROUNDS = 3
FRAMES = 500
_ALIKE = 0.05


def measure(size: str, place: Path, show: Callable[[str], object], device: str = "cuda") -> list[Comparison]:
    """Raises BenchmarkError where there is no such device."""
    check_device(device)
    names = {"cpu": "resized on a core, copied", "gpu": "copied, resized on the GPU"}
    contenders = [
        Contender(said, "benchmarks.workers.on_gpu:Pictures", {"where": where, "count": FRAMES, "device": device})
        for where, said in names.items()
    ]
    measured = in_turns(contenders, ROUNDS, show, _ALIKE)
    return [Comparison("Pictures", f"{FRAMES} frames of 426 by 240 to 224, normalised", names["cpu"], measured)]
