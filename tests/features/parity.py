"""How far embeddings are from a reference implementation's. ours, reference: [n, d], a row an utterance.

A cosine threshold proves nothing: with random weights *different* images agree to 0.998, and GPT-2's last layer is
nearly as narrow. So errors are measured against what differs between utterances.
"""

from __future__ import annotations

import numpy as np

FP32_TOLERANCE = 1e-5
"""Largest `relative_error` of fp32."""

BF16_ERROR_ENERGY = 0.01
"""Largest `error_energy` of bf16."""


def relative_error(ours: np.ndarray, reference: np.ndarray) -> float:
    """The largest ||ours - reference|| / ||reference|| of a row."""
    ours, reference = _rows(ours, reference)
    return float((np.linalg.norm(ours - reference, axis=1) / np.linalg.norm(reference, axis=1)).max())


def error_energy(ours: np.ndarray, reference: np.ndarray) -> float:
    """||ours - reference||^2 over the variance between utterances, ||reference - mean(reference)||^2; needs 2 rows."""
    ours, reference = _rows(ours, reference)
    if len(reference) < 2:
        raise ValueError("one utterance has no variance: give two or more")
    return float(((ours - reference) ** 2).sum() / ((reference - reference.mean(axis=0)) ** 2).sum())


def nearest_is_itself(ours: np.ndarray, reference: np.ndarray) -> bool:
    """Whether each row of ours is nearest to the same row of the reference."""
    ours, reference = _rows(ours, reference)
    distances = ((ours[:, None, :] - reference[None, :, :]) ** 2).sum(axis=2)
    return bool((distances.argmin(axis=1) == np.arange(len(ours))).all())


def _rows(ours: np.ndarray, reference: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both as float64 [n, d]. Raises ValueError for other shapes, or values that are not finite."""
    ours, reference = np.asarray(ours, np.float64), np.asarray(reference, np.float64)
    if ours.shape != reference.shape or ours.ndim != 2 or not len(ours):
        raise ValueError(f"two arrays [n, d] are compared, not {ours.shape} and {reference.shape}")
    if not (np.isfinite(ours).all() and np.isfinite(reference).all()):
        raise ValueError("NaN or infinity among the embeddings")
    return ours, reference
