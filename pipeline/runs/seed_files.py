"""What the folder of a seed holds beside its head and its predictions: result.json, and history.parquet as a curve."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import polars as pl
from pydantic import BaseModel, Field

from features.errors import RunFileError
from pipeline.runs.json_files import reason_of
from pipeline.runs.metrics_file import Count, Fraction

_OPTIONAL = ("dev_headline", "train_loss", "dev_loss", "learning_rate", "seconds")  # columns that some histories lack


class SeedResult(BaseModel, frozen=True, extra="ignore"):
    """seed-N/result.json, written when a seed is done.

    train_seconds: of this seed; parameters: trained weights
    device, precision, versions, code, sources: what made the numbers (`pipeline.runs.computation`); older files lack
    the last three. code: one digest of all `sources`
    commit, processor: of the clone that the code ran from, and of the device; for readers alone, and new
    """

    seed: int
    best_epoch: int | None = None
    epochs: int | None = None
    train_seconds: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None
    parameters: Count | None = None
    dev_weighted_f1: Fraction | None = None
    dev_headline: Fraction | None = None
    device: str | None = None
    precision: str | None = None
    versions: dict[str, str] = {}
    code: str | None = None
    sources: dict[str, str] = {}
    commit: str | None = None
    processor: str | None = None


def mean_seconds(results: Iterable[SeedResult]) -> float | None:
    """Training seconds of a seed, the mean over those that recorded theirs; None where none did."""
    known = [result.train_seconds for result in results if result.train_seconds is not None]
    return sum(known) / len(known) if known else None


@dataclass(frozen=True)
class Curve:
    """One seed by epoch: dev weighted F1, the score that chose the epoch where it is another (fractions), the losses,
    the learning rate of its last step and the seconds that it took, which are empty where they were not recorded."""

    seed: int
    epochs: tuple[int, ...]
    dev_weighted_f1: tuple[float, ...]
    dev_headline: tuple[float, ...] = ()
    train_loss: tuple[float, ...] = ()
    dev_loss: tuple[float, ...] = ()
    learning_rate: tuple[float, ...] = ()
    seconds: tuple[float, ...] = ()

    @property
    def dev_score(self) -> tuple[float, ...]:
        """The one that chose the epoch."""
        return self.dev_headline or self.dev_weighted_f1


def read_curve(file: Path, seed: int, mend: str) -> Curve | None:
    """history.parquet, without the epochs that have a gap; None where that leaves none. Raises RunFileError."""
    try:
        frame = pl.read_parquet(file, glob=False)
        names = ["dev_weighted_f1", *(name for name in _OPTIONAL if name in frame.columns)]
        frame = frame.select(pl.col("epoch").cast(pl.Int64), pl.col(names).cast(pl.Float64)).sort("epoch")
    except (pl.exceptions.PolarsError, OSError) as error:
        raise RunFileError(file.parent, f"{file.name} cannot be read ({reason_of(error)})", mend) from error
    frame = frame.drop_nulls().filter(pl.all_horizontal(pl.col(names).is_finite()))
    if not frame.height:
        return None
    columns = {name: tuple(frame[name]) for name in names}
    return Curve(seed, tuple(frame["epoch"]), **columns)
