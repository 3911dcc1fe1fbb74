"""Normalising stored embeddings, which are kept as the encoder gave them. Statistics come from train rows alone.

Legend: n rows, d values. All functions take and give float32 [n, d].
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from features.errors import StoreError

if TYPE_CHECKING:
    import numpy as np

# name -> the steps, in their order
NORMALISERS: dict[str, tuple[str, ...]] = {
    "standardise": ("standardise",),
    "l2": ("l2",),
    "l2+standardise": ("l2", "standardise"),
    "none": (),
}
WAVEFORM = "rms"  # what standardising is to a waveform

_ROWS = 4096  # at once, so that float64 copies stay small


@dataclass(frozen=True)
class Normaliser:
    """One feature's normalisation. mean, scale: float32 [d], or None where nothing is standardised."""

    name: str
    mean: np.ndarray | None = None
    scale: np.ndarray | None = None

    @classmethod
    def fit(cls, name: str, rows: np.ndarray, fitted_on: np.ndarray | None = None) -> Normaliser:
        """Fit on the rows of train utterances that are there. A dimension that does not vary is centred and left
        unscaled: divided by its deviation it would be NaN.

        fitted_on: int64, the places of these rows among `rows`; None: all
        Raises StoreError for rows with values that are not finite, or for none at all.
        """
        import numpy as np

        if "standardise" not in NORMALISERS[name]:
            return cls(name)
        number = len(rows) if fitted_on is None else len(fitted_on)
        if not number:
            raise StoreError("no train utterance has an embedding, so there is nothing to standardise by")
        total, squares = np.zeros(rows.shape[1]), np.zeros(rows.shape[1])
        largest = np.zeros(rows.shape[1])
        for block in _blocks(name, rows, fitted_on):
            total += block.sum(axis=0)
            largest = np.maximum(largest, np.abs(block).max(axis=0))
        mean = total / number
        for block in _blocks(name, rows, fitted_on):
            squares += ((block - mean) ** 2).sum(axis=0)
        deviation = np.sqrt(squares / number)
        if not np.isfinite(deviation).all():
            raise StoreError("stored embeddings hold values that are not finite: see `erc store verify`")
        # Below this the deviation is the rounding of float32, not a signal.
        constant = deviation <= 1e-6 * largest
        return cls(name, mean.astype(np.float32), np.where(constant, 1.0, deviation).astype(np.float32))

    @classmethod
    def fit_waveform(cls, name: str, samples: np.ndarray, offsets: np.ndarray, rows: np.ndarray) -> Normaliser:
        """One number for all waveforms: the root mean square of the train samples.

        samples: [sum of lengths]; offsets: int64 [n + 1]; rows: int64, the train utterances that are there
        Raises StoreError where it is not finite.
        """
        import numpy as np

        if "standardise" not in NORMALISERS[name]:
            return cls("none")
        total, number = 0.0, 0
        for row in rows:
            block = samples[offsets[row] : offsets[row + 1]].astype(np.float64)
            total, number = total + float(block @ block), number + len(block)
        rms = (total / max(number, 1)) ** 0.5
        if not np.isfinite(rms):
            raise StoreError("stored waveforms hold values that are not finite: see `erc store verify`")
        return cls(WAVEFORM, scale=np.array([rms or 1.0], np.float32))

    @property
    def factor(self) -> float:
        """What a waveform's samples are multiplied by."""
        return 1.0 if self.scale is None else 1.0 / float(self.scale[0])

    def apply(self, rows: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
        """float32 [n, d], in `out` where it is given (which may be `rows`). Each row depends on itself alone."""
        import numpy as np

        out = np.empty(rows.shape, dtype=np.float32) if out is None else out
        for start in range(0, len(rows), _ROWS):
            block = np.asarray(rows[start : start + _ROWS], dtype=np.float32)
            if "l2" in NORMALISERS[self.name]:
                block = _l2(block)
            if self.mean is not None and self.scale is not None:
                block = (block - self.mean) / self.scale
            out[start : start + _ROWS] = block
        return out


def _blocks(name: str, rows: np.ndarray, chosen: np.ndarray | None) -> Iterator[np.ndarray]:
    """float64 blocks of what is to be standardised: after L2 where that comes first."""
    import numpy as np

    for start in range(0, len(rows) if chosen is None else len(chosen), _ROWS):
        block = rows[start : start + _ROWS] if chosen is None else rows[chosen[start : start + _ROWS]]
        yield (_l2(block) if NORMALISERS[name][0] == "l2" else block).astype(np.float64)


def _l2(rows: np.ndarray) -> np.ndarray:
    """Each row divided by its Euclidean norm; a row of zeros stays."""
    import numpy as np

    norm = np.linalg.norm(rows, axis=1, keepdims=True)
    divided: np.ndarray = rows / np.where(norm > 0, norm, 1.0)
    return divided
