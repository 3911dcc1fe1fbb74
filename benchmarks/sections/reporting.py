"""Evaluation and report of a whole suite."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from benchmarks.harness.contender import Contender
from benchmarks.harness.results import Comparison
from benchmarks.harness.rounds import in_turns
from benchmarks.inputs.finished_runs import generate, make_runs

TITLE = "Evaluation and report"
TEXT = """\
Commands as a user types them, start included, on run folders of heads with random weights: MELD's size, three
modalities, half of the heads with a bcLSTM over dialogues. Scoring runs on one thread, as training does, so that the
bits are those of training."""

EVALUATE, REPORT = "erc evaluate --split test", "erc report"
# runs, seeds, rounds
SIZES = {"tiny": (2, 1, 1), "small": (4, 2, 3), "full": (30, 5, 3)}


def measure(size: str, place: Path, show: Callable[[str], object]) -> list[Comparison]:
    runs, seeds, rounds = SIZES[size]
    generate(place)
    make_runs(place, runs, seeds)
    folder, out = str(place / "runs"), str(place / "report")
    target = "benchmarks.workers.commands:Erc"
    measured = in_turns(
        [
            Contender(EVALUATE, target, {"arguments": ["evaluate", folder, "--split", "test"]}),
            Contender(REPORT, target, {"arguments": ["report", folder, "--out", out]}),
        ],
        rounds,
        show,
    )
    size_of_page = (place / "report" / "report.html").stat().st_size / 1e6
    text = f"report.html has {size_of_page:.2f} MB."
    return [Comparison("A suite", f"{runs} runs with {seeds} seeds each", None, measured, text=text)]
