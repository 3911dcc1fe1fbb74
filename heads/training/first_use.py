"""What libraries import at their first use, so that it is not counted as training."""

from __future__ import annotations


def import_what_training_uses() -> None:
    """scikit-learn's metrics import for a second, once a process: no part of what a seed costs."""
    import sklearn.metrics  # noqa: F401
