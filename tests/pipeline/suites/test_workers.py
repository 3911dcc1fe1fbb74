"""Heads one after another in one process: what one leaves behind when it fails, and what is said of it."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

import pipeline.suites.workers
from features.errors import TrainingError
from features.hardware import cores
from pipeline.suites.devices import default_jobs
from pipeline.suites.run_errors import failure_line
from pipeline.suites.workers import train_all


def fails(kept: list[weakref.ref[Any]]) -> Callable[[Any], None]:
    """Each training holds a large array when it fails, the second while it handles another error."""

    def train(task: Any) -> None:
        table = np.zeros(1000)
        kept.append(weakref.ref(table))
        try:
            raise TrainingError(f"{task.seed} failed with {len(table)} rows")
        except TrainingError as error:
            if task.seed == 1:
                raise RuntimeError("and so did its end") from error
            raise

    return train


def test_a_head_that_failed_leaves_nothing_in_memory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """While the next one is trained: both together may not fit a GPU."""
    kept: list[weakref.ref[Any]] = []
    monkeypatch.setattr(pipeline.suites.workers, "train_seed", fails(kept))
    tasks: Any = [SimpleNamespace(run=tmp_path, seed=seed) for seed in range(3)]
    gc.disable()  # at once, and not when the collector happens to come by
    try:
        for number, (_, problem) in enumerate(train_all(tasks, jobs=1)):
            assert problem is not None  # and held by the loop, as `run_parts` does
            assert len(kept) == number + 1
            assert [reference() for reference in kept] == [None] * len(kept)
    finally:
        gc.enable()


def test_a_full_gpu_is_told_with_the_mend() -> None:
    line = failure_line(torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."))
    assert line.startswith("memory is full (CUDA out of memory. Tried")
    assert line.endswith(
        "a smaller batch.size, fewer heads at a time (--jobs, --ray-actors) or, for a GPU, --device cpu"
    )


def test_a_gpu_trains_one_head_at_a_time_unless_asked() -> None:
    assert [default_jobs(device) for device in ("cpu", "cuda", "cuda:1", "mps")] == [cores(), 1, 1, 1]
