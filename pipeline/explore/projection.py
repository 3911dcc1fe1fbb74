"""Standardised embeddings projected to two and three dimensions: PCA by scikit-learn, UMAP by umap-learn (an extra).

Legend: n utterances, d values, k dimensions (2 or 3).
"""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass

import numpy as np

from features.errors import UsageError
from features.extras import install_extra

UMAP_NEIGHBOURS = 15
UMAP_DISTANCE = 0.1
_PCA_DIMS = 3  # fitted once: the first two are the plane


@dataclass(frozen=True)
class Projection:
    """points: float64 [n, k]. explained: for PCA alone, share of the variance along each axis; 0 if nothing varies."""

    method: str
    points: np.ndarray
    explained: tuple[float, ...] = ()

    @property
    def dims(self) -> int:
        return self.points.shape[1]


def check_umap() -> None:
    """Raises UsageError that names the extra where umap-learn is not installed."""
    if importlib.util.find_spec("umap") is None:
        raise UsageError(
            f"--method umap needs umap-learn, which is not installed: {install_extra('explore')}, or leave it at pca"
        )


def pca(values: np.ndarray, dims: tuple[int, ...], seed: int, sphere: bool = False) -> list[Projection]:
    """A projection for each of `dims`, all of one fit on these rows.

    values: float32 [n, d], standardised
    sphere: points are divided by their length in the k dimensions, so that they lie on the unit circle or sphere, as in
            figure 3 of the HLM12ERC report. A point at the origin stays there
    Raises UsageError where there are fewer than 3 rows or values.
    """
    from sklearn.decomposition import PCA

    if min(values.shape) < _PCA_DIMS:
        raise UsageError(
            f"PCA to {_PCA_DIMS} dimensions needs as many utterances and values, and there are {values.shape[0]}"
            f" utterances of {values.shape[1]} values: raise --per-class or choose another --feature"
        )
    if (values == values[0]).all():  # its shares would be 0 / 0
        return [Projection("pca", np.zeros((len(values), count)), (0.0,) * count) for count in dims]
    fitted = PCA(_PCA_DIMS, random_state=seed)
    points = fitted.fit_transform(values.astype(np.float64))
    explained = tuple(float(share) for share in fitted.explained_variance_ratio_)
    return [
        Projection("pca", _on_sphere(points[:, :count]) if sphere else points[:, :count], explained[:count])
        for count in dims
    ]


def umap(values: np.ndarray, dims: int, seed: int) -> Projection:
    """values: float32 [n, d], standardised. Raises UsageError where umap-learn is absent or there are too few rows."""
    check_umap()
    import warnings

    if len(values) <= UMAP_NEIGHBOURS:
        raise UsageError(
            f"UMAP needs more than {UMAP_NEIGHBOURS} utterances, and {len(values)} are sampled: raise --per-class, or"
            " use --method pca"
        )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of its own libraries
        from umap import UMAP

        reducer = UMAP(
            n_components=dims,
            n_neighbors=UMAP_NEIGHBOURS,
            min_dist=UMAP_DISTANCE,
            random_state=seed,
            n_jobs=1,  # more than one would not give the same points twice
        )
        return Projection("umap", np.asarray(reducer.fit_transform(values), np.float64))


def _on_sphere(points: np.ndarray) -> np.ndarray:
    lengths = np.linalg.norm(points, axis=1, keepdims=True)
    divided: np.ndarray = points / np.where(lengths > 0, lengths, 1.0)
    return divided
