"""What libraries import at their first use, so that it is not counted as training."""

from __future__ import annotations

from functools import cache

import torch


@cache
def import_what_training_uses() -> None:
    """An optimiser and scikit-learn's metrics each import for seconds, once a process: no part of what a seed costs."""
    import sklearn.metrics  # noqa: F401

    torch.optim.AdamW([torch.zeros(1, requires_grad=True)])
