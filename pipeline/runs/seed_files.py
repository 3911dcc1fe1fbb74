"""history.parquet of a seed as a curve."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Curve:
    """One seed by epoch: dev weighted F1 (fractions) and the losses, which are empty where they were not recorded."""

    seed: int
    epochs: tuple[int, ...]
    dev_weighted_f1: tuple[float, ...]
    train_loss: tuple[float, ...] = ()
    dev_loss: tuple[float, ...] = ()
