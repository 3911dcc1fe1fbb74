"""The predictions behind a run's scores."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from features.errors import RunError
from heads.criterion import Criterion
from pipeline.report.snapshot import RunSnapshot

if TYPE_CHECKING:
    import polars as pl

_SAME = 1e-6  # what a score may differ by between a metrics file and the predictions beside it


def frames_of(run: RunSnapshot, split: str, labels: tuple[str, ...], criterion: Criterion) -> dict[int, pl.DataFrame]:
    """Seed -> predictions, of the seeds that the metrics of the split are of.

    Raises RunError where one cannot be read, or they do not give the metrics' score.
    """
    from pipeline.comparison.counts import columns_of, read_arm
    from pipeline.runs.predictions import read_prediction_frame

    path, metrics = run.path or Path(run.folder), run.metrics[split]
    columns = columns_of(labels, criterion)
    frames = {
        seed: read_prediction_frame(path, seed, split, labels, dialogues=True).select(columns) for seed in metrics.seeds
    }
    value = float(read_arm(frames, labels, criterion).seed_scores().mean().headline[0])
    check_agreement(value, metrics.headline_score.mean, split)
    return frames


def check_agreement(value: float, known: float, split: str) -> None:
    """Raises RunError where a figure made from predictions is not that of the metrics file."""
    if abs(value - known) > _SAME:
        raise RunError(f"the predictions do not give the scores of metrics-{split}.json: evaluate again")
