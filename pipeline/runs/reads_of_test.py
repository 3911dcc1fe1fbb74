"""test_reads.jsonl, beside the runs: every evaluation that looked at the test split."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class TestRead:
    """One line of test_reads.jsonl: an evaluation that looked at the test split."""

    __test__ = False

    time: str
    experiment: str
    run: str
    seeds: tuple[int, ...]
