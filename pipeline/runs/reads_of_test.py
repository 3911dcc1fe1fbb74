"""test_reads.jsonl, beside the runs: every evaluation that looked at the test split, a line each."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.runs.json_files import clean
from pipeline.runs.splits import EVALUATION_SPLIT

TEST_READS = "test_reads.jsonl"


@dataclass(frozen=True)
class TestRead:
    """One evaluation. time: UTC; run: name of its folder."""

    __test__ = False

    time: str
    experiment: str
    run: str
    seeds: tuple[int, ...]


def record_test_read(runs: Path, experiment: str, run: str, seeds: Sequence[int]) -> None:
    """Append a line to RUNS/test_reads.jsonl."""
    line = {
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "experiment": experiment,
        "run": run,
        "seeds": list(seeds),
        "split": EVALUATION_SPLIT,
    }
    with (runs / TEST_READS).open("a", encoding="utf-8") as file:
        file.write(json.dumps(line, ensure_ascii=False) + "\n")


def read_test_reads(runs: Path) -> tuple[list[TestRead], int]:
    """The reads, and how many lines are damaged. Each of these counts as a read: one is never made less by damage."""
    file = runs / TEST_READS
    if not file.is_file():
        return [], 0
    reads, damaged = [], 0
    for line in file.read_text(encoding="utf-8", errors="replace").splitlines():
        if not line.strip():
            continue
        try:
            values = clean(json.loads(line))
            if values.get("split", EVALUATION_SPLIT) != EVALUATION_SPLIT:
                continue
            moment, experiment, run = (str(values.get(key) or "") for key in ("time", "experiment", "run"))
            reads.append(TestRead(moment, experiment, run, tuple(int(seed) for seed in values.get("seeds") or ())))
        except (ValueError, TypeError, AttributeError):
            damaged += 1
            reads.append(TestRead("", "", "", ()))
    return reads, damaged
