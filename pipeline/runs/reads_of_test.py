"""test_reads.jsonl, beside the runs: every evaluation that looked at the test split, a line each."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.runs.json_files import clean
from pipeline.runs.locks import folder_lock
from pipeline.runs.metrics_file import ScoredOn
from pipeline.runs.splits import EVALUATION_SPLIT

TEST_READS = "test_reads.jsonl"


@dataclass(frozen=True)
class TestRead:
    """One evaluation.

    time: UTC; run: name of its folder; dataset, sha256: whose test split, and of which manifest's file; empty in lines
    of older versions
    own: whether it is of the corpus that the run was trained on; lines that do not say count as if it were
    """

    __test__ = False

    time: str
    experiment: str
    run: str
    seeds: tuple[int, ...]
    dataset: str = ""
    sha256: str = ""
    own: bool = True


def record_test_read(runs: Path, experiment: str, run: str, seeds: Sequence[int], scored: ScoredOn, own: bool) -> None:
    """Append a line to RUNS/test_reads.jsonl."""
    line = {
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "experiment": experiment,
        "run": run,
        "seeds": list(seeds),
        "split": EVALUATION_SPLIT,
        "dataset": scored.dataset,
        "manifest": scored.path,
        "digest": scored.sha256,
        "own": own,
        **({"other_code": scored.other_code} if scored.other_code else {}),
    }
    with folder_lock(runs), (runs / TEST_READS).open("a", encoding="utf-8") as file:
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
            dataset, digest = (str(values.get(key) or "") for key in ("dataset", "digest"))
            seeds = tuple(int(seed) for seed in values.get("seeds") or ())
            reads.append(TestRead(moment, experiment, run, seeds, dataset, digest, values.get("own") is not False))
        except (ValueError, TypeError, AttributeError):
            damaged += 1
            reads.append(TestRead("", "", "", ()))
    return reads, damaged
