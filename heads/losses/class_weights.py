"""Weights of classes, from how many training examples each has."""

from __future__ import annotations

from typing import Literal

from torch import Tensor

ClassWeights = Literal["none", "inverse", "balanced"]


def class_weights(counts: Tensor, weights: ClassWeights) -> Tensor | None:
    """float32 [c], or None for `none`. counts: int64 [c], training examples of each class.

    inverse: n / n_y; balanced: n / (c * n_y), scikit-learn's. A class without training examples weighs 0.
    """
    if weights == "none":
        return None
    inverse = counts.sum() / counts.clamp(min=1).float()
    inverse = inverse.masked_fill(counts == 0, 0.0)
    return inverse / len(counts) if weights == "balanced" else inverse
