"""What readers ask of a feature's shape."""

from __future__ import annotations

from features.errors import ConfigError


def vector_width(shape: tuple[int, ...], reader: str) -> int:
    """The width of each element of a sequence of vectors. Raises ConfigError for anything else."""
    if len(shape) != 1:
        what = "samples of a waveform: try waveform-mlp" if not shape else f"arrays of shape {shape}"
        raise ConfigError(f"reader {reader} reads sequences of vectors, and this feature's elements are {what}")
    return shape[0]


def layers_of(shape: tuple[int, ...], reader: str) -> tuple[int, int]:
    """(layers, width of each) of a stack. Raises ConfigError for anything else."""
    if len(shape) != 2:
        raise ConfigError(f"reader {reader} reads stacks of shape (layers, width), not {shape}")
    return shape[0], shape[1]
