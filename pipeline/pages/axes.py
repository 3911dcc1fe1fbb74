"""Axes whose rows or columns bear names."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pipeline.pages.drawing import INK, hint, plain

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def shortened(name: str, most: int) -> str:
    """A name on one line, with at most so many characters."""
    return plain(name if len(name) <= most else f"{name[: most - 1]}…")


def name_rows(axes: Axes, names: Sequence[str], *, most: int, pad: float, tooltips: bool = True) -> None:
    """A name beside each whole number of the y axis.

    most: characters that are shown; pad: pixels between them and the axes; tooltips: that tell the whole name
    """
    axes.set_yticks(range(len(names)), [shortened(name, most) for name in names])
    axes.tick_params(axis="y", pad=pad, labelsize=12, labelcolor=INK)
    for name, text in zip(names, axes.get_yticklabels(), strict=True) if tooltips else ():
        hint(text, name)


def name_columns(axes: Axes, names: Sequence[str], *, most: int, slanted: bool) -> None:
    """A name at each whole number of the x axis, with a tooltip that tells it whole. most: characters that are shown"""
    axes.set_xticks(range(len(names)), [shortened(name, most) for name in names])
    axes.tick_params(axis="x", pad=4, labelcolor=INK)
    for name, text in zip(names, axes.get_xticklabels(), strict=True):
        if slanted:
            text.set(rotation=38, rotation_mode="anchor", ha="left")
        hint(text, name)
