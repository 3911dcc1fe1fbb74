"""What the folder of a seed holds beside its head and its predictions: result.json, and history.parquet as a curve."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from pydantic import BaseModel, Field

from pipeline.runs.metrics_file import Count, Fraction


class SeedResult(BaseModel, frozen=True, extra="ignore"):
    """seed-N/result.json, written when a seed is done. train_seconds: of this seed; parameters: trained weights."""

    seed: int
    best_epoch: int | None = None
    epochs: int | None = None
    train_seconds: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None
    parameters: Count | None = None
    dev_weighted_f1: Fraction | None = None


@dataclass(frozen=True)
class Curve:
    """One seed by epoch: dev weighted F1 (fractions) and the losses, which are empty where they were not recorded."""

    seed: int
    epochs: tuple[int, ...]
    dev_weighted_f1: tuple[float, ...]
    train_loss: tuple[float, ...] = ()
    dev_loss: tuple[float, ...] = ()
